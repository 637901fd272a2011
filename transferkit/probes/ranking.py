"""Average precision per class for multi-label rows [1].

Rows that are ``DIFFICULT`` for a class are ignored in its ranking, as in the development kit of VOC2007. Rows
with equal scores are one step of the curve, so no number depends on the order of the rows; without equal scores,
the numbers are those of the development kit. Ericsson et al. [2] use scikit-learn's curve, which has a precision
of 1 at recall 0 in all cases: their numbers are higher by up to 1/11 per class.

Shapes: ``n`` rows, ``c`` classes.

[1] Everingham et al., The PASCAL visual object classes (VOC) challenge, IJCV 2010.
[2] How well do self-supervised models transfer?, CVPR 2021: https://github.com/linusericsson/ssl-transfer
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DataError, ShapeError
from ..core.features import Features
from ..core.groups import group_numbers
from ..core.labels import ABSENT, SHOWN
from ..core.precision import Reading, interpolated_precision
from ..core.results import Score
from ..core.seeding import generator
from ..core.statistics import Interval, deviation_interval
from .classification import Selection

BOOTSTRAP = 2000
"""Number of bootstrap resamples of the test rows, or of their groups."""

CHUNK = 2**16
"""Number of row numbers that a bootstrap draws at once, so that they fit in the processor's cache."""

METRIC = "map11"
"""Mean over classes of the 11-point average precision, as in VOC2007."""


@dataclass(frozen=True, eq=False)
class Ranking:
    """Ranked rows of one class, and the steps of equal score that contain a positive row.

    Shapes: ``m`` rows, ``s`` steps.

    Attributes:
        order: ``[m]``, row numbers, highest score first.
        shown: ``[m]``, True for positive rows.
        starts: ``[s]``, index into ``order`` at which each step begins.
    """

    order: NDArray[np.int64]
    shown: NDArray[np.bool_]
    starts: NDArray[np.int64]

    def precision(self, weights: NDArray[np.float64], reading: Reading) -> NDArray[np.float64]:
        """Return the average precision ``[b]`` for weighted rows; NaN if the class has no positive row.

        Args:
            weights: ``[b, n]``, weight of each row.
            reading: recalls at which precision is read.
        """
        found = np.full(len(weights), np.nan)
        if not len(self.starts):
            return found
        each = weights[:, self.order]  # [b, m]
        right = np.add.reduceat(each * self.shown, self.starts, axis=1).cumsum(1)  # [b, s]
        wrong = np.add.reduceat(each * ~self.shown, self.starts, axis=1).cumsum(1)
        present = right[:, -1] > 0
        found[present] = interpolated_precision(right[present], wrong[present], right[present, -1], reading)
        return found


def ranking(scores: NDArray[np.floating], labels: NDArray[np.integer]) -> Ranking:
    """Rank the rows of one class.

    Args:
        scores: ``[n]``, higher is more likely; none is NaN.
        labels: ``[n]`` of ``SHOWN``, ``DIFFICULT`` and ``ABSENT``.
    """
    counted = np.flatnonzero((labels == SHOWN) | (labels == ABSENT))
    order = counted[np.argsort(-scores[counted], kind="stable")]
    shown = labels[order] == SHOWN
    ranked = scores[order]
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True)[: len(ranked)]) + 1  # of steps of equal score
    hits = np.diff(np.concatenate([[0], np.cumsum(shown)[ends - 1]]))
    ends = ends[hits > 0]  # recall changes only at these
    last = int(ends[-1]) if len(ends) else 0
    return Ranking(order[:last], shown[:last], np.concatenate([[0], ends[:-1]]).astype(np.int64)[: len(ends)])


def class_precisions(
    scores: NDArray[np.floating], labels: NDArray[np.integer], reading: Reading = "eleven"
) -> NDArray[np.float64]:
    """Return the average precision of each class, ``[c]``; NaN for a class without positive rows.

    Args:
        scores: ``[n, c]``, higher is more likely; only their order within a class matters.
        labels: ``[n, c]`` of ``SHOWN``, ``DIFFICULT`` and ``ABSENT``.
        reading: recalls at which precision is read: ``eleven``, as in VOC2007, or ``all``.

    Raises: ShapeError: if the two do not fit, or a score is NaN.

    >>> class_precisions(np.array([[0.9], [0.8], [0.7], [0.6]]), np.array([[1], [-1], [0], [1]])).round(4)
    array([0.8485])
    """
    if scores.ndim != 2 or scores.shape != labels.shape or not len(labels) or np.isnan(scores).any():
        raise ShapeError(
            f"Scores [n, c] without NaN and labels [n, c] of at least one row are needed, "
            f"not {list(scores.shape)} and {list(labels.shape)}."
        )
    once = np.ones((1, len(labels)))
    each = (ranking(one, own) for one, own in zip(scores.T, labels.T, strict=True))
    return np.array([one.precision(once, reading)[0] for one in each])


def mean_average_precision(
    scores: NDArray[np.floating], labels: NDArray[np.integer], reading: Reading = "eleven"
) -> float | None:
    """Return the mean over classes with positive rows; None if there is none. See ``class_precisions``."""
    return _mean(class_precisions(scores, labels, reading))


def require_shown(held: Features, *, single: str) -> None:
    """Check that some validation row has a class: otherwise all candidates rank the rows equally.

    Args:
        held: validation rows.
        single: options that leave a single candidate.

    Raises: DataError: if no row has a class.
    """
    if not (held.labels == SHOWN).any():
        raise DataError(
            f"{held.data}: no validation row has a class. Use {single}, which needs no selection, or more images."
        )


def ranking_score(
    scores: NDArray[np.floating],
    test: Features,
    choice: Selection,
    *,
    seed: int,
    extra_metrics: Mapping[str, Any],
    seconds: Mapping[str, float],
) -> Score:
    """Compute mean average precision on ``test``, its bootstrap interval over rows or groups, and the classes' values.

    There are no ``outcomes``: the rank of a row depends on all rows, and is neither correct nor wrong.

    Args:
        scores: ``[n, c]``, higher is more likely.
        test: the ``n`` scored multi-label rows.
        choice: selected hyperparameters and the predictions of the selection.
        seed: seed of the bootstrap.
        extra_metrics: additional metrics of the probe.
        seconds: durations ``fit`` and ``score``.

    Raises: DataError: if no row has a class.
    """
    eleven, every = (class_precisions(scores, test.labels, reading) for reading in ("eleven", "all"))
    value = _mean(eleven)
    if value is None:
        raise DataError(f"{test.data}: no row of test has a class, so there is nothing to rank. Add labelled rows.")
    named = dict(zip(test.classes, eleven.tolist(), strict=True))
    return Score(
        metric=METRIC,
        value=value,
        interval=_bootstrap(scores, test, value, rng=generator(seed, "mean average precision")),
        n=len(test),
        selected_on=choice.selected_on,
        evaluated_on="test",
        chosen=choice.chosen,
        extra_metrics={
            "map": _mean(every),
            "ap11": {name: ap for name, ap in named.items() if ap == ap},
            "ap": {name: ap for name, ap in zip(test.classes, every.tolist(), strict=True) if ap == ap},
            "absent_from_test": [name for name, ap in named.items() if ap != ap],
            **extra_metrics,
        },
        seconds=seconds,
    )


def _mean(precisions: NDArray[np.float64]) -> float | None:
    present = precisions[~np.isnan(precisions)]
    return float(present.mean()) if len(present) else None


def _bootstrap(scores: NDArray[np.floating], test: Features, value: float, *, rng: np.random.Generator) -> Interval:
    """Return the bootstrap interval of ``value`` over rows, or groups of rows, within 0 … 1.

    The interval has the spread of the resamples and is centred on ``value``: duplicates are adjacent in a ranking,
    which biases average precision upwards. A class that is missing in a resample is left out of its mean. The
    interval is unknown for too few rows or groups.
    """
    n = len(test)
    group = group_numbers(test.ids if test.groups is None else test.groups)[1]  # [n]
    g = int(group.max()) + 1
    rankings = [ranking(one, own) for one, own in zip(scores.T, test.labels.T, strict=True)]
    batch = max(1, CHUNK // n)
    values = []
    for start in range(0, BOOTSTRAP, batch):
        drawn = rng.integers(g, size=(min(batch, BOOTSTRAP - start), g))
        weights = np.stack([np.bincount(draw, minlength=g)[group] for draw in drawn]).astype(np.float64)
        each = np.stack([one.precision(weights, "eleven") for one in rankings])  # [c, b]
        present = ~np.isnan(each)
        count = present.sum(0)
        values.append((np.where(present, each, 0).sum(0) / count.clip(1))[count > 0])
    what = "rows" if test.groups is None else f"{g} groups"
    found = deviation_interval(np.concatenate(values), value, g, f"bootstrap of {BOOTSTRAP} draws of {what}")
    return found.clipped(0.0, 1.0)
