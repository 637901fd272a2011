"""Which rows of a bank are nearest: exactly, chunk by chunk, or nearly, through an inverted file [1].

Shapes: ``q`` queries, ``n`` bank rows, ``d`` features. A bank may be larger than memory: one chunk of it is
held at a time.

[1] Johnson et al., Billion-scale similarity search with GPUs, IEEE Transactions on Big Data 2019 (FAISS).
"""

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from ..core.blocks import Matrix, chunks
from ..core.errors import ShapeError

Metric = Literal["cosine", "euclidean"]
Array = NDArray[np.float32]
Rows = NDArray[np.int64]

CHUNK = 2**25
"""Bank values that are searched at once: 128 MiB of float32."""

SIMILARITIES = 2**26
"""Similarities that torch holds at once where FAISS is missing: 256 MiB."""

GPU_NEIGHBOURS = 2048
"""More of them FAISS does not select on a GPU."""

RECALL = 0.99
"""Of the nearest rows that an inverted file must find in a sample of queries."""

SAMPLE = 256
"""Queries that are also searched exactly: one half sets how many lists are probed, the other is measured."""

TRAINING = 40
"""Bank rows a list that its centres are fitted to."""


@dataclass(frozen=True, eq=False)
class Approximate:
    """What an inverted file found.

    Attributes:
        near: ``[q, k]``, as of ``neighbours``.
        rows: ``[q, k]``.
        nprobe: lists that every query looked into.
        recall: of the ``k`` nearest rows, over sampled queries that did not set ``nprobe``.
    """

    near: Array
    rows: Rows
    nprobe: int
    recall: float


def neighbours(queries: Matrix, bank: Matrix, *, k: int, metric: Metric) -> tuple[Array, Rows]:
    """The ``k`` nearest bank rows of each query, exactly; equals in the order of the bank.

    Which of several rows equally near at the ``k``-th place are among them is not said.

    Args:
        queries: ``[q, d]``.
        bank: ``[n, d]``.
        k: at most ``n``.
        metric: ``cosine`` does not mind the length of rows; one of length 0 has similarity 0 to all.

    Returns: nearness ``[q, k]``, descending, and row numbers ``[q, k]``. Nearness is the cosine, or less
    the squared distance.
    Raises: ShapeError: if ``k`` exceeds ``n``, or the shapes do not fit.
    """
    _require_answerable(queries, bank, k)
    q = _prepared(np.asarray(queries), metric)
    near, rows, first = np.empty((len(q), 0), np.float32), np.empty((len(q), 0), np.int64), 0
    for part in _gathered(bank, max(1, CHUNK // bank.shape[1])):
        x = _prepared(part, metric)
        there, numbers = _search(q, x, min(k, len(x)), metric)
        near, rows = _merged((near, rows), (there, numbers + first), k)
        first += len(x)
    return in_order(near, rows)


def approximate_neighbours(queries: Matrix, bank: Matrix, *, k: int, metric: Metric) -> Approximate:
    """The same through lists of similar rows, of which a query looks into the nearest few.

    As many lists are probed as a sample of the queries needs to find 99 % of its nearest rows. A list is
    searched for all the queries that probe it at once; the whole bank lies in memory as float32. Needs
    FAISS. Deterministic.

    Args:
        queries: ``[q, d]``.
        bank: ``[n, d]``.
        k: at most ``n``.
        metric: as of ``neighbours``.

    Raises: ShapeError: if ``k`` exceeds ``n``, or the shapes do not fit.
    """
    _require_answerable(queries, bank, k)
    q = _prepared(np.asarray(queries), metric)
    lists = _inverted_lists(bank, metric)
    sample = q[np.unique(np.linspace(0, len(q) - 1, min(SAMPLE, len(q))).astype(np.int64))]
    truth = neighbours(sample, bank, k=k, metric=metric)[1]
    nprobe = 1
    while nprobe < len(lists) and _recall(lists.search(sample[::2], k, nprobe)[1], truth[::2]) < RECALL:
        nprobe = min(2 * nprobe, len(lists))
    near, rows = lists.search(q, k, nprobe)
    while (rows < 0).any():  # the lists of some query hold less than k rows
        nprobe = min(2 * nprobe, len(lists))
        near, rows = lists.search(q, k, nprobe)
    measured = slice(1, None, 2) if len(sample) > 1 else slice(None)
    recall = _recall(lists.search(sample[measured], k, nprobe)[1], truth[measured])
    return Approximate(*in_order(near, rows), nprobe, recall)


@dataclass(frozen=True, eq=False)
class InvertedLists:
    """A bank by lists of similar rows [2].

    Attributes:
        centres: ``[l, d]``; a row belongs to the nearest one.
        bank: ``[n, d]``, list by list.
        rows: ``[n]`` numbers of these rows in the bank as it was.
        bounds: ``[l + 1]``: where lists begin and end.
        metric: as of ``neighbours``.

    [2] Jégou et al., Product quantization for nearest neighbor search, PAMI 2011.
    """

    centres: Array
    bank: Array
    rows: Rows
    bounds: Rows
    metric: Metric

    def __len__(self) -> int:
        return len(self.centres)

    def search(self, queries: Array, k: int, nprobe: int) -> tuple[Array, Rows]:
        """The ``k`` nearest rows ``[q, k]`` in the ``nprobe`` lists nearest to a query; -1 for too few."""
        near = np.full((len(queries), k), -np.inf, np.float32)
        rows = np.full((len(queries), k), -1, np.int64)
        probed = _search(queries, self.centres, nprobe, self.metric)[1].ravel()  # [q · nprobe]
        askers = np.argsort(probed, kind="stable") // nprobe
        ends = np.searchsorted(np.sort(probed), np.arange(len(self) + 1))
        for number, (first, last) in enumerate(pairwise(self.bounds.tolist())):
            those = askers[ends[number] : ends[number + 1]]
            if first == last or not len(those):
                continue
            there, found = _search(queries[those], self.bank[first:last], min(k, last - first), self.metric)
            own = (near[those], rows[those])
            near[those], rows[those] = _merged(own, (there, self.rows[first + found]), k)
        return near, rows


def in_order(near: Array, rows: Rows) -> tuple[Array, Rows]:
    """Neighbours ``[q, k]`` by nearness ``[q, k]``, descending; equals by their number."""
    wrong = (near[:, 1:] > near[:, :-1]) | ((near[:, 1:] == near[:, :-1]) & (rows[:, 1:] < rows[:, :-1]))
    if (those := np.flatnonzero(wrong.any(axis=1))).size:
        order = np.lexsort((rows[those], -near[those]))
        near, rows = near.copy(), rows.copy()
        near[those] = np.take_along_axis(near[those], order, 1)
        rows[those] = np.take_along_axis(rows[those], order, 1)
    return near, rows


def has_faiss() -> bool:
    """Whether FAISS is installed; it is imported when first needed, as it brings an OpenMP of its own."""
    return importlib.util.find_spec("faiss") is not None


def _require_answerable(queries: Matrix, bank: Matrix, k: int) -> None:
    if queries.ndim != 2 or bank.ndim != 2 or queries.shape[1] != bank.shape[1]:
        raise ShapeError(
            f"Queries {list(queries.shape)} and bank {list(bank.shape)} must be [q, d] and [n, d]."
        )
    if not 1 <= k <= len(bank):
        raise ShapeError(f"A bank of {len(bank)} rows has no {k} neighbours: ask for 1 … {len(bank)}.")


def _prepared(x: NDArray[np.floating], metric: Metric) -> Array:
    """``[m, d]`` float32, of unit length under ``cosine``."""
    x = np.ascontiguousarray(x, dtype=np.float32)
    return torch.nn.functional.normalize(torch.from_numpy(x)).numpy() if metric == "cosine" else x


def _gathered(bank: Matrix, rows: int) -> Iterator[NDArray[np.floating]]:
    """The bank in order, in parts of at most ``rows`` rows, small pieces joined."""
    held: list[NDArray[np.floating]] = []
    for piece in chunks(bank, rows):
        if sum(map(len, held)) + len(piece) > rows:
            yield held[0] if len(held) == 1 else np.concatenate(held)
            held = []
        held.append(piece)
    yield held[0] if len(held) == 1 else np.concatenate(held)


def _merged(one: tuple[Array, Rows], other: tuple[Array, Rows], k: int) -> tuple[Array, Rows]:
    """The ``k`` nearest of both, or all that there are."""
    if not one[0].size:
        return other
    near, rows = (
        torch.cat([torch.from_numpy(a), torch.from_numpy(b)], 1) for a, b in zip(one, other, strict=True)
    )
    near, at = near.topk(min(k, near.shape[1]), dim=1)
    return near.numpy(), rows.gather(1, at).numpy()


def _search(queries: Array, bank: Array, k: int, metric: Metric) -> tuple[Array, Rows]:
    return (_search_faiss if has_faiss() else _search_torch)(queries, bank, k, metric)


def _search_faiss(queries: Array, bank: Array, k: int, metric: Metric) -> tuple[Array, Rows]:
    import faiss

    kind = faiss.METRIC_INNER_PRODUCT if metric == "cosine" else faiss.METRIC_L2
    if k <= GPU_NEIGHBOURS and faiss.get_num_gpus() > 0:
        near, rows = faiss.knn_gpu(faiss.StandardGpuResources(), queries, bank, k, metric=kind)
    else:
        near, rows = faiss.knn(queries, bank, k, metric=kind)
    return (near if metric == "cosine" else -near), rows


def _search_torch(queries: Array, bank: Array, k: int, metric: Metric) -> tuple[Array, Rows]:
    """The same without FAISS."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    x = torch.from_numpy(bank).to(device)
    squares = x.square().sum(1)
    parts = []
    for q in torch.from_numpy(queries).split(max(1, SIMILARITIES // len(bank))):
        q = q.to(device)
        near = q @ x.T  # [q, n]
        if metric == "euclidean":
            near = 2 * near - squares - q.square().sum(1, keepdim=True)
        parts.append(near.topk(k, dim=1))
    near, rows = (torch.cat([part[i] for part in parts]).cpu().numpy() for i in (0, 1))
    return near, rows


def _inverted_lists(bank: Matrix, metric: Metric) -> InvertedLists:
    """About √n / 2 lists around centres that k-means finds in a selection of the rows."""
    import faiss

    n, d = bank.shape
    count = max(1, round(n**0.5 / 2))
    chosen = np.unique(np.linspace(0, n - 1, min(n, TRAINING * count)).astype(np.int64))
    kmeans = faiss.Kmeans(d, count, niter=10, seed=0, spherical=metric == "cosine", min_points_per_centroid=1)
    kmeans.train(_prepared(np.asarray(bank[chosen]), metric))
    centres: Array = np.asarray(kmeans.centroids)
    x, home, at = np.empty((n, d), np.float32), np.empty(n, np.int64), 0
    for part in _gathered(bank, max(1, CHUNK // d)):
        block = slice(at, at + len(part))
        x[block] = _prepared(part, metric)
        home[block] = _search(x[block], centres, 1, metric)[1][:, 0]
        at += len(part)
    order = np.argsort(home, kind="stable")
    bounds = np.searchsorted(home[order], np.arange(count + 1))
    return InvertedLists(centres, x[order], order, bounds, metric)


def _recall(found: Rows, truth: Rows) -> float:
    """How many of the rows of ``truth`` ``[q, k]`` were found, as a fraction."""
    hits = [len(np.intersect1d(a, b, assume_unique=True)) for a, b in zip(found, truth, strict=True)]
    return float(sum(hits) / truth.size)
