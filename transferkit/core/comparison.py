"""Whether two models differ, judged on the same test rows or episodes, and over data sets.

All of it is signed: swapping the models turns the signs of differences and intervals and nothing else.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, stdtr, stdtrit

from .errors import ShapeError
from .outcomes import Outcomes, require_same_units
from .statistics import Interval, bootstrap_mean_interval

DRAWS = 2000
"""Resamples of a paired bootstrap."""


@dataclass(frozen=True)
class Paired:
    """By how much one model lies above another.

    Attributes:
        difference: of the means; above 0 the first is better.
        interval: 95 %, of that.
        p: two-sided probability of at least this difference if there were none.
        test: which one gave it.
        ahead: units on which the first has more right answers; McNemar's b.
        behind: units on which it has fewer; McNemar's c.
        n: units.
    """

    difference: float
    interval: Interval
    p: float
    test: str
    ahead: int
    behind: int
    n: int


def paired(a: Outcomes, b: Outcomes, *, draws: int = DRAWS, rng: np.random.Generator) -> Paired:
    """Compare two models on the same rows or episodes.

    The interval is a bootstrap: units are drawn with replacement, both models together. Rows that are
    answered once are tested by ``mcnemar_p``; episodes, and rows that are answered several times, by
    Student's t of the paired differences.

    Args:
        a: outcomes of the first model.
        b: of the second.
        draws: resamples of the bootstrap.
        rng: where they come from.

    Raises: DataError: if the units are not the same ones.
    """
    require_same_units(a, b)
    gaps = a.accuracies - b.accuracies  # [n]
    ahead, behind = int((gaps > 0).sum()), int((gaps < 0).sum())
    once = a.answers == 1
    return Paired(
        difference=float(gaps.mean()),
        interval=bootstrap_mean_interval(gaps, draws=draws, rng=rng),
        p=mcnemar_p(ahead, behind) if once else student_p(gaps),
        test="McNemar, mid-p" if once else "paired t",
        ahead=ahead,
        behind=behind,
        n=len(a),
    )


def over_sets(differences: Sequence[float]) -> Paired:
    """Sum up differences of two models over data sets: Student's t interval, Wilcoxon's test.

    Args:
        differences: ``[n]``, one a data set. One alone has no spread: its interval is the value itself.

    Raises: ShapeError: if there is none.
    """
    values = np.array(differences, dtype=np.float64)
    if values.ndim != 1 or not len(values):
        raise ShapeError(f"Differences over data sets must be [n], n at least 1, not {list(values.shape)}.")
    n, mean = len(values), float(values.mean())
    half = 0.0
    if n > 1:
        half = float(stdtrit(n - 1, 0.975) * values.std(ddof=1)) / math.sqrt(n)
    return Paired(
        difference=mean,
        interval=Interval(mean - half, mean + half, "Student's t over data sets"),
        p=signed_rank_p(values),
        test="Wilcoxon signed-rank, exact",
        ahead=int((values > 0).sum()),
        behind=int((values < 0).sum()),
        n=n,
    )


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


def student_p(gaps: NDArray[np.float64]) -> float:
    """Two-sided Student's t test that the mean of ``gaps`` ``[n]`` is 0; 1 for one value, without spread."""
    n, mean = len(gaps), float(gaps.mean())
    if n < 2 or not gaps.any():
        return 1.0
    deviation = float(gaps.std(ddof=1))
    if deviation == 0:
        return 0.0
    return float(2 * stdtr(n - 1, -abs(mean) / deviation * math.sqrt(n)))


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
