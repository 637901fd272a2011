"""Weighted k-nearest-neighbour classification with FAISS [1, 2].

[1] Wu et al., Unsupervised feature learning via non-parametric instance discrimination, CVPR 2018.
[2] Caron et al., Emerging properties in self-supervised vision transformers, ICCV 2021 (DINO): T = 0.07,
    k in 10, 20, 100, 200.
"""

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..core.errors import UsageError
from ..core.faiss_library import has_faiss
from ..core.features import Features
from ..core.labels import DIFFICULT, SHOWN, is_multilabel
from ..core.out_of_core import Blocks
from ..core.results import Score
from .classification import (
    Choice,
    classification_score,
    require_two_classes,
    selection,
    train_and_test,
)
from .neighbours import Array, Metric, Rows, approximate_neighbours, neighbours
from .probe import PROBES
from .ranking import METRIC, mean_average_precision, ranking_score, require_shown

Index = Literal["auto", "flat", "ivf"]

NEAR = 1e-5
"""Added to a distance before it divides [3].

[3] solo-learn, ``WeightedKNNClassifier``: https://github.com/vturrisi/solo-learn
"""

TEMPERATURE = 0.07
"""DINO's [2]."""

IVF_ROWS, IVF_QUERIES = 1_000_000, 10_000
"""Bank rows and queries from which ``auto`` is ``ivf``: see ``tests/benchmarks/knn.py``."""


@dataclass(frozen=True)
class KnnSettings:
    """How neighbours vote.

    Attributes:
        k: numbers of neighbours that are tried.
        temperature: temperatures that are tried, of the votes exp(similarity / temperature); ``euclidean``
            has none.
        metric: metrics that are tried: ``cosine``, or ``euclidean`` on the features as they are with votes
            1 / distance.
        index: ``flat`` searches exactly; ``ivf`` looks where the nearest rows are likely, and the record says
            how many it found; ``auto`` is ``ivf`` for 10 000 queries and more of a million rows in memory.
    """

    k: tuple[int, ...] = (1, 5, 20, 100, 200)
    temperature: tuple[float, ...] = (TEMPERATURE,)
    metric: tuple[Metric, ...] = ("cosine",)
    index: Index = "auto"

    def __post_init__(self) -> None:
        if not self.k or min(self.k) < 1:
            raise UsageError(f"--k {','.join(map(str, self.k))} is no number of neighbours: give 1 or more.")
        for name in ("temperature", "metric"):
            if not getattr(self, name):
                raise UsageError(f"--{name} names none to try: give one or more.")
        for temperature in self.temperature:
            if not 0 < temperature < float("inf"):
                raise UsageError(f"--temperature {temperature:g} must be a number above 0.")
        for metric in self.metric:
            if metric not in ("cosine", "euclidean"):
                raise UsageError(f"--metric {metric!r} is unknown. Choose from: cosine, euclidean.")
        if self.index not in ("auto", "flat", "ivf"):
            raise UsageError(f"--index {self.index!r} is unknown. Choose from: auto, flat, ivf.")
        if self.index == "ivf" and not has_faiss():
            raise UsageError("--index ivf needs FAISS: pip install faiss-cpu, or take --index flat.")

    def to_json(self) -> dict[str, Any]:
        """Plain values, for records."""
        lists = {name: list(getattr(self, name)) for name in ("k", "temperature", "metric")}
        return {**asdict(self), **lists}

    @property
    def candidates(self) -> int:
        """Combinations that are tried; with one, nothing is chosen."""
        temperatures = [len(self.temperature) if metric == "cosine" else 1 for metric in self.metric]
        return len(self.k) * sum(temperatures)


class Vote(NamedTuple):
    """One way to ask: a combination of settings."""

    k: int
    temperature: float | None
    metric: Metric

    def preference(self, settings: KnnSettings) -> tuple[float, ...]:
        """Of equally accurate ones the lowest is taken: small k, T near DINO's, the metric named first."""
        distance = abs(math.log(self.temperature / TEMPERATURE)) if self.temperature else 0.0
        return (self.k, distance, settings.metric.index(self.metric))

    def chosen(self, settings: KnnSettings) -> dict[str, Any]:
        """What of it had to be chosen; k always."""
        open_ = {"temperature": len(settings.temperature) > 1, "metric": len(settings.metric) > 1}
        rest = {name: getattr(self, name) for name, tried in open_.items() if tried}
        return {"k": self.k, **{name: value for name, value in rest.items() if value is not None}}

    def name(self, settings: KnnSettings, metric: str = "top1") -> str:
        """Of its accuracy in the record: ``top1@k=20``, and what else there was to choose."""
        own = self.chosen(settings)
        parts = [f"k={self.k}"]
        parts += [f"T={own['temperature']:g}"] if "temperature" in own else []
        parts += [f"metric={self.metric}"] if "metric" in own else []
        return f"{metric}@" + ",".join(parts)


@dataclass(frozen=True, eq=False)
class KnnScores:
    """How one split was answered by another.

    Attributes:
        accuracy: of every vote; the mean average precision where rows have several labels.
        best: the vote whose scores are kept.
        scores: ``[q, c]``, rows sum to 1; or shares of each class by itself, where rows have several labels.
        search: what there is to say about searches that were not exact.
    """

    accuracy: Mapping[Vote, float]
    best: Vote
    scores: Array
    search: Mapping[str, Any]


class KnnProbe:
    """The vote that is most accurate on validation rows, scored on ``test`` with train + val as its bank."""

    settings_type = KnnSettings

    def score(self, splits: Mapping[str, Features], settings: KnnSettings, *, seed: int) -> Score:
        """What the features of one layer are worth; every vote's test accuracy stands in ``extra_metrics``."""
        started = time.perf_counter()
        bank, test = train_and_test(splits)
        require_two_classes(bank)
        vote, choice = None, Choice()
        if settings.candidates > 1:
            train, held, selected_on = selection(splits, seed=seed)
            if is_multilabel(held.labels):
                require_shown(held, single="one --k, --temperature and --metric")
            on_held = answers(held, train, settings)
            vote = on_held.best
            choice = Choice(selected_on, vote.chosen(settings), (on_held.scores, held.labels))
        chosen = time.perf_counter()
        found = answers(test, bank, settings, keep=vote)
        metric = METRIC if is_multilabel(test.labels) else "top1"
        extra_metrics: dict[str, Any] = {vote.name(settings, metric): value for vote, value in found.accuracy.items()}
        extra_metrics |= {"bank": len(bank), "whole_bank": [k for k in settings.k if k > len(bank)], **found.search}
        seconds = {"fit": chosen - started, "score": time.perf_counter() - chosen}
        if is_multilabel(test.labels):
            return ranking_score(found.scores, test, choice, seed=seed, extra_metrics=extra_metrics, seconds=seconds)
        return classification_score(found.scores, test, choice, extra_metrics=extra_metrics, seconds=seconds)


PROBES.register("knn")(KnnProbe())


def answers(queries: Features, bank: Features, settings: KnnSettings, *, keep: Vote | None = None) -> KnnScores:
    """How ``bank`` answers ``queries``, by all votes from one search a metric.

    A k beyond the bank is answered by the whole bank.

    Args:
        queries: ``q`` rows, whose labels say which answers are right.
        bank: ``n`` rows of the same classes.
        settings: the votes, and how to search.
        keep: the vote whose scores are kept, else the most accurate one. Of equals that is the one with the
            smallest k, then the temperature nearest to 0.07, then the metric named first.
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
    assert best is not None  # settings hold at least one vote
    return KnnScores(accuracy, best, kept, _told(search))


def _accuracy(scores: Array, labels: NDArray[np.integer]) -> float:
    """By which votes are compared: of rows with several labels the mean average precision."""
    if is_multilabel(labels):
        return mean_average_precision(scores, labels) or 0.0
    return float((scores.argmax(axis=1) == labels).mean())


def _beats(vote: Vote, other: Vote, accuracy: Mapping[Vote, float], settings: KnnSettings) -> bool:
    if accuracy[vote] != accuracy[other]:
        return accuracy[vote] > accuracy[other]
    return vote.preference(settings) < other.preference(settings)


def _told(search: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """For the record: of one metric what is to be said, of several under their names; nothing if exact."""
    said = {metric: words for metric, words in search.items() if words}
    if len(search) == 1:
        return dict(next(iter(search.values())))
    return {f"{name}@metric={metric}": value for metric, words in said.items() for name, value in words.items()}


def _searched(
    queries: Features, bank: Features, metric: Metric, settings: KnnSettings
) -> tuple[Array, Rows, dict[str, Any]]:
    """Nearness and rows ``[q, k]`` for the largest k, and what is to be said of the search."""
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
    """Every vote of one search, and its class scores ``[q, c]``; votes add up from one k to the next.

    ``of`` are the neighbours' labels, ``[q, k]`` or ``[q, k, c]``. Where rows have several, a class's score
    is its share of the votes of those neighbours that show it or do not: difficult ones say nothing of it.
    """
    for temperature in settings.temperature if metric == "cosine" else (None,):
        votes = _votes(near, temperature)
        total, said, counted = np.zeros((len(near), n_classes)), np.zeros((len(near), n_classes)), 0
        for k in sorted(set(settings.k)):
            if of.ndim == 3:
                _add_each(total, said, votes[:, counted:k], of[:, counted:k])
            else:
                _add(total, votes[:, counted:k], of[:, counted:k])
                said = total.sum(axis=1, keepdims=True)
            counted = k
            yield Vote(k, temperature, metric), _shares(total, said)


def knn_scores(
    queries: Array, bank: Array, labels: NDArray[np.integer], *, k: int, temperature: float, n_classes: int
) -> Array:
    """Class scores by a vote of the ``k`` most similar bank rows.

    A neighbour of cosine similarity ``s`` votes ``exp(s / temperature)`` [1].
    Shapes: ``q`` queries, ``n`` bank rows, ``d`` features, ``c`` classes.

    Args:
        queries: ``[q, d]``.
        bank: ``[n, d]``.
        labels: ``[n]`` integers in ``0 … c-1``.
        k: at most ``n``.
        temperature: above 0; near 0 only the nearest neighbour counts.
        n_classes: ``c``.

    Returns: ``[q, c]``, rows sum to 1.
    Raises: ShapeError: if ``k`` exceeds ``n``, or the shapes do not fit.
    """
    near, rows = neighbours(queries, bank, k=k, metric="cosine")
    total = np.zeros((len(near), n_classes))
    _add(total, _votes(near, temperature), labels[rows])
    return _shares(total, total.sum(axis=1, keepdims=True))


def _votes(near: Array, temperature: float | None) -> Array:
    """``[q, k]`` up to one factor a query, so that no temperature overflows; by distance without one."""
    if temperature is None:
        return (1 / (np.sqrt(np.maximum(-near, 0)) + NEAR)).astype(np.float32)
    return np.exp((near - near[:, :1]) / temperature)


def _add(total: NDArray[np.float64], votes: Array, of: NDArray[np.integer]) -> None:
    """Add votes ``[q, k]`` of neighbours of class ``of`` ``[q, k]`` to ``total`` ``[q, c]``."""
    cells = of + total.shape[1] * np.arange(len(of))[:, None]
    np.add.at(total.reshape(-1), cells.ravel(), votes.ravel().astype(np.float64))


def _add_each(total: NDArray[np.float64], said: NDArray[np.float64], votes: Array, of: NDArray[np.integer]) -> None:
    """Add votes ``[q, k]`` of neighbours with labels ``of`` ``[q, k, c]``.

    To ``total`` ``[q, c]`` those for each class, to ``said`` ``[q, c]`` those for it or against it.
    """
    for place in range(votes.shape[1]):
        vote = votes[:, place, None].astype(np.float64)
        total += vote * (of[:, place] == SHOWN)
        said += vote * (of[:, place] != DIFFICULT)


def _shares(total: NDArray[np.float64], said: NDArray[np.float64]) -> Array:
    """Votes by class ``[q, c]``, divided by all of those that ``said`` something; 0 where none did."""
    return np.divide(total, said, out=np.zeros_like(total), where=said > 0).astype(np.float32)
