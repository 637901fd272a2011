"""Average precision of matched boxes, and its interval."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..core.precision import Reading, interpolated_precision
from ..core.statistics import Interval, bootstrap_limits
from .matching import Matches


def average_precision(
    matches: Matches, reading: Reading, weights: NDArray[np.floating] | None = None
) -> NDArray[np.float64] | None:
    """The mean over recalls of the highest precision that is had at that recall or a higher one.

    Shapes: ``t`` thresholds, ``k`` boxes, ``n`` images.

    Args:
        matches: of one class.
        reading: which recalls.
        weights: ``[n]`` how often each image counts; once unless given.

    Returns: ``[t]`` in 0 … 1, or None if there is no object to be found.
    """
    times = np.ones(len(matches.objects)) if weights is None else weights
    objects = float(times @ matches.objects)
    if not objects:
        return None
    each = times[matches.images]  # [k]
    right = np.cumsum(matches.right * each, 1)  # [t, k]
    wrong = np.cumsum((~matches.right & ~matches.ignored) * each, 1)
    return interpolated_precision(right, wrong, objects, reading)


def mean_average_precision(
    matches: Sequence[Matches], reading: Reading, weights: NDArray[np.floating] | None = None
) -> float | None:
    """The mean over thresholds and over those classes that have objects; None if none has."""
    found = [average_precision(one, reading, weights) for one in matches]
    there = [float(one.mean()) for one in found if one is not None]
    return float(np.mean(there)) if there else None


def image_bootstrap(matches: Sequence[Matches], reading: Reading, *, draws: int, rng: np.random.Generator) -> Interval:
    """Percentile interval of the mean average precision over images drawn with replacement.

    Args:
        matches: by class, of the same images.
        reading: which recalls.
        draws: how many resamples.
        rng: where they come from.
    """
    n = len(matches[0].objects)
    values = []
    for _ in range(draws):
        times = np.bincount(rng.integers(n, size=n), minlength=n).astype(np.float64)
        value = mean_average_precision(matches, reading, times)
        values.append(0.0 if value is None else value)
    low, high = bootstrap_limits(np.array(values), mean_average_precision(matches, reading) or 0.0, n)
    return Interval(max(0.0, low), min(1.0, high), f"bootstrap of {draws} draws of images")
