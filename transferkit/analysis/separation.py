"""Class separation, alignment and uniformity of features.

Shapes: ``n`` rows, ``d`` features, ``c`` classes. All results are exact: sums over pairs are closed forms of class
means, ``O(n d)``, except uniformity, ``O(n² d)`` in time and never ``n × n`` in memory.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array

from ..core.groups import Groups, group_numbers
from ..core.statistics import Z95, Interval
from .labelled import Array, Labelled, labelled, matrix

CHUNK = 2**24
"""Number of similarities of uniformity in memory at once (64 MiB)."""

FEWEST_PER_CLASS = 10
"""Minimum mean number of rows, or groups of rows, per class for an interval; with fewer, it is up to 1.5 times too
wide."""

_ROUNDING = 1e-24  # the variance of unit rows that differ by rounding alone


@dataclass(frozen=True)
class Separation:
    """Statistics of pairs of rows. A number is None if no such pair exists.

    *Cosine* numbers use rows of unit length; rows of zeros have no direction and are ignored.

    Attributes:
        intra_squared: mean squared Euclidean distance of two rows of one class, over all such pairs.
        inter_squared: the same of two rows of different classes.
        intra_cosine: mean of 1 - cosine similarity of two rows of one class, over all such pairs.
        inter_cosine: the same of two rows of different classes.
        class_separation: R² of [1], 1 - within / overall, in 0 … 1: the mean cosine distances of two rows of one
            class and of any two rows. All classes have the same weight, and pairs of a row with itself count.
        alignment: mean squared distance of unit rows of one class: the alignment of [2], with pairs of rows of one
            class instead of pairs of views. It is twice ``intra_cosine``.
        uniformity: log mean exp(-2 ‖u - v‖²) over all pairs of unit rows [2]; lower is more uniform.
        zero_rows: number of rows that the cosine numbers ignore.

    [1] Kornblith et al., Why do better loss functions lead to less transferable features?, NeurIPS 2021.
    [2] Wang and Isola, Understanding contrastive representation learning through alignment and uniformity on
        the hypersphere, ICML 2020.
    """

    intra_squared: float | None
    inter_squared: float | None
    intra_cosine: float | None
    inter_cosine: float | None
    class_separation: float | None
    alignment: float | None
    uniformity: float | None
    zero_rows: int


def separation(x: ArrayLike, labels: ArrayLike) -> Separation:
    """Measure the separation of the classes of ``x`` ``[n, d]``; ``labels`` ``[n]`` are integers.

    Raises:
        ShapeError: if the shapes of ``x`` and ``labels`` do not match.
        NonFiniteError: if ``x`` contains NaN or infinity.

    >>> found = separation([[1, 0], [2, 0], [0, 1], [0, 3]], [0, 0, 1, 1])
    >>> found.intra_squared, found.inter_squared, found.class_separation
    (2.5, 7.5, 1.0)
    """
    rows = labelled(x, labels)
    intra, inter = _pair_means(rows)
    u, kept = _directions(rows.x)
    if not kept.any():
        return Separation(intra, inter, None, None, None, None, None, len(kept))
    unit = labelled(u, rows.y[kept])
    alignment, apart = _pair_means(unit)
    return Separation(
        intra_squared=intra,
        inter_squared=inter,
        intra_cosine=None if alignment is None else alignment / 2,
        inter_cosine=None if apart is None else apart / 2,
        class_separation=_class_separation(unit),
        alignment=alignment,
        uniformity=_uniformity(u),
        zero_rows=int((~kept).sum()),
    )


def class_separation_interval(x: ArrayLike, labels: ArrayLike, groups: Groups = None) -> Interval | None:
    """Compute the interval of the class separation of ``x`` ``[n, d]`` over other rows of the same classes.

    It is value ± z s, within 0 … 1, where ``s`` is the standard error by the jackknife [3]: each group of rows is
    left out in turn, and the results are compared among the groups of one class, or among all groups with rows of
    several classes. A bootstrap would not do, because a row that is drawn twice makes its class more compact than
    it is. The jackknife overestimates the variance slightly, so that the normal quantile suffices. There is no
    interval for fewer than ``FEWEST_PER_CLASS`` groups per class on average.

    Args:
        x: ``[n, d]``.
        labels: ``[n]`` integers.
        groups: ``[n]`` names of groups whose rows are not independent; None if each row is its own group.

    Returns: None if the class separation is undefined.
    Raises: ShapeError, NonFiniteError: as for ``separation``.

    [3] Efron and Tibshirani, An introduction to the bootstrap, 1993, chapter 11.
    """
    rows = labelled(x, labels)
    u, kept = _directions(rows.x)
    if not kept.any() or (value := _class_separation(unit := labelled(u, rows.y[kept]))) is None:
        return None
    numbers = np.arange(len(rows.y)) if groups is None else group_numbers(groups)[1]
    group = np.unique(numbers[kept], return_inverse=True)[1]
    without, stratum = _without_each(unit, group), _strata(unit.y, group)
    count = np.bincount(stratum)[stratum]
    if len(stratum) < FEWEST_PER_CLASS * (stratum.max() + 1):
        return Interval.unknown(f"fewer than {FEWEST_PER_CLASS} rows or groups per class")
    apart = (without - (np.bincount(stratum, without) / np.bincount(stratum))[stratum]) ** 2
    half = Z95 * float(np.sqrt(((1 - 1 / count) * apart).sum()))
    return Interval(max(0.0, value - half), min(1.0, value + half), "jackknife")


def uniformity(x: ArrayLike) -> float | None:
    """Compute log mean exp(-2 ‖u - v‖²) over all pairs of the directions of ``x`` ``[n, d]`` [2 of Separation].

    Similarities are in float32, so the result has six correct digits.

    Returns: at most 0; None if fewer than two rows have a direction.
    Raises: ShapeError, NonFiniteError: if ``x`` is not a finite matrix.
    """
    return _uniformity(_directions(matrix(x))[0])


def _directions(x: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Return unit rows ``[m, d]`` of the nonzero rows, and a mask ``[n]`` of these."""
    largest = np.abs(x).max(axis=1)
    kept = largest > 0
    u = x[kept] / largest[kept, None]  # so that no square under- or overflows
    u /= np.linalg.norm(u, axis=1, keepdims=True)
    return u, kept


def _pair_means(rows: Labelled) -> tuple[float | None, float | None]:
    """Return the mean squared distance over pairs of the same class, and over pairs of different classes.

    With ``S`` a class's sum of squares around its mean ``μ``: ordered pairs of one class sum to ``2 n S``,
    and those of classes a, b to ``n_b S_a + n_a S_b + n_a n_b ‖μ_a - μ_b‖²``. All terms are positive:
    nothing cancels.
    """
    x = rows.x - rows.x.mean(axis=0)
    means, count, n = rows.means(x), rows.count, len(x)
    spread = np.bincount(rows.y, ((x - means[rows.y]) ** 2).sum(axis=1))  # [c], S
    same, different = float((count * (count - 1)).sum()), float(n * n - (count**2).sum())
    within = 2 * (count * spread).sum()
    between = 2 * ((n - count) * spread).sum() + 2 * n * (count * (means**2).sum(axis=1)).sum()
    return float(within / same) if same else None, float(between / different) if different else None


def _class_separation(unit: Labelled) -> float | None:
    """Compute R² of [1]: the fraction of the balanced variance that is between classes.

    For unit rows, 1 - cosine is half the squared distance, so a mean over pairs is a variance. None if no
    class has two rows, or all rows point the same way.
    """
    if unit.count.max() < 2:
        return None
    means = unit.means(unit.x)  # [c, d]
    within = unit.means(((unit.x - means[unit.y]) ** 2).sum(axis=1, keepdims=True)).mean()
    between = ((means - means.mean(axis=0)) ** 2).sum(axis=1).mean()
    overall = within + between
    return float(between / overall) if overall > _ROUNDING else None


def _strata(y: NDArray[np.int64], group: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number the stratum of each group, ``[g]``; the jackknife compares a group with others of its stratum.

    A stratum consists of the groups of one class, or of all groups with several classes.

    Args:
        y: ``[n]`` classes ``0 … c-1``.
        group: ``[n]`` numbers ``0 … g-1``.
    """
    own = np.empty(int(group.max()) + 1, np.int64)
    own[group] = y
    several = np.unique(group[y != own[group]])
    own[several] = y.max() + 1
    return np.unique(own, return_inverse=True)[1]


def _without_each(unit: Labelled, group: NDArray[np.int64]) -> Array:
    """Compute the class separation without the rows of each group in turn, ``[g]``.

    Without ``k`` of its ``m`` rows, whose deviations from their class's mean sum to ``s`` and whose squared
    lengths to ``q``, that mean moves by ``-s / (m - k)``, and the sum of squares around it falls by
    ``q + ‖s‖² / (m - k)``. A class that would have no row left keeps them.
    """
    means, c, g = unit.means(unit.x), len(unit.count), int(group.max()) + 1
    sides, v = means - means.mean(axis=0), unit.x - means[unit.y]  # [c, d], [n, d]
    spread = unit.means((v**2).sum(axis=1, keepdims=True))[:, 0]  # [c]

    parts, part = np.unique(group * c + unit.y, return_inverse=True)  # [p] rows of one class in one group
    of, y, k = parts // c, parts % c, np.bincount(part)
    s = _sums(part, len(parts)) @ v  # [p, d]
    q = np.bincount(part, (v**2).sum(axis=1))  # [p]
    m = unit.count[y]
    left = np.maximum(m - k, 1)
    there = m > k
    moved = np.where(there, -1 / left, 0)[:, None] * s  # [p, d]
    fallen = np.where(there, spread[y] - (m * spread[y] - q - (s**2).sum(axis=1) / left) / left, 0)

    within = np.maximum(0, spread.mean() - np.bincount(of, fallen, g) / c)
    middle = _sums(of, g) @ moved / c  # [g, d], by which the mean of the classes' means moves
    towards = np.bincount(of, 2 * (sides[y] * moved).sum(axis=1) + (moved**2).sum(axis=1), g)
    between = np.maximum(0, ((sides**2).sum() + towards) / c - (middle**2).sum(axis=1))
    overall = between + within
    value = (sides**2).sum() / ((sides**2).sum() + c * spread.mean())
    return np.divide(between, overall, out=np.full(g, value), where=overall > _ROUNDING)


def _sums(number: NDArray[np.int64], count: int) -> csr_array:
    """Return the matrix ``[count, n]`` that sums rows with the same number."""
    n = len(number)
    return csr_array((np.ones(n), (number, np.arange(n))), shape=(count, n))


def _uniformity(u: Array) -> float | None:
    n = len(u)
    if n < 2:
        return None
    u32 = u.astype(np.float32)
    total, step = 0.0, max(1, CHUNK // n)
    for start in range(0, n, step):
        part = u32[start : start + step]
        near = part @ u32[start:].T  # [step, n - start], each pair once but inside the leading square
        np.exp(4 * (near - 1), out=near)  # -2 ‖u - v‖² = 4 (cos - 1)
        m = len(part)
        square = near[:, :m].sum(dtype=np.float64) - np.trace(near[:, :m], dtype=np.float64)
        total += square + 2 * near[:, m:].sum(dtype=np.float64)
    return min(0.0, float(np.log(total / (n * (n - 1)))))
