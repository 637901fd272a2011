"""Semantic probes: how well image properties can be predicted linearly from features, one score per target.

A continuous target ``y`` ``[n, t]`` is predicted by ridge regression; its score is the fraction of its variance
that is explained on test rows,

    R² = 1 − Σᵢ ‖yᵢ − ŷᵢ‖² / Σᵢ ‖yᵢ − ȳ‖²,

with predictions clipped to the range of the training rows: an outlier could otherwise be extrapolated far
beyond it and dominate the sum. A circular target is a unit vector ``(cos, sin)``, for which the same formula
holds. A categorical target is predicted by logistic regression; its score is ``1 − errors / errors of the most
frequent class``. So, for every target, 0 is the score of a constant prediction and 1 of a perfect one. One
penalty per target is selected on validation rows.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from ..core.errors import DataError
from ..core.features import Features
from ..core.groups import group_numbers
from ..core.results import Score
from ..core.seeding import generator
from ..core.statistics import Interval, percentile_interval
from .classification import selection, train_and_test
from .solvers.lbfgs import StoppingRule
from .solvers.logistic import STOPPING_RULE, logistic_along
from .solvers.normalizing import column_scale_and_mean
from .solvers.principal_axes import Axes, principal_axes
from .solvers.ridge import ridge_along

Array = NDArray[np.float64]

DRAWS = 500
"""Number of bootstrap resamples of the test rows for an interval."""

SELECTION_STOPPING_RULE = StoppingRule(tolerance=1e-4, gradient_tolerance=1e-3, max_iterations=300)
"""Stopping rule of the logistic regressions that select a penalty: half as many steps as for the final fit."""

_MIN_VARIANCE = 1e-9  # relative variance at or below which a target is constant


@dataclass(frozen=True)
class TargetScore:
    """Score of one target.

    Attributes:
        value: 1 for perfect predictions, 0 for a constant prediction, negative for worse ones.
        low, high: 95 % interval, by bootstrap over the groups of the test rows; None for too few groups.
        penalty: penalty that was selected on validation rows.
        n: number of test rows; number of test images if a task uses several views of each.
        terms: ``[g, 2]``, errors of the predictions and of a constant per group; their sums give ``value``.
        groups: ``[g]``, names of the groups that are resampled. By default, each row is its own group.
    """

    value: float
    low: float | None
    high: float | None
    penalty: float
    n: int
    terms: Array
    groups: tuple[str, ...] = ()

    def to_json(self) -> dict[str, float | None]:
        """Return plain values, without the terms of the groups."""
        return {name: value for name, value in vars(self).items() if name not in ("terms", "groups")}


def target_scores(
    splits: Mapping[str, Features], penalties: Sequence[float], *, seed: int
) -> tuple[dict[str, TargetScore], tuple[str, ...]]:
    """Score every target of the splits.

    Args:
        splits: ``train``, ``test`` and, if there is one, ``val``, with the same ``targets``: floating point
            ``[n, t]``, or integers ``[n]`` for categories.
        penalties: penalties for standardised features, each above 0.
        seed: seed of the bootstrap and, if there is no ``val``, of the validation rows.

    Returns: the scores by target, and the names of constant targets.
    Raises: DataError: if there are no targets, or too few rows.
    """
    fitting, test = train_and_test(splits)
    train, held, _ = selection(splits, seed=seed)
    if not test.targets:
        raise DataError("The features have no targets to predict: name some, or use --protocol linear for classes.")
    constant = tuple(name for name in test.targets if _constant(name, (train, held, test)))
    names = [name for name in test.targets if name not in constant]
    measured = [name for name in names if test.targets[name].ndim == 2]
    if not names:
        return {}, constant
    dtype = torch.float64 if measured else torch.float32
    validation, final = _Fit.of(train, held, dtype), _Fit.of(fitting, test, dtype)
    scores = _continuous(validation, final, measured, penalties) if measured else {}
    for name in names:
        if name not in measured:
            scores[name] = _categorical(validation, final, name, penalties)
    groups, numbers = group_numbers(test.ids if test.groups is None else test.groups)
    counts = _resample_counts(len(groups), seed, "bootstrap")
    return {name: _with_interval(scores[name], groups, numbers, counts) for name in names}, constant


def summary(scores: Mapping[str, TargetScore], constant: Sequence[str], *, seed: int, seconds: float) -> Score:
    """Return the mean over targets with its interval, and the score of each target.

    In the mean, a negative score counts as 0: one wrong extrapolation would otherwise dominate it. For the
    interval, the targets are fixed and the groups of all their rows are resampled: a group that is drawn twice
    counts twice in each target that has rows of it.

    Raises: DataError: if every target is constant.
    """
    if not scores:
        raise DataError(
            f"All targets are constant over these rows: {', '.join(constant)}. Use other targets or more rows."
        )
    counts = _counts_of_groups(dict.fromkeys(score.groups for score in scores.values()), seed)
    each = [_ratio(counts[score.groups] @ score.terms) for score in scores.values()]
    drawn = np.array(each).clip(0).mean(0)  # [draws]
    groups = len({name for score in scores.values() for name in score.groups})
    value = float(np.mean([max(0.0, score.value) for score in scores.values()]))
    return Score(
        metric="explained",
        value=value,
        interval=_interval(drawn, groups),
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
    """Training rows, decomposed once for all their targets, and evaluation rows.

    Attributes:
        fitted: training rows.
        evaluated: evaluation rows; columns are scaled by their standard deviation over ``fitted``.
        axes: principal axes of ``fitted``.
        coordinates: ``[m, r]``, coordinates of ``evaluated`` along the axes.
    """

    fitted: Features
    evaluated: Features
    axes: Axes
    coordinates: torch.Tensor

    @classmethod
    def of(cls, fitted: Features, evaluated: Features, dtype: torch.dtype) -> "_Fit":
        """Decompose ``fitted``; ridge regression needs float64, logistic regression only float32."""
        x, others = (torch.from_numpy(np.asarray(rows.x)).to(dtype) for rows in (fitted, evaluated))
        scale = column_scale_and_mean(fitted.x)[0].to(dtype)
        axes = principal_axes(x / scale, device=x.device, dtype=x.dtype)
        return cls(fitted, evaluated, axes, axes.coordinates(others / scale))

    @cached_property
    def float32_axes(self) -> Axes:
        """``axes`` in float32."""
        return self.axes if self.coordinates.dtype == torch.float32 else self.axes.to_float32()

    def continuous(self, names: Sequence[str], penalties: Sequence[float]) -> Array:
        """Return the predictions of ridge regression for the concatenated targets, ``[p, m, t]``."""
        y = torch.from_numpy(_stacked(self.fitted, names))
        weights, bias = ridge_along(self.axes, y, penalties)
        predictions: Array = (self.coordinates @ weights + bias).clamp(y.amin(0), y.amax(0)).numpy()
        return predictions

    def categorical(
        self, name: str, penalties: Sequence[float], stopping: StoppingRule = STOPPING_RULE
    ) -> NDArray[np.int64]:
        """Return the predictions of logistic regression for a target, ``[p, m]``."""
        y = torch.from_numpy(self.fitted.targets[name].astype(np.int64))
        path = logistic_along(self.float32_axes, y, penalties, int(y.max()) + 1, stopping=stopping)
        logits = self.coordinates.float() @ path.weights + path.biases[:, None]
        return logits.argmax(2).numpy()


def _constant(name: str, parts: Sequence[Features]) -> bool:
    """Return True if a target is constant over the rows of some split."""
    values = [part.targets[name] for part in parts]
    if values[0].ndim == 1:
        return any(len(np.unique(value)) < 2 for value in values)
    spread = [np.square(value - value.mean(0)).sum(1).mean() for value in values]
    return min(spread) <= _MIN_VARIANCE * max(1.0, float(np.square(values[0]).sum(1).mean()))


def _continuous(
    validation: _Fit, final: _Fit, names: Sequence[str], penalties: Sequence[float]
) -> dict[str, TargetScore]:
    """Score all continuous targets from one decomposition, with one penalty per target."""
    columns = np.cumsum([0, *(final.evaluated.targets[name].shape[1] for name in names)])
    slices = {name: slice(a, b) for name, a, b in zip(names, columns, columns[1:], strict=False)}
    held, test = validation.continuous(names, penalties), final.continuous(names, penalties)
    scores = {}
    for name, part in slices.items():
        errors = np.square(held[..., part] - validation.evaluated.targets[name]).sum((1, 2))  # [p]
        best = len(penalties) - 1 - int(errors[::-1].argmin())  # the strongest in a tie
        terms = _terms(test[best][:, part], final.evaluated.targets[name])
        scores[name] = _score_of(terms, penalties[best])
    return scores


def _stacked(rows: Features, names: Sequence[str]) -> Array:
    return np.concatenate([rows.targets[name] for name in names], axis=1).astype(np.float64)


def _terms(predicted: Array, truth: NDArray) -> Array:
    """Return the squared distances ``[n, 2]`` to the prediction and to the mean."""
    return np.stack([np.square(truth - predicted).sum(1), np.square(truth - truth.mean(0)).sum(1)], axis=1).astype(
        np.float64
    )


def _categorical(validation: _Fit, final: _Fit, name: str, penalties: Sequence[float]) -> TargetScore:
    """Score a categorical target by logistic regression."""
    accuracy = (
        validation.categorical(name, penalties, SELECTION_STOPPING_RULE) == validation.evaluated.targets[name]
    ).mean(1)
    best = penalties[len(penalties) - 1 - int(accuracy[::-1].argmax())]
    truth = final.evaluated.targets[name]
    most_frequent = np.bincount(final.fitted.targets[name]).argmax()
    wrong = final.categorical(name, [best])[0] != truth
    return _score_of(np.stack([wrong, truth != most_frequent], axis=1).astype(np.float64), best)


def _score_of(terms: Array, penalty: float) -> TargetScore:
    errors, constant_errors = terms.sum(0)
    value = float(1 - errors / constant_errors)
    return TargetScore(value, None, None, penalty, len(terms), terms)


def _with_interval(
    score: TargetScore, groups: tuple[str, ...], numbers: NDArray[np.int64], counts: Array
) -> TargetScore:
    """Add the interval to a score, from resamples that contain group ``i`` ``counts[draw, i]`` times.

    Args:
        score: score with terms ``[n, 2]`` per row.
        groups: ``[g]``, names.
        numbers: ``[n]``, group number of each row.
        counts: ``[draws, g]``.
    """
    sums = [np.bincount(numbers, column, len(groups)) for column in score.terms.T]
    terms = np.stack(sums, axis=1).astype(np.float64)  # [g, 2]
    low, high = _interval(_ratio(counts @ terms), len(groups)).limits or (None, None)
    return replace(score, low=low, high=high, terms=terms, groups=groups)


def _interval(drawn: Array, groups: int) -> Interval:
    """Return the interval of a score, at most 1."""
    return percentile_interval(drawn, groups, f"bootstrap of {DRAWS}").clipped(-math.inf, 1.0)


def _counts_of_groups(needed: Collection[tuple[str, ...]], seed: int) -> dict[tuple[str, ...], Array]:
    """Return the counts ``[draws, g]`` of each list of groups ``[g]`` in resamples of all groups."""
    all_groups = tuple(dict.fromkeys(group for groups in needed for group in groups))
    drawn = _resample_counts(len(all_groups), seed, "summary", len(all_groups))
    if len(needed) == 1:
        return dict.fromkeys(needed, drawn)
    number = {group: i for i, group in enumerate(all_groups)}
    return {groups: drawn[:, [number[group] for group in groups]] for groups in needed}


@lru_cache(maxsize=4)  # two for all images of a data set, and two for the images of tasks with several views
def _resample_counts(n: int, seed: int, *purpose: str | int) -> Array:
    """Return how often each of ``n`` groups is drawn, ``[draws, n]``, in ``n`` draws with replacement."""
    rows = generator(seed, "semantic", *purpose).integers(n, size=(DRAWS, n)) + n * np.arange(DRAWS)[:, None]
    return np.bincount(rows.ravel(), minlength=DRAWS * n).reshape(DRAWS, n).astype(np.float64)


def _ratio(sums: Array) -> Array:
    """Return scores ``[draws]`` from sums ``[draws, 2]``; the score of a draw without variance is 0."""
    errors, constant_errors = sums.T
    varies = constant_errors > 0
    return np.where(varies, 1 - errors / np.where(varies, constant_errors, 1), 0.0)
