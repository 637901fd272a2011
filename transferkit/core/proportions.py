"""Intervals of accuracies: over rows or groups of rows, of all of them or of the mean over classes.

Both are Wilson's score interval [1] with an effective number of rows ``p (1 - p) / V``, where ``V`` is the
estimated variance of the accuracy ``p``, and with a quantile of Student's t, as surveys use it [2].

Shapes: ``n`` rows, ``c`` classes.

[1] Wilson, Probable inference, the law of succession, and statistical inference, JASA 1927.
[2] Franco et al., Comparative study of confidence intervals for proportions in complex sample surveys,
    Journal of Survey Statistics and Methodology 2019.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import ShapeError
from .groups import Groups, group_numbers
from .statistics import Interval, joined_freedom, t_quantile, wilson_interval, wilson_limits

PRIOR_ROWS = 1.0
"""Rows of the average class that are added to each class when its variance is estimated."""

PRIOR_CORRELATION = 0.5
"""What the correlation within groups is taken for while no row is wrong, or none is right."""

PRIOR_WEIGHT = 0.5
"""How much that counts: as much as half an error."""

Floats = NDArray[np.float64]


def accuracy_interval(right: ArrayLike, groups: Groups = None, *, draws: Sequence[float] = ()) -> Interval:
    """Interval of the share of right rows in the population that the rows, or their groups, are drawn from.

    Of several draws of what was fitted, all scored on the same rows, the accuracy is uncertain twice: the
    variances over rows and over draws are added, and their degrees of freedom joined by ``joined_freedom``.

    Args:
        right: ``[n]`` booleans; or of several draws the share of them in which a row is right.
        groups: ``[n]`` names; rows of one group are not independent. None where every row is.
        draws: ``[r]`` accuracy of each of several draws.

    Raises: ShapeError: if there is no row, or not as many groups.
    """
    hits = _checked(right, groups)
    n, p = len(hits), float(hits.mean())
    if groups is None and len(draws) < 2 and set(hits.tolist()) <= {0.0, 1.0}:
        return wilson_interval(int(hits.sum()), n)
    spread, freedom, what = float(((hits - p) ** 2).mean()), math.inf, "wilson"
    widening = 1.0
    if groups is not None:
        group, same = group_numbers(groups)[1], np.zeros(n, dtype=np.int64)
        widening, freedom = _clustering(hits - p, np.full(n, spread), np.full(n, 1 / n), same, group)
        what += f" over {int(group.max()) + 1} groups"
    of_rows, of_draws = spread * widening / n, 0.0
    if len(draws) > 1:
        of_draws = float(np.var(draws, ddof=1)) / len(draws)
        freedom = joined_freedom((of_rows, freedom), (of_draws, len(draws) - 1))
        what += f" and {len(draws)} draws"
    total = of_rows + of_draws
    rows = p * (1 - p) / total if total > 0 else n / widening
    return _limits(p, rows, freedom, what)


def class_mean_interval(right: ArrayLike, labels: NDArray[np.integer], groups: Groups = None) -> Interval:
    """Interval of the mean over classes of the share of right rows, other rows drawn of the same classes.

    Where the ``k`` rows of a class deviate from its accuracy by squares that sum to ``s``, the variance of
    one row is taken to be ``(s + w) / k``, with ``w`` that of all classes: a class of a few rows, all right,
    does not count as one that is always right. A class whose rows are of one group is taken as that group
    shows it.

    Args:
        right: ``[n]`` booleans.
        labels: ``[n]`` classes; those without a row take no part.
        groups: as of ``accuracy_interval``.

    Raises: ShapeError: if there is no row, or not as many labels or groups.
    """
    hits = _checked(right, groups)
    if np.shape(labels) != hits.shape:
        raise ShapeError(f"{len(hits)} rows need as many labels, not {list(np.shape(labels))}.")
    _, of, count = np.unique(labels, return_inverse=True, return_counts=True)
    c, n = len(count), len(hits)
    each = np.bincount(of, hits) / count  # [c], accuracy of each class
    p = float(each.mean())
    spread = count * each * (1 - each)  # [c], summed squares
    pooled = (spread.sum() + p * (1 - p)) / (n - c + 1)
    variance = (spread + PRIOR_ROWS * pooled) / (count - 1 + PRIOR_ROWS)  # [c], of one row
    of_class = variance / count / c**2  # [c], what each class adds to the variance of p
    total = float(of_class.sum())
    freedom, widening, what = math.inf, 1.0, "wilson over classes"
    if total > 0:
        freedom = total**2 / float((of_class**2 / (count - 1 + PRIOR_ROWS)).sum())
    if groups is not None:
        group = group_numbers(groups)[1]
        weights = 1 / (c * count[of])
        widening, of_groups = _clustering(hits - each[of], variance[of], weights, of, group)
        freedom = min(freedom, of_groups)
        what = f"wilson over classes and {int(group.max()) + 1} groups"
    rows = p * (1 - p) / total if total > 0 else c**2 / float((1 / count).sum())
    return _limits(p, rows / widening, freedom, what)


def _clustering(
    residual: Floats,
    variance: Floats,
    weight: Floats,
    label: NDArray[np.integer],
    group: NDArray[np.integer],
) -> tuple[float, float]:
    """How much groups widen the variance of a weighted mean, and its degrees of freedom.

    With ``ρ`` the correlation of two rows of a group, the variance of ``Σ wᵢ xᵢ`` is ``(1 - ρ) Σ wᵢ² σᵢ²``
    plus ``ρ`` times the sum over groups of ``(Σ wᵢ σᵢ)²``.

    Args:
        residual: ``[n]``, what each row deviates from the mean of its class.
        variance: ``[n]``, σ².
        weight: ``[n]``, w.
        label: ``[n]`` classes of which ``residual`` takes off the mean.
        group: ``[n]`` numbers from 0.

    Returns: the design effect, and as many degrees of freedom as groups of equal weight would have.
    """
    load = np.bincount(group, weight)
    freedom = max(1.0, float(load.sum() ** 2 / (load**2).sum()) - 1)
    rho = _correlation(residual, variance, label, group)
    deviation = np.sqrt(variance) if variance.any() else np.ones(len(variance))
    alone = float(((weight * deviation) ** 2).sum())
    together = float((np.bincount(group, weight * deviation) ** 2).sum())
    return max(1.0, 1 - rho + rho * together / alone), freedom


def _correlation(residual: Floats, variance: Floats, label: NDArray[np.integer], group: NDArray[np.integer]) -> float:
    """Correlation of two rows of a group, in 0 … 1: products of residuals over variances.

    A group counts by its rows, not by its pairs of them. A mean that is taken off its own rows pulls their
    residuals apart, of ``k`` rows of a class, ``m`` of them in the group, by ``σ² (1 + (m - 1) ρ) / k``: that
    is put back.
    """
    size = np.bincount(group)[group]  # [n]
    _, both, count = np.unique(label * (int(group.max()) + 1) + group, return_inverse=True, return_counts=True)
    k = np.bincount(label)[label]  # [n], rows of the class
    partners = np.maximum(size - 1, 1)
    alike = (count[both] - 1) / partners  # [n], share of a row's partners that are of its class
    product = residual * (np.bincount(group, residual)[group] - residual) / partners
    shared = size > 1
    found = (product + alike * variance / k)[shared].sum()
    most = (variance * (1 - alike * (count[both] - 1) / k))[shared].sum()
    rho = (found + PRIOR_WEIGHT * PRIOR_CORRELATION) / (most + PRIOR_WEIGHT)
    return float(min(1.0, max(0.0, rho)))


def _limits(p: float, rows: float, freedom: float, method: str) -> Interval:
    return Interval(*wilson_limits(p, rows, t_quantile(freedom)), method)


def _checked(right: ArrayLike, groups: Groups) -> Floats:
    hits = np.asarray(right, dtype=np.float64)
    if hits.ndim != 1 or not len(hits):
        raise ShapeError(f"An accuracy needs a row of at least one answer, not shape {list(hits.shape)}.")
    if groups is not None and len(groups) != len(hits):
        raise ShapeError(f"{len(hits)} answers need as many groups, not {len(groups)}.")
    return hits
