"""Agreement of a score's ranking of models with the ranking by their accuracies.

[1] Vigna, A weighted correlation index for rankings with ties, WWW 2015.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import weightedtau

from ...core.errors import NonFiniteError, ShapeError

FEWEST = 3
"""Minimum number of models; two models either have the same order or not, so a correlation says little."""


@dataclass(frozen=True)
class RankCorrelation:
    """Rank correlation of scores and accuracies.

    Attributes:
        value: weighted Kendall's τ [1] in -1 … 1, in which the order of the best models has the largest weight, or
            None if it is undefined.
        models: number of ranked models.
    """

    value: float | None
    models: int


def rank_correlation(scores: ArrayLike, accuracies: ArrayLike) -> RankCorrelation:
    """Compute the rank correlation of scores ``[m]`` and accuracies ``[m]`` of ``m`` models, as LogME's authors do.

    The weights are hyperbolic. The value is None for fewer than 3 models, or if all scores or all accuracies are equal.

    Raises:
        ShapeError: if the numbers of scores and accuracies differ.
        NonFiniteError: if a score or an accuracy is NaN or infinite.

    >>> found = rank_correlation([0.1, 0.5, 0.3], [61, 83, 70])
    >>> round(found.value, 9), found.models
    (1.0, 3)
    """
    a, b = np.asarray(scores, dtype=np.float64), np.asarray(accuracies, dtype=np.float64)
    if a.ndim != 1 or a.shape != b.shape:
        raise ShapeError(f"Each score [m] needs one accuracy [m], not {list(a.shape)} and {list(b.shape)}.")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise NonFiniteError("A score or accuracy is NaN or infinite: leave its model out.")
    if len(a) < FEWEST or (a == a[0]).all() or (b == b[0]).all():
        return RankCorrelation(None, len(a))
    return RankCorrelation(float(np.clip(weightedtau(a, b).statistic, -1, 1)), len(a))
