"""Weighted k-nearest-neighbour classification with FAISS [1, 2].

[1] Wu et al., Unsupervised feature learning via non-parametric instance discrimination, CVPR 2018.
[2] Caron et al., Emerging properties in self-supervised vision transformers, ICCV 2021 (DINO): T = 0.07,
    k in 10, 20, 100, 200.
"""

import importlib.util
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from ..core.errors import ShapeError, UsageError
from ..core.features import Features
from ..core.results import Score
from .classification import classification_score, selection, train_and_test
from .probe import PROBES

Metric = Literal["cosine", "euclidean"]
Array = NDArray[np.float32]

NEAR = 1e-5
"""Added to a distance before it divides [3].

[3] solo-learn, ``WeightedKNNClassifier``: https://github.com/vturrisi/solo-learn
"""

CHUNK = 2**26
"""Similarities that torch holds at once where FAISS is missing: 256 MiB."""


@dataclass(frozen=True)
class KnnSettings:
    """How neighbours vote.

    Attributes:
        k: numbers of neighbours that are tried; with one, nothing is chosen.
        temperature: of the votes exp(similarity / temperature); ``euclidean`` has none.
        metric: ``cosine``, or ``euclidean`` on the features as they are with votes 1 / distance.
    """

    k: tuple[int, ...] = (1, 5, 20, 100, 200)
    temperature: float = 0.07
    metric: Metric = "cosine"

    def __post_init__(self) -> None:
        if not self.k or min(self.k) < 1:
            raise UsageError(f"--k {','.join(map(str, self.k))} is no number of neighbours: give 1 or more.")
        if not 0 < self.temperature < float("inf"):
            raise UsageError(f"--temperature {self.temperature:g} must be above 0.")
        if self.metric not in ("cosine", "euclidean"):
            raise UsageError(f"--metric {self.metric!r} is unknown. Choose from: cosine, euclidean.")

    def to_json(self) -> dict[str, Any]:
        """Plain values, for records."""
        return {**asdict(self), "k": list(self.k)}


class KnnProbe:
    """The k that is most accurate on validation rows, scored on ``test`` with train + val as its bank."""

    settings_type = KnnSettings

    def score(self, splits: Mapping[str, Features], settings: KnnSettings, *, seed: int) -> Score:
        """What the features of one layer are worth; every k's test accuracy stands in ``also``."""
        started = time.perf_counter()
        bank, test = train_and_test(splits)
        k, selected_on = settings.k[0], "none"
        if len(settings.k) > 1:
            train, held, selected_on = selection(splits, seed=seed)
            accuracy = {k: _accuracy(s, held) for k, s in _scores(held, train, settings).items()}
            k = max(sorted(accuracy), key=accuracy.__getitem__)  # the smallest of equals
        chosen = time.perf_counter()
        scores = _scores(test, bank, settings)
        also: dict[str, Any] = {f"top1@k={k}": _accuracy(scores[k], test) for k in settings.k}
        return classification_score(
            scores[k],
            test.labels,
            selected_on=selected_on,
            chosen={"k": k} if selected_on != "none" else {},
            also={**also, "bank": len(bank), "whole_bank": [k for k in settings.k if k > len(bank)]},
            seconds={"fit": chosen - started, "score": time.perf_counter() - chosen},
        )


PROBES.register("knn")(KnnProbe())


def _accuracy(scores: Array, rows: Features) -> float:
    return float((scores.argmax(axis=1) == rows.labels).mean())


def _scores(queries: Features, bank: Features, settings: KnnSettings) -> dict[int, Array]:
    """Class scores ``[q, c]`` by k, from one search; a k beyond the bank is answered by the whole bank."""
    q, x = (_inputs(rows.x, settings.metric) for rows in (queries, bank))
    near, rows = neighbours(q, x, k=min(max(settings.k), len(bank)), metric=settings.metric)
    votes = _votes(near, settings.metric, settings.temperature)
    of = bank.labels[rows]  # [q, k]
    return {k: _tally(votes[:, :k], of[:, :k], len(bank.classes)) for k in settings.k}


def _inputs(x: NDArray[np.floating], metric: Metric) -> Array:
    x = np.ascontiguousarray(x, dtype=np.float32)
    return torch.nn.functional.normalize(torch.from_numpy(x)).numpy() if metric == "cosine" else x


def knn_scores(
    queries: Array, bank: Array, labels: NDArray[np.integer], *, k: int, temperature: float, n_classes: int
) -> Array:
    """Class scores by a vote of the ``k`` most similar bank rows.

    A neighbour of cosine similarity ``s`` votes ``exp(s / temperature)`` [1].
    Shapes: ``q`` queries, ``n`` bank rows, ``d`` features, ``c`` classes.

    Args:
        queries: ``[q, d]``, rows of unit length.
        bank: ``[n, d]``, rows of unit length.
        labels: ``[n]`` integers in ``0 … c-1``.
        k: at most ``n``.
        temperature: above 0; near 0 only the nearest neighbour counts.
        n_classes: ``c``.

    Returns: ``[q, c]``, rows sum to 1.
    Raises: ShapeError: if ``k`` exceeds ``n``, or the shapes do not fit.
    """
    near, rows = neighbours(queries, bank, k=k, metric="cosine")
    return _tally(_votes(near, "cosine", temperature), labels[rows], n_classes)


def _votes(near: Array, metric: Metric, temperature: float) -> Array:
    """``[q, k]`` up to one factor a query, so that no temperature overflows."""
    if metric == "euclidean":
        return (1 / (np.sqrt(np.maximum(-near, 0)) + NEAR)).astype(np.float32)
    return np.exp((near - near[:, :1]) / temperature)


def _tally(votes: Array, of: NDArray[np.integer], n_classes: int) -> Array:
    """Votes ``[q, k]`` of neighbours of class ``of`` ``[q, k]``, summed by class and divided by all."""
    cells = of + n_classes * np.arange(len(of))[:, None]
    total = np.bincount(cells.ravel(), weights=votes.ravel(), minlength=len(of) * n_classes)
    scores = total.reshape(len(of), n_classes)
    return (scores / scores.sum(axis=1, keepdims=True)).astype(np.float32)


def neighbours(queries: Array, bank: Array, *, k: int, metric: Metric) -> tuple[Array, NDArray[np.int64]]:
    """The ``k`` nearest bank rows of each query, exactly; equals in the order of the bank.

    Args:
        queries: ``[q, d]`` float32.
        bank: ``[n, d]`` float32.
        k: at most ``n``.
        metric: ``cosine`` takes rows as they are: of unit length.

    Returns: nearness ``[q, k]``, descending, and row numbers ``[q, k]``. Nearness is the inner product,
    or less the squared distance.
    Raises: ShapeError: if ``k`` exceeds ``n``, or the shapes do not fit.
    """
    if queries.ndim != 2 or bank.ndim != 2 or queries.shape[1] != bank.shape[1]:
        raise ShapeError(
            f"Queries {list(queries.shape)} and bank {list(bank.shape)} must be [q, d] and [n, d]."
        )
    if not 1 <= k <= len(bank):
        raise ShapeError(f"A bank of {len(bank)} rows has no {k} neighbours: ask for 1 … {len(bank)}.")
    search = _search_faiss if importlib.util.find_spec("faiss") else _search_torch
    near, rows = search(queries, bank, k, metric)
    order = np.lexsort((rows, -near))
    return np.take_along_axis(near, order, 1), np.take_along_axis(rows, order, 1)


def _search_faiss(queries: Array, bank: Array, k: int, metric: Metric) -> tuple[Array, NDArray[np.int64]]:
    import faiss  # here, because it brings a second OpenMP and most commands need neither

    index = faiss.IndexFlatIP(bank.shape[1]) if metric == "cosine" else faiss.IndexFlatL2(bank.shape[1])
    index.add(bank)
    near, rows = index.search(queries, k)
    return (near if metric == "cosine" else -near), rows


def _search_torch(queries: Array, bank: Array, k: int, metric: Metric) -> tuple[Array, NDArray[np.int64]]:
    """The same without FAISS."""
    x = torch.from_numpy(bank)
    squares = x.square().sum(1)
    parts = []
    for q in torch.from_numpy(queries).split(max(1, CHUNK // len(bank))):
        near = q @ x.T  # [q, n]
        if metric == "euclidean":
            near = 2 * near - squares - q.square().sum(1, keepdim=True)
        parts.append(near.topk(k, dim=1))
    near, rows = (torch.cat([part[i] for part in parts]).numpy() for i in (0, 1))
    return near, rows
