"""How well scores rank rows that have several labels: average precision, class by class [1].

Rows that show a class ``DIFFICULT`` take no part in its ranking, neither for nor against it, as in the
development kit of VOC2007. Rows of equal score are one step of the curve, so that no number depends on the
order of the rows; where no two scores are equal, numbers are the development kit's. Ericsson et al. [2] read
scikit-learn's curve, which has a precision of 1 at recall 0 whatever ranks first: their numbers are higher by
up to 1/11 a class.

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
from ..core.statistics import Interval, deviation_limits
from .classification import Choice

BOOTSTRAP = 2000
"""Resamples of the test rows, or of their groups."""

CHUNK = 2**16
"""Row numbers that a bootstrap draws at once: as many as stay in the processor's cache."""

METRIC = "map11"
"""The mean over classes of average precision read at eleven recalls, as VOC2007 has it."""


@dataclass(frozen=True, eq=False)
class Ranking:
    """The rows that count for one class, best first; steps of equal score that hold a row of the class.

    Shapes: ``m`` rows, ``s`` steps.

    Attributes:
        order: ``[m]`` row numbers, highest score first.
        shown: ``[m]`` whether the row shows the class.
        starts: ``[s]`` places in ``order`` where what each step adds to the last one begins.
    """

    order: NDArray[np.int64]
    shown: NDArray[np.bool_]
    starts: NDArray[np.int64]

    def precision(self, weights: NDArray[np.float64], reading: Reading) -> NDArray[np.float64]:
        """Average precision when rows come so often, ``[b]``; NaN where the class has no row.

        Args:
            weights: ``[b, n]`` how often each row counts.
            reading: at which recalls.
        """
        found = np.full(len(weights), np.nan)
        if not len(self.starts):
            return found
        each = weights[:, self.order]  # [b, m]
        right = np.add.reduceat(each * self.shown, self.starts, axis=1).cumsum(1)  # [b, s]
        wrong = np.add.reduceat(each * ~self.shown, self.starts, axis=1).cumsum(1)
        there = right[:, -1] > 0
        found[there] = interpolated_precision(right[there], wrong[there], right[there, -1], reading)
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
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True)[: len(ranked)]) + 1  # of equal scores
    hits = np.diff(np.concatenate([[0], np.cumsum(shown)[ends - 1]]))
    ends = ends[hits > 0]  # recall changes there only
    last = int(ends[-1]) if len(ends) else 0
    return Ranking(order[:last], shown[:last], np.concatenate([[0], ends[:-1]]).astype(np.int64)[: len(ends)])


def class_precisions(
    scores: NDArray[np.floating], labels: NDArray[np.integer], reading: Reading = "eleven"
) -> NDArray[np.float64]:
    """The average precision of each class, ``[c]``; NaN for a class that no row shows.

    Args:
        scores: ``[n, c]``, higher is more likely; only their order within a class counts.
        labels: ``[n, c]`` of ``SHOWN``, ``DIFFICULT`` and ``ABSENT``.
        reading: at which recalls: ``eleven``, as of VOC2007, or ``all``.

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
    """The mean over those classes that some row shows; None if none does. Arguments as above."""
    return _mean(class_precisions(scores, labels, reading))


def require_shown(held: Features, *, single: str) -> None:
    """Refuse to choose on rows of which none shows a class: whatever is tried ranks them alike.

    Args:
        held: the rows.
        single: the option that leaves one candidate.

    Raises: DataError: then.
    """
    if not (held.labels == SHOWN).any():
        raise DataError(
            f"{held.data}: no row to choose on shows a class. Use {single}, so that nothing is chosen, or more images."
        )


def ranking_score(
    scores: NDArray[np.floating],
    test: Features,
    choice: Choice,
    *,
    seed: int,
    extra_metrics: Mapping[str, Any],
    seconds: Mapping[str, float],
) -> Score:
    """Mean average precision on ``test``, its bootstrap interval over rows or groups, and each class's.

    There are no ``outcomes``: a row's place is relative to all others, and is not right or wrong by itself.

    Args:
        scores: ``[n, c]``, higher is more likely.
        test: the ``n`` rows that are scored, with several labels each.
        choice: how the probe that scores them was chosen.
        seed: of the bootstrap.
        extra_metrics: what the probe has to add to the metrics.
        seconds: ``fit`` and ``score``.

    Raises: DataError: if no row shows a class.
    """
    eleven, every = (class_precisions(scores, test.labels, reading) for reading in ("eleven", "all"))
    value = _mean(eleven)
    if value is None:
        raise DataError(f"{test.data}: no row of test shows a class, so that there is nothing to rank.")
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
    there = precisions[~np.isnan(precisions)]
    return float(there.mean()) if len(there) else None


def _bootstrap(scores: NDArray[np.floating], test: Features, value: float, *, rng: np.random.Generator) -> Interval:
    """Interval of ``value`` over rows, or groups of rows, drawn with replacement; in 0 … 1.

    It is as wide as the draws lie apart, and lies around ``value``: rows that come twice stand side by side
    in a ranking, which lifts average precision. A class that a draw lacks is in no mean of it. One row, or
    one group, says nothing of others: its interval is 0 … 1.
    """
    n = len(test)
    group = group_numbers(test.ids if test.groups is None else test.groups)[1]  # [n]
    g = int(group.max()) + 1
    rankings = [ranking(one, own) for one, own in zip(scores.T, test.labels.T, strict=True)]
    together = max(1, CHUNK // n)
    values = []
    for start in range(0, BOOTSTRAP, together):
        drawn = rng.integers(g, size=(min(together, BOOTSTRAP - start), g))
        weights = np.stack([np.bincount(draw, minlength=g)[group] for draw in drawn]).astype(np.float64)
        each = np.stack([one.precision(weights, "eleven") for one in rankings])  # [c, b]
        there = ~np.isnan(each)
        count = there.sum(0)
        values.append((np.where(there, each, 0).sum(0) / count.clip(1))[count > 0])
    low, high = deviation_limits(np.concatenate(values), value, g)
    what = "rows" if test.groups is None else f"{g} groups"
    return Interval(max(0.0, low), min(1.0, high), f"bootstrap of {BOOTSTRAP} draws of {what}")
