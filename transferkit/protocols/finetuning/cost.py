"""Estimate of the duration of fine-tuning, from a few timed steps on random images."""

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
from ...training.checkpoints import load_tensors
from .head_init import HeadInit
from .network import FinetuneNetwork
from .settings import FinetuneSettings, GridPoint

MAX_CPU_HOURS = 1.0
"""Maximum duration of training on a CPU without ``--yes``."""

_STEPS = 2
_BATCH = 8


def training_images(settings: FinetuneSettings, setting: GridPoint, rows: int, *, search: bool) -> int:
    """Return the number of images that one training processes.

    Args:
        settings: the grid.
        setting: point of the grid that is trained.
        rows: number of training images.
        search: True for a training that compares settings, False for the final training.
    """
    epochs = (search and settings.search_epochs) or settings.epochs
    return settings.steps * setting.batch or epochs * rows


def total_training_images(settings: FinetuneSettings, rows: int) -> int:
    """Return the number of images that the search and the final training process together.

    Args:
        settings: the grid.
        rows: number of training images.

    >>> total_training_images(FinetuneSettings(lr=(0.1, 0.01), epochs=5, search_epochs=2), 100)
    900
    """
    final = max(training_images(settings, setting, rows, search=False) for setting in settings.grid)
    if len(settings.grid) == 1:
        return final
    return final + sum(training_images(settings, setting, rows, search=True) for setting in settings.grid)


def steps_taken(folder: Path) -> int:
    """Return the number of finished steps according to the checkpoint in ``folder``; 0 without a checkpoint.

    Raises: CheckpointError: if the checkpoint is damaged.
    """
    file = folder / "training.safetensors"
    return int(load_tensors(file)[1]["standing"]["step"]) if file.exists() else 0


def check_on_rank_zero(fabric: Fabric, check: Callable[[], None]) -> None:
    """Run a check on rank 0; all processes raise its error, so that none waits for another.

    Args:
        fabric: launched Fabric.
        check: function to call on rank 0.
    """
    failure = None
    if fabric.is_global_zero:
        try:
            check()
        except TransferkitError as error:
            failure = error
    if failure := fabric.broadcast(failure):
        raise failure


def require_short_training(remaining: Sequence[tuple[Encoder, int]], settings: FinetuneSettings) -> None:
    """Refuse training that takes hours on this CPU.

    Args:
        remaining: each network, and the number of images that it still has to process.
        settings: settings of the training.

    Raises: UsageError: with the estimated hours.
    """
    remaining = [(encoder, images) for encoder, images in remaining if images]
    hours = sum(images * _seconds_per_image(encoder, settings) for encoder, images in remaining) / 3600
    if hours > MAX_CPU_HOURS:
        specs = ", ".join(encoder.spec for encoder, _ in remaining)
        images = " and ".join(f"{count} images of {encoder.preprocessing.crop} pixels" for encoder, count in remaining)
        raise UsageError(
            f"Fine-tuning {specs} would take about {hours:.1f} hours on this CPU: {images}. "
            "Use a GPU, fewer --data, --preset quick or a smaller --size; or add --yes."
        )


def _seconds_per_image(encoder: Encoder, settings: FinetuneSettings) -> float:
    own = copy.deepcopy(encoder)
    network: nn.Module = FinetuneNetwork(own, settings, HeadInit.zero(own, 2))
    channels_last(network).train()
    side = encoder.preprocessing.crop
    images = torch.randn(_BATCH, 3, side, side, generator=torch.Generator().manual_seed(0))
    seconds = []
    for _ in range(_STEPS):
        started = time.perf_counter()
        network(images).sum().backward()
        seconds.append(time.perf_counter() - started)
    return min(seconds) / _BATCH
