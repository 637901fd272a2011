"""Estimate of the duration of detector training, from a few timed steps on random images."""

import copy
import math
import time
from collections.abc import Sequence

import torch

from ...core.errors import UsageError
from ...detection.assembly import Detector
from ...models.memory_format import channels_last
from ..finetuning.cost import MAX_CPU_HOURS
from .settings import DetectSettings

_STEPS = 2
_MAX_STEPS = 6  # more steps if the first ones are slightly too slow, because other programs may use the processor
_HOPELESS_FACTOR = 10.0  # so many times too slow that other programs do not explain it
_BATCH = 2


def require_short_training(remaining: Sequence[tuple[str, Detector, int]], settings: DetectSettings) -> None:
    """Refuse training that takes hours on this CPU.

    Args:
        remaining: each network's spec, its detector, and the number of images that it still has to process.
        settings: settings with the image size.

    Raises: UsageError: with the estimated hours.
    """
    remaining = [each for each in remaining if each[-1]]
    images = sum(count for *_, count in remaining)
    longest_seconds = MAX_CPU_HOURS * 3600 / max(1, images)
    seconds = [
        count * _seconds_per_image(detector, settings, longest_seconds=longest_seconds)
        for _, detector, count in remaining
    ]
    hours = sum(seconds) / 3600
    if hours > MAX_CPU_HOURS:
        specs = ", ".join(spec for spec, *_ in remaining)
        raise UsageError(
            f"Detectors on {specs} would take about {hours:.1f} hours on this CPU: {images} images of "
            f"{max(settings.min_size)} pixels. Use a GPU, fewer --iterations or smaller --min-size; or add --yes."
        )


def _seconds_per_image(detector: Detector, settings: DetectSettings, *, longest_seconds: float) -> float:
    copied = channels_last(copy.deepcopy(detector)).train()
    side = max(settings.min_size)
    noise = torch.rand(_BATCH, 3, side, side, generator=torch.Generator().manual_seed(0))
    box = torch.tensor([[0.0, 0.0, side / 2, side / 2]])
    targets = [{"boxes": box, "labels": torch.ones(1, dtype=torch.int64)} for _ in range(_BATCH)]
    best = math.inf
    with torch.random.fork_rng(devices=[]):
        for step in range(1, _MAX_STEPS + 1):
            started = time.perf_counter()
            torch.stack(list(copied(list(noise), targets).values())).sum().backward()
            best = min(best, (time.perf_counter() - started) / _BATCH)
            if best >= _HOPELESS_FACTOR * longest_seconds or (step >= _STEPS and best <= longest_seconds):
                break
    return best
