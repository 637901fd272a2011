"""Average precision of matched boxes, and its interval."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..core.precision import Reading, interpolated_precision
from ..core.statistics import Interval, percentile_interval
from .matching import Matches


def average_precision(
    matches: Matches, reading: Reading, weights: NDArray[np.floating] | None = None
) -> NDArray[np.float64] | None:
    """Return the mean over recalls of the highest precision at that recall or a higher one.

    Shapes: ``t`` thresholds, ``k`` boxes, ``n`` images.

    Args:
        matches: matches of one class.
        reading: the recalls at which precision is read.
        weights: ``[n]`` weight of each image; 1 by default.

    Returns: ``[t]`` in 0 … 1, or None if there are no objects.
    """
    image_weights = np.ones(len(matches.objects)) if weights is None else weights
    objects = float(image_weights @ matches.objects)
    if not objects:
        return None
    box_weights = image_weights[matches.images]  # [k]
    right = np.cumsum(matches.right * box_weights, 1)  # true positives [t, k]
    wrong = np.cumsum((~matches.right & ~matches.ignored) * box_weights, 1)  # false positives [t, k]
    return interpolated_precision(right, wrong, objects, reading)


def mean_average_precision(
    matches: Sequence[Matches], reading: Reading, weights: NDArray[np.floating] | None = None
) -> float | None:
    """Return the mean over thresholds and over classes with objects; None if no class has objects."""
    precisions = [average_precision(one, reading, weights) for one in matches]
    defined = [float(one.mean()) for one in precisions if one is not None]
    return float(np.mean(defined)) if defined else None


def image_bootstrap(matches: Sequence[Matches], reading: Reading, *, draws: int, rng: np.random.Generator) -> Interval:
    """Return the bootstrap interval of the mean average precision over images drawn with replacement.

    Args:
        matches: matches by class, on the same images.
        reading: the recalls at which precision is read.
        draws: number of bootstrap resamples.
        rng: random generator of the resamples.
    """
    n = len(matches[0].objects)
    values = []
    for _ in range(draws):
        weights = np.bincount(rng.integers(n, size=n), minlength=n).astype(np.float64)  # draws per image [n]
        value = mean_average_precision(matches, reading, weights)
        values.append(0.0 if value is None else value)
    return percentile_interval(np.array(values), n, f"bootstrap of {draws} draws of images")
