"""Intervals of accuracy and of class-mean accuracy, over rows or groups of rows.

Both are Wilson's score interval [1] with an effective number of rows ``p (1 - p) / V``, where ``V`` is the
estimated variance of the accuracy ``p``, and with a quantile of Student's t, as in survey statistics [2].

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
from .statistics import (
    FEWEST_DRAWS,
    FEWEST_GROUPS,
    Interval,
    t_quantile,
    welch_satterthwaite,
    wilson_interval,
    wilson_limits,
)

PRIOR_ROWS = 1.0
"""Number of rows with the average variance that are added to each class when its variance is estimated."""

PRIOR_CORRELATION = 0.5
"""Prior of the correlation within groups, which is the estimate if all rows are right, or all are wrong."""

PRIOR_WEIGHT = 0.5
"""Weight of this prior, in units of errors."""

TOO_FEW_GROUPS = f"fewer than {FEWEST_GROUPS} groups of similar size"
"""The reason why there is no interval over groups."""

Floats = NDArray[np.float64]


def accuracy_interval(correct: ArrayLike, groups: Groups = None, *, draws: Sequence[float] = ()) -> Interval:
    """Compute the interval of accuracy in the population from which the rows, or their groups, are drawn.

    If the model was fitted on several draws that are all scored on the same rows, the variances over rows and
    over draws are added, and their degrees of freedom are combined by ``welch_satterthwaite``. Fewer than
    ``FEWEST_GROUPS`` groups, or two to ``FEWEST_DRAWS - 1`` draws, have no interval.

    Args:
        correct: ``[n]`` booleans; with several draws, the fraction of draws in which each row is right.
        groups: ``[n]`` names; rows of one group are not independent. None if each row is its own group.
        draws: ``[r]`` accuracy of each of several draws.

    Raises: ShapeError: if there is no row, or another number of groups than rows.
    """
    hits = _as_hits(correct, groups)
    n, p = len(hits), float(hits.mean())
    if groups is None and len(draws) < 2 and set(hits.tolist()) <= {0.0, 1.0}:
        return wilson_interval(int(hits.sum()), n)
    variance, freedom, method = float(((hits - p) ** 2).mean()), math.inf, "wilson"  # variance of one row
    design_effect = 1.0
    if groups is not None:
        group, one_class = group_numbers(groups)[1], np.zeros(n, dtype=np.int64)
        design_effect, freedom = _design_effect(hits - p, np.full(n, variance), np.full(n, 1 / n), one_class, group)
        if round(freedom + 1) < FEWEST_GROUPS:
            return Interval.unknown(TOO_FEW_GROUPS)
        method += f" over {int(group.max()) + 1} groups"
    if 1 < len(draws) < FEWEST_DRAWS:
        return Interval.unknown(f"fewer than {FEWEST_DRAWS} draws")
    over_rows, over_draws = variance * design_effect / n, 0.0  # variances of p
    if len(draws) > 1:
        over_draws = float(np.var(draws, ddof=1)) / len(draws)
        freedom = welch_satterthwaite((over_rows, freedom), (over_draws, len(draws) - 1))
        method += f" and {len(draws)} draws"
    total = over_rows + over_draws  # V
    effective_rows = p * (1 - p) / total if total > 0 else n / design_effect
    return _wilson_t(p, effective_rows, freedom, method)


def class_mean_interval(correct: ArrayLike, labels: NDArray[np.integer], groups: Groups = None) -> Interval:
    """Compute the interval of class-mean accuracy in a population with the same classes.

    If the squared deviations of the ``k`` rows of a class from its accuracy sum to ``s``, the variance of one
    row is estimated as ``(s + w) / k``, where ``w`` is the pooled variance of all classes: a class with a few
    rows that are all right does not get the variance 0. If all rows of a class are in one group, its estimate
    is based on that group alone.

    Args:
        correct: ``[n]`` booleans.
        labels: ``[n]`` classes; classes without a row are ignored.
        groups: ``[n]`` names, as for ``accuracy_interval``.

    Raises: ShapeError: if there is no row, or another number of labels or groups than rows.
    """
    hits = _as_hits(correct, groups)
    if np.shape(labels) != hits.shape:
        raise ShapeError(f"{len(hits)} rows need as many labels, not {list(np.shape(labels))}.")
    _, label, count = np.unique(labels, return_inverse=True, return_counts=True)  # label [n], count [c]
    c, n = len(count), len(hits)
    accuracy = np.bincount(label, hits) / count  # accuracy of each class [c]
    p = float(accuracy.mean())
    squares = count * accuracy * (1 - accuracy)  # s, sum of squared deviations [c]
    pooled = (squares.sum() + p * (1 - p)) / (n - c + 1)  # w
    variance = (squares + PRIOR_ROWS * pooled) / (count - 1 + PRIOR_ROWS)  # variance of one row [c]
    class_terms = variance / count / c**2  # contribution of each class to the variance of p [c]
    total = float(class_terms.sum())  # V, without groups
    freedom, design_effect, method = math.inf, 1.0, "wilson over classes"
    if total > 0:
        freedom = total**2 / float((class_terms**2 / (count - 1 + PRIOR_ROWS)).sum())
    if groups is not None:
        group = group_numbers(groups)[1]
        weights = 1 / (c * count[label])  # weight of each row in p [n]
        design_effect, group_freedom = _design_effect(hits - accuracy[label], variance[label], weights, label, group)
        if round(group_freedom + 1) < FEWEST_GROUPS:
            return Interval.unknown(TOO_FEW_GROUPS)
        freedom = min(freedom, group_freedom)
        method = f"wilson over classes and {int(group.max()) + 1} groups"
    effective_rows = p * (1 - p) / total if total > 0 else c**2 / float((1 / count).sum())
    return _wilson_t(p, effective_rows / design_effect, freedom, method)


def _design_effect(
    residual: Floats,
    variance: Floats,
    weight: Floats,
    label: NDArray[np.integer],
    group: NDArray[np.integer],
) -> tuple[float, float]:
    """Compute the design effect, the factor by which groups increase the variance of a weighted mean.

    With ``ρ`` the correlation of two rows of a group, the variance of ``Σ wᵢ xᵢ`` is ``(1 - ρ) Σ wᵢ² σᵢ²``
    plus ``ρ`` times the sum over groups of ``(Σ wᵢ σᵢ)²``. The design effect is its ratio to ``Σ wᵢ² σᵢ²``.

    Args:
        residual: ``[n]`` deviation of each row from the mean of its class.
        variance: ``[n]`` variance σ² of each row.
        weight: ``[n]`` weight w of each row.
        label: ``[n]`` class of each row, whose mean is subtracted in ``residual``.
        group: ``[n]`` group number of each row, from 0.

    Returns: the design effect, and the degrees of freedom of the effective number of groups.
    """
    group_weight = np.bincount(group, weight)  # [g]
    freedom = max(1.0, float(group_weight.sum() ** 2 / (group_weight**2).sum()) - 1)
    rho = _correlation(residual, variance, label, group)
    deviation = np.sqrt(variance) if variance.any() else np.ones(len(variance))  # σ [n]
    independent = float(((weight * deviation) ** 2).sum())  # Σ wᵢ² σᵢ²
    clustered = float((np.bincount(group, weight * deviation) ** 2).sum())  # sum over groups of (Σ wᵢ σᵢ)²
    return max(1.0, 1 - rho + rho * clustered / independent), freedom


def _correlation(residual: Floats, variance: Floats, label: NDArray[np.integer], group: NDArray[np.integer]) -> float:
    """Estimate the correlation ``ρ`` of two rows of a group, in 0 … 1: products of residuals over variances.

    A group is weighted by its rows, not by its pairs of rows. Subtracting the mean of a class from its own rows
    makes their residuals negatively correlated: for ``k`` rows of a class, ``m`` of them in the group, the
    expected product changes by ``−σ² (1 + (m - 1) ρ) / k``. This bias is corrected.
    """
    size = np.bincount(group)[group]  # rows of the row's group [n]
    _, both, count = np.unique(label * (int(group.max()) + 1) + group, return_inverse=True, return_counts=True)
    k = np.bincount(label)[label]  # rows of the row's class [n]
    others = np.maximum(size - 1, 1)  # other rows of the group [n]
    same_class = (count[both] - 1) / others  # fraction of the other rows that are of the row's class [n]
    product = residual * (np.bincount(group, residual)[group] - residual) / others  # mean product with them [n]
    in_pairs = size > 1  # rows that have another row in their group [n]
    covariance = (product + same_class * variance / k)[in_pairs].sum()  # with the bias corrected
    scale = (variance * (1 - same_class * (count[both] - 1) / k))[in_pairs].sum()  # its value for ρ = 1
    rho = (covariance + PRIOR_WEIGHT * PRIOR_CORRELATION) / (scale + PRIOR_WEIGHT)
    return float(min(1.0, max(0.0, rho)))


def _wilson_t(p: float, rows: float, freedom: float, method: str) -> Interval:
    return Interval(*wilson_limits(p, rows, t_quantile(freedom)), method)


def _as_hits(correct: ArrayLike, groups: Groups) -> Floats:
    hits = np.asarray(correct, dtype=np.float64)
    if hits.ndim != 1 or not len(hits):
        raise ShapeError(f"Accuracy needs answers [n] with n at least 1, not {list(hits.shape)}.")
    if groups is not None and len(groups) != len(hits):
        raise ShapeError(f"{len(hits)} answers need as many groups, not {len(groups)}.")
    return hits
