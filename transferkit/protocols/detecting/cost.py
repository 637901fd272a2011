"""What training a detector will take, from a few steps on noise."""

import copy
import math
import time
from collections.abc import Sequence

import torch

from ...core.errors import UsageError
from ...detection.assembly import Detector
from ...models.memory_format import channels_last
from ..finetuning.cost import LONGEST_HOURS
from .settings import DetectSettings

_STEPS = 2
_MOST = 6  # where the first ones say a little too much: another program may have had the processor
_FAR = 10.0  # times too much, which no other program explains
_BATCH = 2


def require_patience(left: Sequence[tuple[str, Detector, int]], settings: DetectSettings) -> None:
    """Refuse what takes hours on this CPU.

    Args:
        left: each network's spec, a detector on it, and the images that have yet to pass through that.
        settings: say of which size.

    Raises: UsageError: with the hours.
    """
    left = [each for each in left if each[-1]]
    images = sum(each for *_, each in left)
    bearable = LONGEST_HOURS * 3600 / max(1, images)
    seconds = [each * _seconds_an_image(one, settings, bearable=bearable) for _, one, each in left]
    hours = sum(seconds) / 3600
    if hours > LONGEST_HOURS:
        specs = ", ".join(spec for spec, *_ in left)
        raise UsageError(
            f"Detectors on {specs} would take about {hours:.1f} hours on this CPU: {images} images of "
            f"{max(settings.min_size)} pixels. Use a GPU, fewer --iterations or smaller --min-size; or add --yes."
        )


def _seconds_an_image(detector: Detector, settings: DetectSettings, *, bearable: float) -> float:
    own = channels_last(copy.deepcopy(detector)).train()
    side = max(settings.min_size)
    noise = torch.rand(_BATCH, 3, side, side, generator=torch.Generator().manual_seed(0))
    box = torch.tensor([[0.0, 0.0, side / 2, side / 2]])
    targets = [{"boxes": box, "labels": torch.ones(1, dtype=torch.int64)} for _ in range(_BATCH)]
    best = math.inf
    with torch.random.fork_rng(devices=[]):
        for step in range(1, _MOST + 1):
            started = time.perf_counter()
            torch.stack(list(own(list(noise), targets).values())).sum().backward()
            best = min(best, (time.perf_counter() - started) / _BATCH)
            if best >= _FAR * bearable or (step >= _STEPS and best <= bearable):
                break
    return best
