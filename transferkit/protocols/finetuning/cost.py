"""What fine-tuning will take, from a few steps on noise."""

import copy
import time

import torch
from torch import nn

from ...core.errors import UsageError
from ...models.encoder import Encoder
from .beginning import Start
from .network import Network
from .settings import FinetuneSettings

LONGEST_HOURS = 1.0
"""On a CPU, unless the user says yes."""

_STEPS = 2
_BATCH = 8


def images_seen(settings: FinetuneSettings, rows: int) -> int:
    """Images that pass while settings are compared, and in the final training.

    Args:
        settings: the grid.
        rows: images to train on.

    >>> images_seen(FinetuneSettings(lr=(0.1, 0.01), epochs=5, choosing_epochs=2), 100)
    900
    """
    final = settings.steps * max(settings.batch) or settings.epochs * rows
    if len(settings.grid) == 1:
        return final
    if settings.steps:
        return final + sum(settings.steps * setting.batch for setting in settings.grid)
    return final + len(settings.grid) * (settings.choosing_epochs or settings.epochs) * rows


def require_patience(encoder: Encoder, settings: FinetuneSettings, rows: int) -> None:
    """Refuse what takes hours on this CPU.

    Raises: UsageError: with the hours.
    """
    images = images_seen(settings, rows)
    hours = images * _seconds_an_image(encoder, settings) / 3600
    if hours > LONGEST_HOURS:
        raise UsageError(
            f"Fine-tuning {encoder.spec} would take about {hours:.1f} hours on this CPU: {images} images of "
            f"{encoder.view.crop} pixels. Use a GPU, --preset quick or a smaller --size; or add --yes."
        )


def _seconds_an_image(encoder: Encoder, settings: FinetuneSettings) -> float:
    own = copy.deepcopy(encoder)
    network: nn.Module = Network(own, settings, Start.zero(own, 2))
    network.to(memory_format=torch.channels_last).train()
    side = encoder.view.crop
    images = torch.randn(_BATCH, 3, side, side, generator=torch.Generator().manual_seed(0))
    seconds = []
    for _ in range(_STEPS):
        started = time.perf_counter()
        network(images).sum().backward()
        seconds.append(time.perf_counter() - started)
    return min(seconds) / _BATCH
