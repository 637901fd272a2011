"""What fine-tuning will take, from a few steps on noise."""

import copy
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from lightning.fabric import Fabric
from torch import nn

from ...core.errors import TransferkitError, UsageError
from ...models.encoder import Encoder
from ...models.memory_format import channels_last
from ..pretraining.checkpoint import load_tensors
from .head_init import HeadInit
from .network import FinetuneNetwork
from .settings import FinetuneSettings, Setting

LONGEST_HOURS = 1.0
"""On a CPU, unless the user says yes."""

_STEPS = 2
_BATCH = 8


def images_of(settings: FinetuneSettings, setting: Setting, rows: int, *, choosing: bool) -> int:
    """Images that pass in one training.

    Args:
        settings: the grid.
        setting: of the training.
        rows: images to train on.
        choosing: whether it only judges the setting.
    """
    epochs = (choosing and settings.search_epochs) or settings.epochs
    return settings.steps * setting.batch or epochs * rows


def images_seen(settings: FinetuneSettings, rows: int) -> int:
    """Images that pass while settings are compared, and in the final training.

    Args:
        settings: the grid.
        rows: images to train on.

    >>> images_seen(FinetuneSettings(lr=(0.1, 0.01), epochs=5, search_epochs=2), 100)
    900
    """
    final = max(images_of(settings, setting, rows, choosing=False) for setting in settings.grid)
    if len(settings.grid) == 1:
        return final
    return final + sum(images_of(settings, setting, rows, choosing=True) for setting in settings.grid)


def steps_taken(folder: Path) -> int:
    """Of a training that was interrupted, by the checkpoint it left in ``folder``; else 0.

    Raises: CheckpointError: if that is damaged.
    """
    file = folder / "training.safetensors"
    return int(load_tensors(file)[1]["standing"]["step"]) if file.exists() else 0


def agreed(fabric: Fabric, check: Callable[[], None]) -> None:
    """Let one process check for all: what it refuses is raised by each, so that none waits for another.

    Args:
        fabric: launched.
        check: called by the process that speaks.
    """
    refusal = None
    if fabric.is_global_zero:
        try:
            check()
        except TransferkitError as error:
            refusal = error
    if refusal := fabric.broadcast(refusal):
        raise refusal


def require_patience(left: Sequence[tuple[Encoder, int]], settings: FinetuneSettings) -> None:
    """Refuse what takes hours on this CPU.

    Args:
        left: each network, and the images that have yet to pass through it.
        settings: of the training.

    Raises: UsageError: with the hours.
    """
    left = [(encoder, images) for encoder, images in left if images]
    hours = sum(images * _seconds_an_image(encoder, settings) for encoder, images in left) / 3600
    if hours > LONGEST_HOURS:
        specs = ", ".join(encoder.spec for encoder, _ in left)
        images = " and ".join(f"{images} images of {encoder.view.crop} pixels" for encoder, images in left)
        raise UsageError(
            f"Fine-tuning {specs} would take about {hours:.1f} hours on this CPU: {images}. "
            "Use a GPU, fewer --data, --preset quick or a smaller --size; or add --yes."
        )


def _seconds_an_image(encoder: Encoder, settings: FinetuneSettings) -> float:
    own = copy.deepcopy(encoder)
    network: nn.Module = FinetuneNetwork(own, settings, HeadInit.zero(own, 2))
    channels_last(network).train()
    side = encoder.view.crop
    images = torch.randn(_BATCH, 3, side, side, generator=torch.Generator().manual_seed(0))
    seconds = []
    for _ in range(_STEPS):
        started = time.perf_counter()
        network(images).sum().backward()
        seconds.append(time.perf_counter() - started)
    return min(seconds) / _BATCH
