"""How much of what can be read off an image stands, linearly, in its features: one score a target.

A continuous target ``y`` ``[n, t]`` is predicted by ridge regression; its score is the share of its variance
that is explained on test rows,

    R² = 1 − Σᵢ ‖yᵢ − ŷᵢ‖² / Σᵢ ‖yᵢ − ȳ‖²,

with predictions limited to the values that the fitted rows take: a test row unlike any of them would
otherwise be sent far beyond, and outweigh all others. A target on the circle is a unit vector ``(cos, sin)``,
for which the same formula holds. A categorical target is predicted by logistic regression; its score is the
share of the errors of always naming the commonest class that are not made, ``1 − errors / errors of the
commonest``. So 0 is knowing nothing and 1 is knowing all, for every target. Penalties are chosen on
validation rows, one a target.
"""

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, lru_cache
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from ..core.errors import DataError, UsageError
from ..core.features import Features
from ..core.groups import group_numbers
from ..core.registry import unknown_name
from ..core.results import Score
from ..core.seeding import generator
from ..core.statistics import Interval, bootstrap_limits
from .axes import Axes, principal_axes
from .classification import selection, train_and_test
from .descent import StoppingRule
from .logistic import LIMITS, logistic_along
from .normalizing import column_scale_and_mean
from .probe import PROBES
from .ridge import ridge_along

Level = Literal["low", "mid", "high", "factors"]
LEVELS: tuple[Level, ...] = ("low", "mid", "high")
"""Those that every data set has."""

Array = NDArray[np.float64]

DRAWS = 500
"""Resamples of the test rows behind an interval."""

CHOOSING = StoppingRule(tolerance=1e-4, gradient_tolerance=1e-3, max_iterations=300)
"""When a logistic regression is good enough to say whether its penalty is the best: half as many steps as the
one that scores takes."""

_LEAST_SPREAD = 1e-9  # of a target's variance: below, it is constant


@dataclass(frozen=True)
class SemanticSettings:
    """Which targets are predicted, and how.

    Attributes:
        level: ``low`` (colour, contrast, orientation, frequency), ``mid`` (texture, shape, symmetry, figure
            and ground), ``high`` (the class) or, of drawn images, the recorded ``factors``.
        mid_tasks: tasks of level ``mid`` that take further views of every image: ``rotation`` (four
            views), ``patch`` (nine) and ``corruption`` (twelve); ``none`` for none of them.
        penalties: how many L2 penalties are tried, log-spaced, on standardised features.
    """

    level: Level = "low"
    mid_tasks: tuple[str, ...] = ("rotation",)
    penalties: int = 13

    def __post_init__(self) -> None:
        if self.level not in get_args(Level):
            raise unknown_name("level", self.level, list(get_args(Level)))
        if self.penalties < 2:
            raise UsageError(f"--penalties {self.penalties} leaves nothing to choose: give 2 or more.")

    @property
    def grid(self) -> list[float]:
        """The penalties, ascending, for features of deviation 1."""
        return np.geomspace(1e-2, 1e6, self.penalties).tolist()

    def to_json(self) -> dict[str, Any]:
        """Plain values, for records."""
        value = asdict(self)
        return {**value, "mid_tasks": list(self.mid_tasks) if self.level == "mid" else []}


@dataclass(frozen=True)
class TargetScore:
    """What features say of one target.

    Attributes:
        value: 1 is knowing all, 0 nothing; below is worse than always guessing the same.
        low, high: 95 % interval, by bootstrap over the groups of the test rows.
        penalty: chosen on validation rows.
        n: test rows; test images, where a task shows several views of each.
        terms: ``[g, 2]`` of the groups: what was missed, and what a constant misses; their sums give
            ``value``.
        groups: ``[g]`` names: what is resampled. Each row is its own group unless the features say otherwise.
    """

    value: float
    low: float
    high: float
    penalty: float
    n: int
    terms: Array
    groups: tuple[str, ...] = ()

    def to_json(self) -> dict[str, float]:
        """Plain values, without the rows."""
        return {name: value for name, value in vars(self).items() if name not in ("terms", "groups")}


class SemanticProbe:
    """The mean score of all targets that the features carry."""

    settings_type = SemanticSettings

    def score(self, splits: Mapping[str, Features], settings: SemanticSettings, *, seed: int) -> Score:
        """What the features of one layer say of their ``targets``; those that are constant are named."""
        started = time.perf_counter()
        scores, constant = target_scores(splits, settings.grid, seed=seed)
        return summary(scores, constant, seed=seed, seconds=time.perf_counter() - started)


PROBES.register("semantic")(SemanticProbe())


def target_scores(
    splits: Mapping[str, Features], penalties: Sequence[float], *, seed: int
) -> tuple[dict[str, TargetScore], tuple[str, ...]]:
    """A score for every target of the splits, and the names of those that do not vary.

    Args:
        splits: ``train``, ``test`` and, where there is one, ``val``; with the same ``targets``: floating
            point ``[n, t]``, or integers ``[n]`` for categories.
        penalties: for standardised features, each above 0.
        seed: of the bootstrap, and of the validation rows where there is no ``val``.

    Raises: DataError: if there are no targets, or too few rows.
    """
    fitting, test = train_and_test(splits)
    train, held, _ = selection(splits, seed=seed)
    if not test.targets:
        raise DataError("There are no targets to predict: name some, or use --protocol linear for classes.")
    constant = tuple(name for name in test.targets if _constant(name, (train, held, test)))
    names = [name for name in test.targets if name not in constant]
    measured = [name for name in names if test.targets[name].ndim == 2]
    if not names:
        return {}, constant
    dtype = torch.float64 if measured else torch.float32
    chosen_on, scored_on = _Fit.of(train, held, dtype), _Fit.of(fitting, test, dtype)
    scores = _continuous(chosen_on, scored_on, measured, penalties) if measured else {}
    for name in names:
        if name not in measured:
            scores[name] = _categorical(chosen_on, scored_on, name, penalties)
    groups, numbers = group_numbers(test.ids if test.groups is None else test.groups)
    counts = _redrawn(len(groups), seed, "bootstrap")
    return {name: _with_interval(scores[name], groups, numbers, counts) for name in names}, constant


def summary(scores: Mapping[str, TargetScore], constant: Sequence[str], *, seed: int, seconds: float) -> Score:
    """The mean over targets, its interval, and each target's own.

    In the mean, worse than knowing nothing counts as nothing: one prediction far off would outweigh all else.
    The interval takes the targets as they are and resamples the groups of all their rows: a group that is
    drawn twice counts twice in each target that has rows of it.

    Raises: DataError: if every target is constant.
    """
    if not scores:
        raise DataError(f"Nothing varies over these rows: {', '.join(constant)} are constant.")
    counts = _counts_of_groups(dict.fromkeys(score.groups for score in scores.values()), seed)
    each = [_ratio(counts[score.groups] @ score.terms) for score in scores.values()]
    drawn = np.array(each).clip(0).mean(0)  # [draws]
    groups = len({name for score in scores.values() for name in score.groups})
    value = float(np.mean([max(0.0, score.value) for score in scores.values()]))
    low, high = _limits(drawn, value, groups)
    return Score(
        metric="explained",
        value=value,
        interval=Interval(max(0.0, low), high, f"bootstrap of {DRAWS}"),
        n=max(score.n for score in scores.values()),
        selected_on="validation rows",
        evaluated_on="test",
        extra_metrics={
            "targets": {name: score.to_json() for name, score in scores.items()},
            "constant": list(constant),
        },
        seconds={"fit": seconds, "score": 0.0},
    )


@dataclass(frozen=True, eq=False)
class _Fit:
    """Rows that are fitted, decomposed once for all their targets, and rows that are asked.

    Attributes:
        fitted, asked: the rows; columns count by their deviation over ``fitted``.
        axes: of ``fitted``.
        along: ``[m, r]`` the rows of ``asked`` along them.
    """

    fitted: Features
    asked: Features
    axes: Axes
    along: torch.Tensor

    @classmethod
    def of(cls, fitted: Features, asked: Features, dtype: torch.dtype) -> "_Fit":
        """Decompose ``fitted``; ridge regression wants float64, for logistic regression float32 is enough."""
        x, others = (torch.from_numpy(np.asarray(rows.x)).to(dtype) for rows in (fitted, asked))
        scale = column_scale_and_mean(fitted.x)[0].to(dtype)
        axes = principal_axes(x / scale, device=x.device, dtype=x.dtype)
        return cls(fitted, asked, axes, axes.coordinates(others / scale))

    @cached_property
    def single(self) -> Axes:
        """``axes`` in float32."""
        return self.axes if self.along.dtype == torch.float32 else self.axes.single()

    def continuous(self, names: Sequence[str], penalties: Sequence[float]) -> Array:
        """What ridge regression answers of targets, side by side, ``[p, m, t]``."""
        y = torch.from_numpy(_stacked(self.fitted, names))
        weights, level = ridge_along(self.axes, y, penalties)
        answers: Array = (self.along @ weights + level).clamp(y.amin(0), y.amax(0)).numpy()
        return answers

    def categorical(self, name: str, penalties: Sequence[float], limits: StoppingRule = LIMITS) -> NDArray[np.int64]:
        """What logistic regression answers of a target, ``[p, m]``."""
        y = torch.from_numpy(self.fitted.targets[name].astype(np.int64))
        path = logistic_along(self.single, y, penalties, int(y.max()) + 1, limits=limits)
        logits = self.along.float() @ path.weights + path.biases[:, None]
        return logits.argmax(2).numpy()


def _constant(name: str, parts: Sequence[Features]) -> bool:
    """Whether a target does not vary over the rows of some part."""
    values = [part.targets[name] for part in parts]
    if values[0].ndim == 1:
        return any(len(np.unique(value)) < 2 for value in values)
    spread = [np.square(value - value.mean(0)).sum(1).mean() for value in values]
    return min(spread) <= _LEAST_SPREAD * max(1.0, float(np.square(values[0]).sum(1).mean()))


def _continuous(
    chosen_on: _Fit, scored_on: _Fit, names: Sequence[str], penalties: Sequence[float]
) -> dict[str, TargetScore]:
    """All at once: every penalty and every column from one decomposition; a penalty for each target."""
    columns = np.cumsum([0, *(scored_on.asked.targets[name].shape[1] for name in names)])
    places = {name: slice(a, b) for name, a, b in zip(names, columns, columns[1:], strict=False)}
    held, test = chosen_on.continuous(names, penalties), scored_on.continuous(names, penalties)
    scores = {}
    for name, place in places.items():
        missed = np.square(held[..., place] - chosen_on.asked.targets[name]).sum((1, 2))  # [p]
        best = len(penalties) - 1 - int(missed[::-1].argmin())  # the strongest of equals
        terms = _terms(test[best][:, place], scored_on.asked.targets[name])
        scores[name] = _score_of(terms, penalties[best])
    return scores


def _stacked(rows: Features, names: Sequence[str]) -> Array:
    return np.concatenate([rows.targets[name] for name in names], axis=1).astype(np.float64)


def _terms(predicted: Array, truth: NDArray) -> Array:
    """Squared distances ``[n, 2]`` to the prediction and to the mean."""
    return np.stack([np.square(truth - predicted).sum(1), np.square(truth - truth.mean(0)).sum(1)], axis=1).astype(
        np.float64
    )


def _categorical(chosen_on: _Fit, scored_on: _Fit, name: str, penalties: Sequence[float]) -> TargetScore:
    """By logistic regression; errors are counted."""
    right = (chosen_on.categorical(name, penalties, CHOOSING) == chosen_on.asked.targets[name]).mean(1)
    best = penalties[len(penalties) - 1 - int(right[::-1].argmax())]
    truth = scored_on.asked.targets[name]
    commonest = np.bincount(scored_on.fitted.targets[name]).argmax()
    wrong = scored_on.categorical(name, [best])[0] != truth
    return _score_of(np.stack([wrong, truth != commonest], axis=1).astype(np.float64), best)


def _score_of(terms: Array, penalty: float) -> TargetScore:
    missed, all_of_it = terms.sum(0)
    value = float(1 - missed / all_of_it)
    return TargetScore(value, value, value, penalty, len(terms), terms)


def _with_interval(
    score: TargetScore, groups: tuple[str, ...], numbers: NDArray[np.int64], counts: Array
) -> TargetScore:
    """The score with its interval, by resamples in which group ``i`` comes ``counts[draw, i]`` times.

    Args:
        score: its terms are ``[n, 2]`` of the rows.
        groups: ``[g]`` names.
        numbers: ``[n]`` number of the group of each row.
        counts: ``[draws, g]``.
    """
    sums = [np.bincount(numbers, column, len(groups)) for column in score.terms.T]
    terms = np.stack(sums, axis=1).astype(np.float64)  # [g, 2]
    low, high = _limits(_ratio(counts @ terms), score.value, len(groups))
    return replace(score, low=low, high=high, terms=terms, groups=groups)


def _limits(drawn: Array, value: float, groups: int) -> tuple[float, float]:
    """The ends of the interval of a score, at most 1; one group says nothing of others: from 0 to 1."""
    low, high = bootstrap_limits(drawn, value, groups)
    return low if np.isfinite(low) else min(0.0, value), min(1.0, high)


def _counts_of_groups(needed: Collection[tuple[str, ...]], seed: int) -> dict[tuple[str, ...], Array]:
    """For each list of groups ``[g]`` how often each comes, ``[draws, g]``, in resamples of all groups."""
    everything = tuple(dict.fromkeys(group for groups in needed for group in groups))
    drawn = _redrawn(len(everything), seed, "summary", len(everything))
    if len(needed) == 1:
        return dict.fromkeys(needed, drawn)
    number = {group: i for i, group in enumerate(everything)}
    return {groups: drawn[:, [number[group] for group in groups]] for groups in needed}


@lru_cache(maxsize=4)  # two of all images of a data set, and two of those that stacked tasks take
def _redrawn(n: int, seed: int, *purpose: str | int) -> Array:
    """How often each of ``n`` groups comes, ``[draws, n]``, when as many are drawn with replacement."""
    rows = generator(seed, "semantic", *purpose).integers(n, size=(DRAWS, n)) + n * np.arange(DRAWS)[:, None]
    return np.bincount(rows.ravel(), minlength=DRAWS * n).reshape(DRAWS, n).astype(np.float64)


def _ratio(sums: Array) -> Array:
    """Scores ``[draws]`` of sums ``[draws, 2]``; a draw in which nothing varies counts as knowing nothing."""
    missed, all_of_it = sums.T
    return np.where(all_of_it > 0, 1 - missed / np.where(all_of_it > 0, all_of_it, 1), 0.0)
