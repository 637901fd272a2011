"""Whether two models differ, judged on the same test rows or images, and over data sets.

All of it is signed: swapping the models turns the signs of differences and intervals and nothing else.
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
from .statistics import FEWEST, Interval, joined_freedom, t_interval, t_quantile

OVER_SETS = "Student's t over data sets"

Number = TypeVar("Number", bound=np.number)


@dataclass(frozen=True)
class Paired:
    """By how much one model lies above another.

    Attributes:
        difference: of the means; above 0 the first is better.
        interval: 95 %, of that; None where there are too few data sets for one.
        p: two-sided probability of at least this difference if there were none.
        test: which one gave it.
        ahead: units on which the first has more right answers; McNemar's b.
        behind: units on which it has fewer; McNemar's c.
        n: units.
    """

    difference: float
    interval: Interval | None
    p: float
    test: str
    ahead: int
    behind: int
    n: int


def paired(a: Outcomes, b: Outcomes) -> Paired:
    """Compare two models on the same rows, or on the same episodes and halves of the images.

    Rows: the interval is ``gap_interval``'s; rows that are answered once are tested by ``flip_p`` over their
    groups, which is McNemar's test where every row is on its own, and rows that are answered in several draws
    by ``gap_p``. Episodes use the same images again and again, so that interval and test of their differences
    are over images: see ``core.half_samples``.

    Args:
        a: outcomes of the first model.
        b: of the second.

    Raises: DataError: if the units are not the same ones, or are episodes of classes too small to be halved.
    """
    require_same_units(a, b)
    gaps = a.accuracies - b.accuracies  # [n]
    ahead, behind = int((gaps > 0).sum()), int((gaps < 0).sum())
    if a.unit == "episodes":
        halves = _half_gaps(a, b)
        interval, p, test = difference_interval(gaps, halves), difference_p(gaps, halves), OVER_IMAGES
    else:
        sizes = np.array(a.sizes or (1,) * len(a))
        sums = group_sums(np.subtract(a.right, b.right), sizes)
        rounds = np.subtract(a.draws, b.draws) / len(a)  # [draws], differences of accuracies
        interval = gap_interval(sums / a.answers, sizes, rounds)
        if len(rounds) > 1:
            p, test = gap_p(sums / a.answers, sizes, rounds), "t over rows and draws"
        else:
            p = flip_p(sums)
            test = "sign flips of groups, mid-p" if a.sizes else "McNemar, mid-p"
    return Paired(float(gaps.mean()), interval, p, test, ahead, behind, len(a))


def _half_gaps(a: Outcomes, b: Outcomes) -> NDArray[np.float64]:
    """Differences of both batches of both halves, ``[b, 2, 2]``.

    Raises: DataError: if there are no halves.
    """
    first, second = a.half_accuracies, b.half_accuracies
    if first is None or second is None:
        raise DataError(
            "A class is too small to be halved, so that nothing is known about other images than these. "
            "Give each class at least 4 images, or 4 groups of images."
        )
    return first - second


def group_sums(gaps: NDArray[Number], sizes: NDArray[np.integer]) -> NDArray[Number]:
    """Sums ``[g]`` of ``gaps`` ``[n]`` over groups of so many rows, which stand one after another."""
    return np.add.reduceat(gaps, np.append(0, np.cumsum(sizes)[:-1]))


def gap_interval(sums: NDArray[np.floating], sizes: NDArray[np.integer], repeats: NDArray[np.floating]) -> Interval:
    """Interval of the mean difference of two models over rows or groups of rows: mean ± t s.

    Two rows are added, of which each model has one to itself, as Bonett and Price advise [3]: else models
    that differ on few rows, all to the advantage of one, would seem to be certain of a difference. One group
    says nothing of others: its interval is −1 … 1.

    Args:
        sums: ``[g]``, differences summed over the rows of each group.
        sizes: ``[g]``, rows of each.
        repeats: ``[r]``, the mean difference of each of several draws or seeds on these rows; empty of one.

    [3] Bonett and Price, Adjusted Wald confidence interval for a difference of binomial proportions based on
        paired data, Journal of Educational and Behavioral Statistics 2012.
    """
    if len(sums) < 2:
        return Interval(-1.0, 1.0, "none: a single group")
    sums, sizes = np.append(sums, [1.0, -1.0]), np.append(sizes, [1, 1])
    mean = float(sums.sum() / sizes.sum())
    squared, freedom = _squared_error(sums, sizes, repeats)
    half = t_quantile(freedom) * math.sqrt(squared)
    return Interval(mean - half, mean + half, "adjusted t")


def gap_p(sums: NDArray[np.floating], sizes: NDArray[np.integer], repeats: NDArray[np.floating]) -> float:
    """Two-sided Student's t test that the mean difference over other groups and other repeats is 0.

    Args: as of ``gap_interval``, without the two rows.
    """
    mean = float(sums.sum() / sizes.sum())
    if len(sums) < 2 or mean == 0:
        return 1.0
    squared, freedom = _squared_error(sums, sizes, repeats)
    if squared == 0:
        return 0.0
    return float(2 * stdtr(freedom, -abs(mean) / math.sqrt(squared)))


def _squared_error(
    sums: NDArray[np.floating], sizes: NDArray[np.integer], repeats: NDArray[np.floating]
) -> tuple[float, float]:
    """The squared standard error of a mean difference, and its degrees of freedom.

    Groups deviate by ``sum - mean size``, and count for as many as groups of one size would be. What repeats
    and rows share is counted in both, which errs towards seeing no difference.
    """
    n, g = float(sizes.sum()), len(sizes)
    apart = sums - sums.sum() / n * sizes
    of_rows = g / (g - 1) * float((apart**2).sum()) / n**2
    freedom = max(1.0, n**2 / float((sizes.astype(np.float64) ** 2).sum()) - 1)
    if len(repeats) < 2:
        return of_rows, freedom
    of_repeats = float(repeats.var(ddof=1)) / len(repeats)
    return of_rows + of_repeats, joined_freedom((of_rows, freedom), (of_repeats, len(repeats) - 1))


def over_sets(differences: Sequence[float]) -> Paired:
    """Sum up differences of two models over data sets: Student's t interval, Wilcoxon's test.

    Args:
        differences: ``[n]``, one a data set. Fewer than ``FEWEST`` have no interval: Student's would be much
            wider than the mean deviates.

    Raises: ShapeError: if there is none.
    """
    values = np.array(differences, dtype=np.float64)
    if values.ndim != 1 or not len(values):
        raise ShapeError(f"Differences over data sets must be [n], n at least 1, not {list(values.shape)}.")
    return Paired(
        difference=float(values.mean()),
        interval=replace(t_interval(values), method=OVER_SETS) if len(values) >= FEWEST else None,
        p=signed_rank_p(values),
        test="Wilcoxon signed-rank, exact",
        ahead=int((values > 0).sum()),
        behind=int((values < 0).sum()),
        n=len(values),
    )


def flip_p(sums: NDArray[np.integer]) -> float:
    """Test of the difference of two models over groups of rows, mid-p: McNemar's, where a group is a row.

    If the models were equal, each group's difference would have either sign by a fair coin. Of the sum of all
    differences, ``P(S ≤ -s) + P(S < -s)`` is counted over all signs, by way of its characteristic function
    ``∏ cos(d ω)``.

    Args:
        sums: ``[g]``, right answers of the first less those of the second.
    """
    total, seen = int(np.abs(sums).sum()), abs(int(sums.sum()))
    sizes, count = np.unique(np.abs(sums[sums != 0]), return_counts=True)
    if sizes.max(initial=1) == 1:
        return mcnemar_p(int((sums > 0).sum()), int((sums < 0).sum()))
    points = next_fast_len(2 * total + 1, real=True)  # sums are -total … total
    angles = 2 * np.pi * np.arange(points // 2 + 1) / points
    transform = np.ones(len(angles))
    for size, times in zip(sizes.tolist(), count.tolist(), strict=True):
        transform *= np.cos(size * angles) ** times
    chance = irfft(transform, points).clip(0)  # of sums 0 … total, …, -total … -1
    return float(min(1.0, 2 * chance[seen : total + 1].sum() - chance[seen]))


def mcnemar_p(b: int, c: int) -> float:
    """McNemar's test of paired proportions, mid-p [1].

    If the models were equal, each row that only one of them gets right would be a fair coin:
    ``2 P(X ≤ min(b, c)) − P(X = min(b, c))`` with ``X ~ Binomial(b + c, ½)``.

    Args:
        b: rows that only the first gets right.
        c: rows that only the second gets right.

    Raises: ShapeError: if one is negative.

    [1] Fagerland et al., The McNemar test for binary matched-pairs data: mid-p and asymptotic are better
        than exact conditional, BMC Medical Research Methodology 2013.
    """
    if min(b, c) < 0:
        raise ShapeError(f"{b} and {c} rows cannot be counted: neither may be negative.")
    fewer, n = min(b, c), b + c
    below = float(bdtr(fewer - 1, n, 0.5)) if fewer else 0.0
    return min(1.0, below + float(bdtr(fewer, n, 0.5))) if n else 1.0


def signed_rank_p(differences: NDArray[np.float64]) -> float:
    """Wilcoxon's signed-rank test, two-sided and exact, also with ties [2].

    Zeros are left out, the sizes of the others are ranked, equal ones sharing their mean rank. If the
    models were equal, each rank would be positive or negative by a fair coin: all ``2^n`` sums are counted,
    by convolving one rank after another.

    Args:
        differences: ``[n]``.

    [2] Wilcoxon, Individual comparisons by ranking methods, Biometrics Bulletin 1945.
    """
    differences = differences.round(12)  # what rounding errors keep apart is equal
    kept = differences[differences != 0]
    if not len(kept):
        return 1.0
    sizes = np.abs(kept)
    below = (sizes[:, None] > sizes).sum(1)
    twice = 2 * below + (sizes[:, None] == sizes).sum(1) + 1  # [n], twice the mean rank: a whole number
    chance = np.ones(1)  # of each sum of doubled positive ranks
    for rank in twice.tolist():
        chance = (np.append(chance, np.zeros(rank)) + np.append(np.zeros(rank), chance)) / 2
    positive = int(twice[kept > 0].sum())
    least = min(positive, int(twice.sum()) - positive)
    return float(min(1.0, 2 * chance[: least + 1].sum()))
