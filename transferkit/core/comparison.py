"""Tests and intervals for the difference of two models on the same test rows or images, and over data sets.

All differences are signed: swapping the models changes only the signs of differences and intervals.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft, next_fast_len
from scipy.special import bdtr, stdtr

from .errors import DataError, ShapeError
from .half_samples import OVER_IMAGES, difference_interval, difference_p
from .outcomes import Outcomes, require_same_units
from .proportions import TOO_FEW_GROUPS
from .statistics import FEWEST, FEWEST_DRAWS, FEWEST_GROUPS, Interval, freedom_with_repeats, t_interval, t_quantile

OVER_SETS = "Student's t over data sets"

Number = TypeVar("Number", bound=np.number)


@dataclass(frozen=True)
class Paired:
    """The difference of two models on the same units.

    Attributes:
        difference: difference of the means; the first model is better if it is above 0.
        interval: 95 % interval of the difference.
        p: two-sided p value of the null hypothesis that there is no difference.
        test: name of the test that computed ``p``.
        wins: number of units on which the first model has more correct predictions; McNemar's b.
        losses: number of units on which it has fewer; McNemar's c.
        n: number of units.
    """

    difference: float
    interval: Interval
    p: float
    test: str
    wins: int
    losses: int
    n: int


def compare_outcomes(a: Outcomes, b: Outcomes) -> Paired:
    """Compare two models on the same rows, or on the same episodes and halves of the images.

    For rows, the interval is that of ``group_difference_interval``. Rows with one answer each are tested by
    ``flip_p`` over their groups, which is McNemar's test if each row is its own group; rows with predictions of several
    draws are tested by ``group_difference_p``. Episodes share images, so the interval and the test of their
    differences are over images: see ``core.half_samples``.

    Args:
        a: outcomes of the first model.
        b: outcomes of the second model.

    Raises: DataError: if the units differ, or are episodes of classes that are too small to be halved.
    """
    require_same_units(a, b)
    gaps = a.accuracies - b.accuracies  # difference per unit [n]
    wins, losses = int((gaps > 0).sum()), int((gaps < 0).sum())
    if a.unit == "episodes":
        halves = _half_gaps(a, b)
        interval, p, test = difference_interval(gaps, halves), difference_p(gaps, halves), OVER_IMAGES
    else:
        sizes = np.array(a.sizes or (1,) * len(a))
        sums = group_sums(np.subtract(a.correct, b.correct), sizes)  # difference per group [g]
        repeats = np.subtract(a.draws, b.draws) / len(a)  # differences of accuracies [r]
        interval = group_difference_interval(sums / a.predictions, sizes, repeats)
        if len(repeats) > 1:
            p, test = group_difference_p(sums / a.predictions, sizes, repeats), "t over rows and draws"
        else:
            p = flip_p(sums)
            test = "sign flips of groups, mid-p" if a.sizes else "McNemar, mid-p"
    return Paired(float(gaps.mean()), interval, p, test, wins, losses, len(a))


def _half_gaps(a: Outcomes, b: Outcomes) -> NDArray[np.float64]:
    """Return the differences of both batches of both halves, ``[b, 2, 2]``.

    Raises: DataError: if the outcomes have no halves.
    """
    first, second = a.half_accuracies, b.half_accuracies
    if first is None or second is None:
        raise DataError(
            "A class is too small to be halved, so the variance over images cannot be estimated. "
            "Give each class at least 4 images, or 4 groups of images."
        )
    return first - second


def group_sums(gaps: NDArray[Number], sizes: NDArray[np.integer]) -> NDArray[Number]:
    """Return the sums ``[g]`` of ``gaps`` ``[n]`` over contiguous groups of ``sizes`` ``[g]`` rows."""
    return np.add.reduceat(gaps, np.append(0, np.cumsum(sizes)[:-1]))


def group_difference_interval(
    sums: NDArray[np.floating], sizes: NDArray[np.integer], repeats: NDArray[np.floating]
) -> Interval:
    """Compute the interval of the mean difference of two models over rows or groups of rows: mean ± t s.

    Two rows are added, one that only the first model gets right and one that only the second does, as Bonett
    and Price advise [3]: otherwise the interval would be too narrow for models that differ on few rows, all in
    favour of one. Fewer than ``FEWEST_GROUPS`` groups, or two to ``FEWEST_DRAWS - 1`` draws, have no interval.

    Args:
        sums: ``[g]``, differences summed over the rows of each group.
        sizes: ``[g]``, number of rows of each group.
        repeats: ``[r]``, the mean difference of each of several draws or seeds on these rows; empty for one draw.

    [3] Bonett and Price, Adjusted Wald confidence interval for a difference of binomial proportions based on
        paired data, Journal of Educational and Behavioral Statistics 2012.
    """
    if round(_effective_groups(sizes)) < FEWEST_GROUPS:
        return Interval.unknown(TOO_FEW_GROUPS)
    if 1 < len(repeats) < FEWEST_DRAWS:
        return Interval.unknown(f"fewer than {FEWEST_DRAWS} draws")
    sums, sizes = np.append(sums, [1.0, -1.0]), np.append(sizes, [1, 1])
    mean = float(sums.sum() / sizes.sum())
    variance, freedom = _variance_of_mean(sums, sizes, repeats)
    half = t_quantile(freedom) * math.sqrt(variance)  # half the width
    return Interval(mean - half, mean + half, "adjusted t")


def group_difference_p(sums: NDArray[np.floating], sizes: NDArray[np.integer], repeats: NDArray[np.floating]) -> float:
    """Compute the two-sided p value of Student's t test that the mean difference in the population is 0.

    Args: those of ``group_difference_interval``; the two rows are not added.
    """
    mean = float(sums.sum() / sizes.sum())
    if len(sums) < 2 or mean == 0:
        return 1.0
    variance, freedom = _variance_of_mean(sums, sizes, repeats)
    if variance == 0:
        return 0.0
    return float(2 * stdtr(freedom, -abs(mean) / math.sqrt(variance)))


def _variance_of_mean(
    sums: NDArray[np.floating], sizes: NDArray[np.integer], repeats: NDArray[np.floating]
) -> tuple[float, float]:
    """Return the squared standard error of a mean difference, and its degrees of freedom.

    A group's deviation is ``sum − mean · size``; the effective number of groups, ``n² / Σ size²``, gives the
    degrees of freedom. Variance that repeats and rows share is counted twice, which is conservative.
    """
    n, g = float(sizes.sum()), len(sizes)
    deviations = sums - sums.sum() / n * sizes  # [g]
    over_rows = g / (g - 1) * float((deviations**2).sum()) / n**2  # variance over groups of rows
    freedom = max(1.0, _effective_groups(sizes) - 1)
    if len(repeats) < 2:
        return over_rows, freedom
    over_repeats = float(repeats.var(ddof=1)) / len(repeats)  # variance over draws or seeds
    return over_rows + over_repeats, freedom_with_repeats(over_rows, freedom, over_repeats, len(repeats))


def _effective_groups(sizes: NDArray[np.integer]) -> float:
    """Return the number of groups of equal size that would give means of the same variance, ``n² / Σ size²``."""
    weights = sizes.astype(np.float64)
    return float(weights.sum() ** 2 / (weights**2).sum())


def over_sets(differences: Sequence[float]) -> Paired:
    """Summarise differences of two models over data sets: Student's t interval, Wilcoxon's test.

    Args:
        differences: ``[n]``, one per data set. Fewer than ``FEWEST`` have no interval, because Student's would
            be much wider than the deviations of the mean.

    Raises: ShapeError: if there is no difference.
    """
    values = np.array(differences, dtype=np.float64)
    if values.ndim != 1 or not len(values):
        raise ShapeError(f"Differences over data sets must be [n], n at least 1, not {list(values.shape)}.")
    return Paired(
        difference=float(values.mean()),
        interval=(
            replace(t_interval(values), method=OVER_SETS)
            if len(values) >= FEWEST
            else Interval.unknown(f"fewer than {FEWEST} data sets")
        ),
        p=signed_rank_p(values),
        test="Wilcoxon signed-rank, exact",
        wins=int((values > 0).sum()),
        losses=int((values < 0).sum()),
        n=len(values),
    )


def flip_p(sums: NDArray[np.integer]) -> float:
    """Compute the mid-p value of a sign-flip test of two models over groups of rows.

    Under the null hypothesis, the difference of each group has either sign with probability ½. The p value is
    ``P(S ≤ −s) + P(S < −s)``, with ``S`` the sum of the differences with random signs and ``s`` the observed
    absolute sum; the distribution of ``S`` is computed exactly, from its characteristic function
    ``∏ cos(d ω)`` over the differences ``d``. If each group is one row, this is McNemar's test.

    Args:
        sums: ``[g]``, correct predictions of the first model minus those of the second.
    """
    total, observed = int(np.abs(sums).sum()), abs(int(sums.sum()))
    sizes, counts = np.unique(np.abs(sums[sums != 0]), return_counts=True)
    if sizes.max(initial=1) == 1:
        return mcnemar_p(int((sums > 0).sum()), int((sums < 0).sum()))
    points = next_fast_len(2 * total + 1, real=True)  # S is in −total … total
    angles = 2 * np.pi * np.arange(points // 2 + 1) / points  # ω
    transform = np.ones(len(angles))  # characteristic function of S
    for size, count in zip(sizes.tolist(), counts.tolist(), strict=True):
        transform *= np.cos(size * angles) ** count
    probability = irfft(transform, points).clip(0)  # of S = 0 … total, …, −total … −1
    return float(min(1.0, 2 * probability[observed : total + 1].sum() - probability[observed]))


def mcnemar_p(b: int, c: int) -> float:
    """Compute the mid-p value of McNemar's test of paired proportions [1].

    Under the null hypothesis, each row that only one model gets right belongs to either with probability ½:
    ``p = 2 P(X ≤ min(b, c)) − P(X = min(b, c))`` with ``X ~ Binomial(b + c, ½)``.

    Args:
        b: number of rows that only the first model gets right.
        c: number of rows that only the second model gets right.

    Raises: ShapeError: if ``b`` or ``c`` is negative.

    [1] Fagerland et al., The McNemar test for binary matched-pairs data: mid-p and asymptotic are better
        than exact conditional, BMC Medical Research Methodology 2013.
    """
    if min(b, c) < 0:
        raise ShapeError(f"{b} and {c} are not numbers of rows: give 0 or more.")
    fewer, n = min(b, c), b + c
    below = float(bdtr(fewer - 1, n, 0.5)) if fewer else 0.0  # P(X < fewer)
    return min(1.0, below + float(bdtr(fewer, n, 0.5))) if n else 1.0


def signed_rank_p(differences: NDArray[np.float64]) -> float:
    """Compute the two-sided p value of Wilcoxon's signed-rank test, exactly, also with ties [2].

    Zeros are dropped and the absolute values of the remaining differences are ranked; ties get their mean rank.
    Under the null hypothesis, each rank is positive or negative with probability ½: the distribution of the sum
    of positive ranks over all ``2^n`` signs is computed by convolution, one rank at a time.

    Args:
        differences: ``[n]``.

    [2] Wilcoxon, Individual comparisons by ranking methods, Biometrics Bulletin 1945.
    """
    differences = differences.round(12)  # differences that only rounding errors separate become ties
    nonzero = differences[differences != 0]
    if not len(nonzero):
        return 1.0
    sizes = np.abs(nonzero)
    below = (sizes[:, None] > sizes).sum(1)  # number of smaller differences [n]
    doubled = 2 * below + (sizes[:, None] == sizes).sum(1) + 1  # twice the mean rank, an integer [n]
    probability = np.ones(1)  # of each sum of doubled positive ranks
    for rank in doubled.tolist():
        probability = (np.append(probability, np.zeros(rank)) + np.append(np.zeros(rank), probability)) / 2
    positive = int(doubled[nonzero > 0].sum())
    smaller = min(positive, int(doubled.sum()) - positive)
    return float(min(1.0, 2 * probability[: smaller + 1].sum()))
