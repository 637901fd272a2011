"""What a table of scores allows to be said: means over seeds, ranks over data sets, and which differ.

Shapes: ``m`` models, ``n`` data sets.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr
from scipy.stats import friedmanchisquare, rankdata, studentized_range

from ..core import half_samples
from ..core.comparison import Paired, flip_p, gap_p, group_sums, over_sets
from ..core.errors import ShapeError
from ..core.outcomes import Outcomes
from ..core.statistics import Z95, Interval, joined_freedom, t_quantile

ALPHA = 0.05
"""A difference is called significant below this probability."""


@dataclass(frozen=True, eq=False)
class Units:
    """What became of rows or episodes, small enough to hold those of thousands of records.

    Attributes:
        of: digest of the units' names in order.
        answers: that each unit asks for.
        right: ``[u]`` right answers of each.
        sizes: ``[g]`` rows of each group, which stand one after another; 1 each where units are on their own.
        draws: right answers of each of several draws; empty of a single one.
        episodes: whether the units are episodes.
        halves: ``[b, 2, 2]`` accuracies of both batches of both halves of each halving of the images that
            episodes use; None for rows, and where a class cannot be halved.
    """

    of: str
    answers: int
    right: NDArray[np.uint16]
    sizes: NDArray[np.int64]
    draws: NDArray[np.int64]
    episodes: bool = False
    halves: NDArray[np.float64] | None = None

    @classmethod
    def of_outcomes(cls, outcomes: Outcomes) -> "Units":
        """The same as ``outcomes``, in two bytes a unit."""
        right = np.array(outcomes.right, dtype=np.uint16)
        sizes = np.array(outcomes.sizes or np.ones(len(right)), dtype=np.int64)
        draws = np.array(outcomes.draws, dtype=np.int64)
        episodes, halves = outcomes.unit == "episodes", outcomes.half_accuracies
        return cls(outcomes.of, outcomes.answers, right, sizes, draws, episodes, halves)


@dataclass(frozen=True)
class Ranks:
    """How models rank over data sets, and whether their ranks differ.

    Attributes:
        models: ``[m]`` best mean rank first.
        mean_ranks: ``[m]`` 1 is best; ties share a rank.
        datasets: how many sets ranked them.
        friedman_p: probability of ranks at least so far apart if all models were equal; 1 for fewer than
            three models or two data sets, where the test says nothing.
        critical_difference: of mean ranks, Nemenyi at 5 %; None where there is no test.
    """

    models: tuple[str, ...]
    mean_ranks: tuple[float, ...]
    datasets: int
    friedman_p: float
    critical_difference: float | None

    @property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        """The largest runs of two or more models whose ranks are not significantly apart.

        Where Friedman's test sees no difference, no two models are: one run holds them all.
        """
        if self.critical_difference is None:
            return ()
        if self.friedman_p >= ALPHA:
            return (self.models,)
        found: list[tuple[int, int]] = []
        for start, rank in enumerate(self.mean_ranks):
            end = max(i for i, r in enumerate(self.mean_ranks) if r - rank <= self.critical_difference)
            if end > start and (not found or end > found[-1][1]):
                found.append((start, end))
        return tuple(self.models[start : end + 1] for start, end in found)

    def beaten_by(self, model: str) -> tuple[str, ...]:
        """Models that rank significantly behind ``model``; none where Friedman's test sees no difference."""
        if self.critical_difference is None or self.friedman_p >= ALPHA:
            return ()
        own = self.mean_ranks[self.models.index(model)]
        ranked = zip(self.models, self.mean_ranks, strict=True)
        return tuple(name for name, rank in ranked if rank - own > self.critical_difference)


def ranks(models: Sequence[str], values: NDArray[np.floating]) -> Ranks:
    """Rank models set by set, average, and test with Friedman [1] and Nemenyi [2] as Demšar advises [3].

    Args:
        models: ``[m]`` names.
        values: ``[m, n]`` scores, higher is better.

    Raises: ShapeError: if the two do not fit together, or there is nothing to rank.

    [1] Friedman, The use of ranks to avoid the assumption of normality, JASA 1937.
    [2] Nemenyi, Distribution-free multiple comparisons, 1963.
    [3] Demšar, Statistical comparisons of classifiers over multiple data sets, JMLR 2006.
    """
    if values.ndim != 2 or len(values) != len(models) or not values.size:
        raise ShapeError(f"{len(models)} models need values [{len(models)}, n], not {list(values.shape)}.")
    m, n = values.shape
    placed = np.array([rankdata(-column) for column in values.round(12).T])  # [n, m]
    means = placed.mean(axis=0)
    tested = m >= 3 and n >= 2
    differing = tested and bool((placed != placed[:, :1]).any())
    p = float(friedmanchisquare(*placed.T).pvalue) if differing else 1.0
    order = np.argsort(means, kind="stable")
    return Ranks(
        models=tuple(models[i] for i in order),
        mean_ranks=tuple(float(means[i]) for i in order),
        datasets=n,
        friedman_p=p,
        critical_difference=critical_difference(m, n) if tested else None,
    )


def critical_difference(m: int, n: int, *, alpha: float = ALPHA) -> float:
    """By how much mean ranks must differ, Nemenyi: ``q √(m (m + 1) / 6n)``, ``q`` the studentised range / √2.

    Args:
        m: models.
        n: data sets.
        alpha: the chance that equal models give one such difference anywhere.

    Raises: ShapeError: for fewer than two models or no data set.
    """
    if m < 2 or n < 1:
        raise ShapeError(f"{m} models on {n} data sets have no critical difference: give 2 and 1 or more.")
    q = float(studentized_range.ppf(1 - alpha, m, np.inf)) / math.sqrt(2)
    return q * math.sqrt(m * (m + 1) / (6 * n))


def seed_mean(values: Sequence[float], lows: Sequence[float], highs: Sequence[float]) -> tuple[float, Interval]:
    """The mean over seeds; its interval holds both what seeds change and what the rows leave open.

    Seeds are scored on the same rows, so that their own intervals do not shrink by averaging: the squared
    standard errors over seeds and over rows (the mean half width of the intervals over 1.96) are added, and
    Student's t has the degrees of freedom that both of them leave [4, 5 of ``difference_p``]. One seed keeps
    its own interval.

    Args:
        values: ``[s]``, one a seed.
        lows: ``[s]``, of their intervals.
        highs: ``[s]``.

    Raises: ShapeError: if there is none.
    """
    if not values:
        raise ShapeError("A mean over seeds needs at least 1 value, not 0.")
    mean, s = float(np.mean(values)), len(values)
    if s == 1:
        return mean, Interval(lows[0], highs[0], "of the record")
    of_seeds = float(np.var(values, ddof=1)) / s
    below, above = (
        _with_seeds(of_seeds, s, float(np.mean(np.subtract(*ends)))) for ends in ((values, lows), (highs, values))
    )
    return mean, Interval(mean - below, mean + above, f"of {s} seeds and their rows")


def _with_seeds(of_seeds: float, s: int, half: float) -> float:
    """Half width over rows and ``s`` seeds, of that over rows and the squared standard error of seeds."""
    of_rows = (half / Z95) ** 2
    quantile = t_quantile(joined_freedom((of_rows, math.inf), (of_seeds, s - 1)))
    return quantile * math.sqrt(of_rows + of_seeds)


def difference_p(a: Mapping[int, Units], b: Mapping[int, Units]) -> float | None:
    """Two-sided probability of the difference of two models on one data set if there were none.

    Seeds that both have are compared on the same rows or episodes. Rows that several seeds answered count
    once, with the mean of the seeds. One seed is tested as ``paired`` in ``core.comparison`` tests it.

    Of several seeds the mean difference is uncertain twice: other rows or groups of rows ``u`` could have
    been asked, and other seeds ``s`` drawn. The squared standard errors ``a = var(rows) / u`` and
    ``b = var(seeds) / s`` are added, and Student's t has ``(a + b)² / (a² / (u − 1) + b² / (s − 1))``
    degrees of freedom, as Welch [4] and Satterthwaite [5] have them. What rows and seeds share is counted in
    both, which errs towards seeing no difference. All episodes use the same images: their ``a`` is the
    variance by halves of the images, which does not shrink with the number of seeds, plus that over all
    episodes, and ``u`` is the number of halvings.

    Args:
        a: seed → outcomes of the first model.
        b: of the second.

    Returns: None where no seed has the same units for both; 1 for episodes of classes too small to be halved.

    [4] Welch, The generalization of Student's problem when several different population variances are
        involved, Biometrika 1947.
    [5] Satterthwaite, An approximate distribution of estimates of variance components, Biometrics
        Bulletin 1946.
    """
    shared = [seed for seed in a if seed in b and _same_units(a[seed], b[seed])]
    if not shared:
        return None
    gaps = [_gaps(a[seed], b[seed]) for seed in shared]
    if a[shared[0]].episodes:
        return _episodes_p(gaps, [_half_gaps(a[seed], b[seed]) for seed in shared])
    if len(shared) == 1:
        return _one_seed_p(a[shared[0]], b[shared[0]])
    by_units: dict[str, list[NDArray[np.float64]]] = {}
    sizes: dict[str, NDArray[np.int64]] = {}
    for seed, gap in zip(shared, gaps, strict=True):
        by_units.setdefault(a[seed].of, []).append(gap)
        sizes[a[seed].of] = a[seed].sizes
    units, of = np.concatenate([np.mean(parts, axis=0) for parts in by_units.values()]), [*sizes.values()]
    return gap_p(group_sums(units, np.concatenate(of)), np.concatenate(of), np.array([gap.mean() for gap in gaps]))


def _one_seed_p(a: Units, b: Units) -> float:
    """Of rows, as ``core.comparison.paired`` has it."""
    sums = group_sums(a.right.astype(np.int64) - b.right, a.sizes)
    if len(a.draws):
        return gap_p(sums / a.answers, a.sizes, (a.draws - b.draws) / len(a.right))
    return flip_p(sums)


def _episodes_p(gaps: Sequence[NDArray[np.float64]], halves: Sequence[NDArray[np.float64] | None]) -> float:
    """That the mean of ``gaps``, ``[e]`` a seed, is 0; ``halves`` are differences ``[b, 2, 2]`` a seed."""
    known = [one for one in halves if one is not None]
    if len(known) < len(gaps):
        return 1.0
    if len(known) == 1:
        return half_samples.difference_p(gaps[0], known[0])
    every, seeds = np.concatenate(gaps), np.array([gap.mean() for gap in gaps])
    of_images, freedom = half_samples.squared_error(every, np.concatenate(known))
    of_seeds = float(seeds.var(ddof=1)) / len(seeds)
    if seeds.mean() == 0 or of_images + of_seeds == 0:
        return float(seeds.mean() == 0)
    freedom = joined_freedom((of_images, freedom), (of_seeds, len(seeds) - 1))
    return float(2 * stdtr(freedom, -abs(seeds.mean()) / math.sqrt(of_images + of_seeds)))


def _half_gaps(a: Units, b: Units) -> NDArray[np.float64] | None:
    """``[b, 2, 2]`` differences of both batches of both halves; None without halves."""
    return None if a.halves is None or b.halves is None else a.halves - b.halves


def _gaps(a: Units, b: Units) -> NDArray[np.float64]:
    """``[u]`` share of answers that only the first has right, less that of the second."""
    return (a.right.astype(np.float64) - b.right) / a.answers


def _same_units(a: Units, b: Units) -> bool:
    return (a.of, a.answers, len(a.right)) == (b.of, b.answers, len(b.right))


def holm(p: Sequence[float]) -> list[float]:
    """Probabilities corrected for how many are looked at, in the order given [6].

    The ``i``-th smallest of ``k`` is multiplied by ``k − i + 1``, and none may fall below a smaller one.

    [6] Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics
        1979.
    """
    corrected, least = [0.0] * len(p), 0.0
    for place, index in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        least = max(least, min(1.0, p[index] * (len(p) - place)))
        corrected[index] = least
    return corrected


@dataclass(frozen=True)
class ModelPair:
    """Two models over data sets.

    Attributes:
        a, b: which; ``a`` has the higher mean.
        found: difference, Student's interval, Wilcoxon's p.
        p_holm: that p, corrected for the number of pairs.
    """

    a: str
    b: str
    found: Paired
    p_holm: float


def pairs(models: Sequence[str], values: NDArray[np.floating]) -> list[ModelPair]:
    """Every two models over the data sets: Wilcoxon's signed ranks, corrected by Holm.

    Args:
        models: ``[m]`` names.
        values: ``[m, n]`` scores.
    """
    order = sorted(range(len(models)), key=lambda i: -float(values[i].mean()))
    both = [(a, b) for place, a in enumerate(order) for b in order[place + 1 :]]
    found = [over_sets((values[a] - values[b]).tolist()) for a, b in both]
    corrected = holm([one.p for one in found])
    return [ModelPair(models[a], models[b], one, p) for (a, b), one, p in zip(both, found, corrected, strict=True)]


def least_p(sets: int, compared: int) -> float:
    """The smallest corrected p that ``pairs`` can find: all signs alike, ``2 / 2^n``, times the pairs.

    Args:
        sets: ``n`` data sets.
        compared: how many pairs.
    """
    return min(1.0, 2.0 ** (1 - sets) * compared)


def group_means(values: Mapping[str, float], group: Mapping[str, str]) -> dict[str, float]:
    """Means of ``values`` over the members of each group, in the order in which groups first appear.

    Args:
        values: member → value.
        group: member → group.
    """
    found: dict[str, list[float]] = {}
    for member, value in values.items():
        found.setdefault(group[member], []).append(value)
    return {name: float(np.mean(members)) for name, members in found.items()}
