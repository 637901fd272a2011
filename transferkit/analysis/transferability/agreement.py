"""How well a score ranks models: its agreement with the accuracies they reached.

[1] Vigna, A weighted correlation index for rankings with ties, WWW 2015.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import weightedtau

from ...core.errors import NonFiniteError, ShapeError

FEWEST = 3
"""Models below which two rankings agree or not, and nothing lies between."""


@dataclass(frozen=True)
class RankCorrelation:
    """How alike two rankings are.

    Attributes:
        value: Kendall's τ, weighted so that the order of the best models counts most [1]; -1 … 1, or None.
        models: how many were ranked.
    """

    value: float | None
    models: int


def rank_correlation(scores: ArrayLike, accuracies: ArrayLike) -> RankCorrelation:
    """Agreement of the scores and accuracies ``[m]`` of ``m`` models, with hyperbolic weights as in LogME.

    None below 3 models, or where all scores or all accuracies are equal.

    Raises:
        ShapeError: if there is not one accuracy a score.
        NonFiniteError: if one of them is NaN or infinite.

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
