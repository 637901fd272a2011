"""Statistics of a table of scores: means over seeds, ranks over data sets, and significance tests.

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
from ..core.comparison import Paired, flip_p, group_difference_p, group_sums, over_sets
from ..core.errors import ShapeError
from ..core.outcomes import Outcomes
from ..core.statistics import FEWEST_SEEDS, Z95, Interval, freedom_with_repeats, t_quantile, welch_satterthwaite

ALPHA = 0.05
"""Significance level: a difference is significant if its p is below it."""


@dataclass(frozen=True, eq=False)
class Units:
    """Outcomes of rows or episodes, in a form small enough for thousands of records.

    Attributes:
        of: Digest of the units' names in order.
        predictions: Number of predictions per unit.
        correct: ``[u]`` number of correct predictions per unit.
        sizes: ``[g]`` number of rows per group; rows of a group are consecutive; 1 for ungrouped units.
        draws: Number of correct predictions in each of several draws; empty for a single draw.
        episodes: Whether the units are episodes.
        halves: ``[b, 2, 2]`` accuracies of both batches of both halves of each halving of the images that
            episodes use; None for rows, and if a class is too small to be halved.
    """

    of: str
    predictions: int
    correct: NDArray[np.uint16]
    sizes: NDArray[np.int64]
    draws: NDArray[np.int64]
    episodes: bool = False
    halves: NDArray[np.float64] | None = None

    @classmethod
    def of_outcomes(cls, outcomes: Outcomes) -> "Units":
        """Convert ``outcomes`` to two bytes per unit."""
        correct = np.array(outcomes.correct, dtype=np.uint16)
        sizes = np.array(outcomes.sizes or np.ones(len(correct)), dtype=np.int64)
        draws = np.array(outcomes.draws, dtype=np.int64)
        episodes, halves = outcomes.unit == "episodes", outcomes.half_accuracies
        return cls(outcomes.of, outcomes.predictions, correct, sizes, draws, episodes, halves)


@dataclass(frozen=True)
class Ranks:
    """Mean ranks of models over data sets, and the tests of their differences.

    Attributes:
        models: ``[m]`` names, the best mean rank first.
        mean_ranks: ``[m]`` mean ranks; 1 is best, and ties share a rank.
        datasets: Number of data sets.
        friedman_p: Friedman's p, the probability of ranks at least as different if all models were equal; 1 for
            fewer than three models or two data sets, for which there is no test.
        critical_difference: Nemenyi's critical difference of mean ranks at 5 %; None without a test.
    """

    models: tuple[str, ...]
    mean_ranks: tuple[float, ...]
    datasets: int
    friedman_p: float
    critical_difference: float | None

    @property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        """The largest groups of two or more models whose ranks do not differ significantly.

        If Friedman's test is not significant, no two models differ, and one group contains all of them.
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
        """Return the models with significantly worse ranks than ``model``; none if Friedman's p is not significant."""
        if self.critical_difference is None or self.friedman_p >= ALPHA:
            return ()
        own = self.mean_ranks[self.models.index(model)]
        ranked = zip(self.models, self.mean_ranks, strict=True)
        return tuple(name for name, rank in ranked if rank - own > self.critical_difference)


def ranks(models: Sequence[str], values: NDArray[np.floating]) -> Ranks:
    """Rank models on each data set, average the ranks, and test with Friedman [1] and Nemenyi [2], as in Demšar [3].

    Args:
        models: ``[m]`` names.
        values: ``[m, n]`` scores, higher is better.

    Raises: ShapeError: if names and scores do not match, or there is nothing to rank.

    [1] Friedman, The use of ranks to avoid the assumption of normality, JASA 1937.
    [2] Nemenyi, Distribution-free multiple comparisons, 1963.
    [3] Demšar, Statistical comparisons of classifiers over multiple data sets, JMLR 2006.
    """
    if values.ndim != 2 or len(values) != len(models) or not values.size:
        raise ShapeError(f"{len(models)} models need values [{len(models)}, n], not {list(values.shape)}.")
    m, n = values.shape
    ranked = np.array([rankdata(-column) for column in values.round(12).T])  # ranks on each data set [n, m]
    means = ranked.mean(axis=0)  # mean ranks [m]
    tested = m >= 3 and n >= 2
    differing = tested and bool((ranked != ranked[:, :1]).any())
    p = float(friedmanchisquare(*ranked.T).pvalue) if differing else 1.0
    order = np.argsort(means, kind="stable")
    return Ranks(
        models=tuple(models[i] for i in order),
        mean_ranks=tuple(float(means[i]) for i in order),
        datasets=n,
        friedman_p=p,
        critical_difference=critical_difference(m, n) if tested else None,
    )


def critical_difference(m: int, n: int, *, alpha: float = ALPHA) -> float:
    """Return Nemenyi's critical difference of mean ranks: ``q √(m (m + 1) / 6n)``.

    ``q`` is the quantile ``1 - alpha`` of the studentised range of ``m`` groups, divided by √2.

    Args:
        m: number of models.
        n: number of data sets.
        alpha: probability that equal models have at least one such difference.

    Raises: ShapeError: for fewer than two models or no data set.
    """
    if m < 2 or n < 1:
        raise ShapeError(f"{m} models on {n} data sets have no critical difference: give 2 and 1 or more.")
    q = float(studentized_range.ppf(1 - alpha, m, np.inf)) / math.sqrt(2)
    return q * math.sqrt(m * (m + 1) / (6 * n))


def seed_mean(values: Sequence[float], lows: Sequence[float], highs: Sequence[float]) -> tuple[float, Interval]:
    """Return the mean over seeds and an interval that covers the variance over seeds and over rows.

    All seeds are scored on the same rows, so that averaging does not reduce the variance over rows. The squared
    standard errors over seeds and over rows (the mean half width of the intervals, divided by 1.96) are added,
    and Student's t has their joint degrees of freedom [4, 5 of ``difference_p``]. A single seed keeps its own
    interval; two have none, because it would be about twice as wide as necessary.

    Args:
        values: ``[s]`` values, one per seed.
        lows: ``[s]`` lower ends of their intervals.
        highs: ``[s]`` upper ends of their intervals.

    Raises: ShapeError: if there is no value.
    """
    if not values:
        raise ShapeError("A mean over seeds needs at least 1 value, not 0.")
    mean, s = float(np.mean(values)), len(values)
    if s == 1:
        return mean, Interval(lows[0], highs[0], "of the record")
    if s < FEWEST_SEEDS:
        return mean, Interval.unknown(f"fewer than {FEWEST_SEEDS} seeds")
    seed_error = float(np.var(values, ddof=1)) / s  # squared standard error over seeds
    below, above = (
        _half_width(seed_error, s, float(np.mean(np.subtract(*ends)))) for ends in ((values, lows), (highs, values))
    )
    return mean, Interval(mean - below, mean + above, f"of {s} seeds and their rows")


def _half_width(seed_error: float, s: int, row_half: float) -> float:
    """Return the half width of an interval over rows and ``s`` seeds.

    Args:
        seed_error: squared standard error over seeds.
        s: number of seeds.
        row_half: half width of the interval over rows alone.
    """
    row_error = (row_half / Z95) ** 2  # squared standard error over rows
    quantile = t_quantile(welch_satterthwaite((row_error, math.inf), (seed_error, s - 1)))
    return quantile * math.sqrt(row_error + seed_error)


def difference_p(a: Mapping[int, Units], b: Mapping[int, Units]) -> float | None:
    """Return the two-sided p of the difference between two models on one data set.

    The seeds of both models are compared on the same rows or episodes. Rows that several seeds answered count
    once, with the mean of the seeds. A single seed is tested as by ``paired`` in ``core.comparison``.

    With several seeds, the mean difference varies with the rows, or groups of rows, ``u`` and with the seeds
    ``s``. The squared standard errors ``a = var(rows) / u`` and ``b = var(seeds) / s`` are added, and Student's t
    has ``(a + b)² / (a² / (u − 1) + b² / (s − 1))`` degrees of freedom, after Welch [4] and Satterthwaite [5].
    Variance that rows and seeds share is counted in both, which makes the test conservative. All episodes use
    the same images: their ``a`` is the variance by halves of the images, which does not shrink with the number
    of seeds, plus the variance over all episodes, and ``u`` is the number of halvings.

    Args:
        a: seed → outcomes of the first model.
        b: seed → outcomes of the second model.

    Returns: p; None if no seed has the same units for both; 1 for episodes of classes too small to be halved.

    [4] Welch, The generalization of Student's problem when several different population variances are
        involved, Biometrika 1947.
    [5] Satterthwaite, An approximate distribution of estimates of variance components, Biometrics
        Bulletin 1946.
    """
    shared = [seed for seed in a if seed in b and _same_units(a[seed], b[seed])]
    if not shared:
        return None
    differences = [_unit_differences(a[seed], b[seed]) for seed in shared]  # [u] per seed
    if a[shared[0]].episodes:
        return _episodes_p(differences, [_half_differences(a[seed], b[seed]) for seed in shared])
    if len(shared) == 1:
        return _one_seed_p(a[shared[0]], b[shared[0]])
    by_units: dict[str, list[NDArray[np.float64]]] = {}
    sizes_by_units: dict[str, NDArray[np.int64]] = {}
    for seed, difference in zip(shared, differences, strict=True):
        by_units.setdefault(a[seed].of, []).append(difference)
        sizes_by_units[a[seed].of] = a[seed].sizes
    units = np.concatenate([np.mean(parts, axis=0) for parts in by_units.values()])  # means over seeds
    sizes = np.concatenate([*sizes_by_units.values()])
    return group_difference_p(
        group_sums(units, sizes), sizes, np.array([difference.mean() for difference in differences])
    )


def _one_seed_p(a: Units, b: Units) -> float:
    """Return p for the rows of one seed, as ``core.comparison.compare_outcomes`` does."""
    sums = group_sums(a.correct.astype(np.int64) - b.correct, a.sizes)
    if len(a.draws):
        return group_difference_p(sums / a.predictions, a.sizes, (a.draws - b.draws) / len(a.correct))
    return flip_p(sums)


def _episodes_p(differences: Sequence[NDArray[np.float64]], halves: Sequence[NDArray[np.float64] | None]) -> float:
    """Return the two-sided p of the mean difference of episodes.

    Args:
        differences: ``[e]`` differences of episodes per seed.
        halves: ``[b, 2, 2]`` differences of halves per seed; None if a class is too small to be halved.
    """
    known = [one for one in halves if one is not None]
    if len(known) < len(differences):
        return 1.0
    if len(known) == 1:
        return half_samples.difference_p(differences[0], known[0])
    episodes, seeds = np.concatenate(differences), np.array([one.mean() for one in differences])
    image_error, freedom = half_samples.variance_of_mean(episodes, np.concatenate(known))
    seed_error = float(seeds.var(ddof=1)) / len(seeds)  # squared standard error over seeds
    if seeds.mean() == 0 or image_error + seed_error == 0:
        return float(seeds.mean() == 0)
    freedom = freedom_with_repeats(image_error, freedom, seed_error, len(seeds))
    return float(2 * stdtr(freedom, -abs(seeds.mean()) / math.sqrt(image_error + seed_error)))


def _half_differences(a: Units, b: Units) -> NDArray[np.float64] | None:
    """Return differences ``[b, 2, 2]`` of both batches of both halves; None without halves."""
    return None if a.halves is None or b.halves is None else a.halves - b.halves


def _unit_differences(a: Units, b: Units) -> NDArray[np.float64]:
    """Return the difference ``[u]`` between the fractions of correct predictions of the two models."""
    return (a.correct.astype(np.float64) - b.correct) / a.predictions


def _same_units(a: Units, b: Units) -> bool:
    return (a.of, a.predictions, len(a.correct)) == (b.of, b.predictions, len(b.correct))


def holm(p: Sequence[float]) -> list[float]:
    """Return p values corrected for multiple comparisons by Holm [6], in the given order.

    The ``i``-th smallest of ``k`` is multiplied by ``k − i + 1``, and the results are made monotonic.

    [6] Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics
        1979.
    """
    corrected, largest = [0.0] * len(p), 0.0
    for position, index in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        largest = max(largest, min(1.0, p[index] * (len(p) - position)))
        corrected[index] = largest
    return corrected


@dataclass(frozen=True)
class ModelPair:
    """The comparison of two models over data sets.

    Attributes:
        a, b: Names of the models; ``a`` has the higher mean.
        found: Mean difference, Student's interval, and Wilcoxon's p.
        p_holm: Wilcoxon's p, corrected for the number of pairs by Holm.
    """

    a: str
    b: str
    found: Paired
    p_holm: float


def pairs(models: Sequence[str], values: NDArray[np.floating]) -> list[ModelPair]:
    """Compare every pair of models over data sets by Wilcoxon's signed-rank test, corrected by Holm.

    Args:
        models: ``[m]`` names.
        values: ``[m, n]`` scores.
    """
    order = sorted(range(len(models)), key=lambda i: -float(values[i].mean()))
    both = [(a, b) for position, a in enumerate(order) for b in order[position + 1 :]]
    found = [over_sets((values[a] - values[b]).tolist()) for a, b in both]
    corrected = holm([one.p for one in found])
    return [ModelPair(models[a], models[b], one, p) for (a, b), one, p in zip(both, found, corrected, strict=True)]


def min_p(sets: int, compared: int) -> float:
    """Return the smallest possible corrected p of ``pairs``: ``2 / 2^n`` for equal signs, times the number of pairs.

    Args:
        sets: number ``n`` of data sets.
        compared: number of pairs.
    """
    return min(1.0, 2.0 ** (1 - sets) * compared)


def group_means(values: Mapping[str, float], group: Mapping[str, str]) -> dict[str, float]:
    """Return means of ``values`` over the members of each group, in the order in which groups first appear.

    Args:
        values: member → value.
        group: member → group.
    """
    found: dict[str, list[float]] = {}
    for member, value in values.items():
        found.setdefault(group[member], []).append(value)
    return {name: float(np.mean(members)) for name, members in found.items()}
