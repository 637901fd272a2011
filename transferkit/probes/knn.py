"""Weighted k-nearest-neighbour classification with FAISS [1, 2].

[1] Wu et al., Unsupervised feature learning via non-parametric instance discrimination, CVPR 2018.
[2] Caron et al., Emerging properties in self-supervised vision transformers, ICCV 2021 (DINO): T = 0.07,
    k in 10, 20, 100, 200.
"""

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..core.faiss_library import has_faiss
from ..core.features import Features
from ..core.labels import DIFFICULT, SHOWN, is_multilabel
from ..core.out_of_core import Blocks
from ..core.results import Score
from .builtin import TEMPERATURE, KnnSettings
from .classification import (
    Selection,
    classification_score,
    require_two_classes,
    selection,
    train_and_test,
)
from .probe import ProbeContext
from .ranking import METRIC, mean_average_precision, ranking_score, require_shown
from .solvers.neighbours import Array, Metric, Rows, approximate_neighbours, neighbours

EPSILON = 1e-5
"""Number added to a distance before division [3].

[3] solo-learn, ``WeightedKNNClassifier``: https://github.com/vturrisi/solo-learn
"""

IVF_ROWS, IVF_QUERIES = 1_000_000, 10_000
"""Numbers of bank rows and queries from which ``auto`` means ``ivf``: see ``tests/benchmarks/knn.py``."""


class Vote(NamedTuple):
    """One combination of hyperparameters."""

    k: int
    temperature: float | None
    metric: Metric

    def preference(self, settings: KnnSettings) -> tuple[float, ...]:
        """Return the key for ties, of which the lowest wins: small k, T near DINO's, first metric."""
        distance = abs(math.log(self.temperature / TEMPERATURE)) if self.temperature else 0.0
        return (self.k, distance, settings.metric.index(self.metric))

    def chosen(self, settings: KnnSettings) -> dict[str, Any]:
        """Return the selected hyperparameters: k, and others that have several candidates."""
        several = {"temperature": len(settings.temperature) > 1, "metric": len(settings.metric) > 1}
        rest = {name: getattr(self, name) for name, tried in several.items() if tried}
        return {"k": self.k, **{name: value for name, value in rest.items() if value is not None}}

    def name(self, settings: KnnSettings, metric: str = "top1") -> str:
        """Return the name of the accuracy in records: ``top1@k=20``, plus other selected hyperparameters."""
        chosen = self.chosen(settings)
        parts = [f"k={self.k}"]
        parts += [f"T={chosen['temperature']:g}"] if "temperature" in chosen else []
        parts += [f"metric={self.metric}"] if "metric" in chosen else []
        return f"{metric}@" + ",".join(parts)


@dataclass(frozen=True, eq=False)
class KnnScores:
    """Predictions for one split with another split as the bank.

    Attributes:
        accuracy: accuracy of each combination; mean average precision for multi-label rows.
        best: the combination whose scores are returned.
        scores: ``[q, c]``, rows sum to 1; for multi-label rows, a fraction of the votes per class.
        search: record entries about approximate searches.
    """

    accuracy: Mapping[Vote, float]
    best: Vote
    scores: Array
    search: Mapping[str, Any]


def knn_score(context: ProbeContext, settings: KnnSettings) -> Score:
    """Select k, T and metric on validation rows, and score ``test`` with train + val as the bank.

    ``extra_metrics`` has the test accuracy of each combination.
    """
    started = time.perf_counter()
    splits, seed = context.splits, context.seed
    bank, test = train_and_test(splits)
    require_two_classes(bank)
    vote, choice = None, Selection()
    if settings.candidates > 1:
        train, held, selected_on = selection(splits, seed=seed)
        if is_multilabel(held.labels):
            require_shown(held, single="one --k, --temperature and --metric")
        on_held = classify(held, train, settings)
        vote = on_held.best
        choice = Selection(selected_on, vote.chosen(settings), (on_held.scores, held.labels))
    chosen = time.perf_counter()
    found = classify(test, bank, settings, keep=vote)
    metric = METRIC if is_multilabel(test.labels) else "top1"
    extra_metrics: dict[str, Any] = {vote.name(settings, metric): value for vote, value in found.accuracy.items()}
    extra_metrics |= {"bank": len(bank), "whole_bank": [k for k in settings.k if k > len(bank)], **found.search}
    seconds = {"fit": chosen - started, "score": time.perf_counter() - chosen}
    if is_multilabel(test.labels):
        return ranking_score(found.scores, test, choice, seed=seed, extra_metrics=extra_metrics, seconds=seconds)
    return classification_score(found.scores, test, choice, extra_metrics=extra_metrics, seconds=seconds)


def classify(queries: Features, bank: Features, settings: KnnSettings, *, keep: Vote | None = None) -> KnnScores:
    """Classify ``queries`` with all combinations of the settings, from one search per metric.

    A k larger than the bank uses the whole bank.

    Args:
        queries: ``q`` labelled rows.
        bank: ``n`` rows of the same classes.
        settings: the combinations and the search index.
        keep: the combination whose scores are returned; None returns those of the most accurate one. In a tie,
            the smallest k wins, then the temperature nearest to 0.07, then the metric that is listed first.
    """
    accuracy: dict[Vote, float] = {}
    best, kept = None, np.empty(0, np.float32)
    search: dict[str, dict[str, Any]] = {}
    labels = bank.labels.astype(np.int8) if is_multilabel(bank.labels) else bank.labels  # [q, k, c] is large
    for metric in settings.metric:
        near, rows, search[metric] = _searched(queries, bank, metric, settings)
        for vote, scores in _all_scores(near, labels[rows], len(bank.classes), metric, settings):
            accuracy[vote] = _accuracy(scores, queries.labels)
            if vote == keep or (keep is None and (best is None or _beats(vote, best, accuracy, settings))):
                best, kept = vote, scores
    assert best is not None  # settings have at least one combination
    return KnnScores(accuracy, best, kept, _search_record(search))


def _accuracy(scores: Array, labels: NDArray[np.integer]) -> float:
    """Return the accuracy, or mean average precision for multi-label rows."""
    if is_multilabel(labels):
        return mean_average_precision(scores, labels) or 0.0
    return float((scores.argmax(axis=1) == labels).mean())


def _beats(vote: Vote, other: Vote, accuracy: Mapping[Vote, float], settings: KnnSettings) -> bool:
    if accuracy[vote] != accuracy[other]:
        return accuracy[vote] > accuracy[other]
    return vote.preference(settings) < other.preference(settings)


def _search_record(search: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the entries about approximate searches for the record; keys name the metric if there are several."""
    if len(search) == 1:
        return dict(next(iter(search.values())))
    return {f"{name}@metric={metric}": value for metric, entries in search.items() for name, value in entries.items()}


def _searched(
    queries: Features, bank: Features, metric: Metric, settings: KnnSettings
) -> tuple[Array, Rows, dict[str, Any]]:
    """Return nearness and rows ``[q, k]`` for the largest k, and record entries about the search."""
    k = min(max(settings.k), len(bank))
    large = len(bank) >= IVF_ROWS and len(queries) >= IVF_QUERIES
    large = large and has_faiss() and not isinstance(bank.x, Blocks)
    if settings.index == "ivf" or (settings.index == "auto" and large):
        found = approximate_neighbours(queries.x, bank.x, k=k, metric=metric)
        return found.near, found.rows, {"index": "ivf", "nprobe": found.nprobe, "recall": found.recall}
    return *neighbours(queries.x, bank.x, k=k, metric=metric), {}


def _all_scores(
    near: Array, of: NDArray[np.integer], n_classes: int, metric: Metric, settings: KnnSettings
) -> Iterator[tuple[Vote, Array]]:
    """Iterate over all combinations of one search and their class scores ``[q, c]``; votes accumulate over k.

    ``of`` holds the neighbours' labels, ``[q, k]`` or ``[q, k, c]``. For multi-label rows, the score of a class
    is the fraction of the votes of neighbours that are positive or negative for it; difficult neighbours do not
    vote.
    """
    for temperature in settings.temperature if metric == "cosine" else (None,):
        votes = _votes(near, temperature)
        total, cast, counted = np.zeros((len(near), n_classes)), np.zeros((len(near), n_classes)), 0
        for k in sorted(set(settings.k)):
            if of.ndim == 3:
                _add_multilabel(total, cast, votes[:, counted:k], of[:, counted:k])
            else:
                _add(total, votes[:, counted:k], of[:, counted:k])
                cast = total.sum(axis=1, keepdims=True)
            counted = k
            yield Vote(k, temperature, metric), _vote_fractions(total, cast)


def knn_scores(
    queries: Array, bank: Array, labels: NDArray[np.integer], *, k: int, temperature: float, n_classes: int
) -> Array:
    """Compute class scores by a vote of the ``k`` most similar bank rows.

    The vote of a neighbour with cosine similarity ``s`` has the weight ``exp(s / temperature)`` [1].
    Shapes: ``q`` queries, ``n`` bank rows, ``d`` features, ``c`` classes.

    Args:
        queries: ``[q, d]``.
        bank: ``[n, d]``.
        labels: ``[n]`` integers in ``0 … c-1``.
        k: number of neighbours, at most ``n``.
        temperature: above 0; near 0 only the nearest neighbour counts.
        n_classes: ``c``.

    Returns: ``[q, c]``, rows sum to 1.
    Raises: ShapeError: if ``k`` exceeds ``n``, or the shapes do not fit.
    """
    near, rows = neighbours(queries, bank, k=k, metric="cosine")
    total = np.zeros((len(near), n_classes))
    _add(total, _votes(near, temperature), labels[rows])
    return _vote_fractions(total, total.sum(axis=1, keepdims=True))


def _votes(near: Array, temperature: float | None) -> Array:
    """Return vote weights ``[q, k]``, up to a factor per query to avoid overflow; None weights by distance."""
    if temperature is None:
        return (1 / (np.sqrt(np.maximum(-near, 0)) + EPSILON)).astype(np.float32)
    return np.exp((near - near[:, :1]) / temperature)


def _add(total: NDArray[np.float64], votes: Array, of: NDArray[np.integer]) -> None:
    """Add the votes ``[q, k]`` of neighbours with classes ``of`` ``[q, k]`` to ``total`` ``[q, c]``."""
    cells = of + total.shape[1] * np.arange(len(of))[:, None]
    np.add.at(total.reshape(-1), cells.ravel(), votes.ravel().astype(np.float64))


def _add_multilabel(
    total: NDArray[np.float64], cast: NDArray[np.float64], votes: Array, of: NDArray[np.integer]
) -> None:
    """Add the votes ``[q, k]`` of neighbours with labels ``of`` ``[q, k, c]``.

    ``total`` ``[q, c]`` receives the votes for each class, ``cast`` ``[q, c]`` those for or against it.
    """
    for i in range(votes.shape[1]):
        vote = votes[:, i, None].astype(np.float64)
        total += vote * (of[:, i] == SHOWN)
        cast += vote * (of[:, i] != DIFFICULT)


def _vote_fractions(total: NDArray[np.float64], cast: NDArray[np.float64]) -> Array:
    """Divide the votes for each class ``[q, c]`` by the votes cast; 0 where there are none."""
    return np.divide(total, cast, out=np.zeros_like(total), where=cast > 0).astype(np.float32)
