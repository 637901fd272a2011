"""Which rows of a bank are nearest: exactly, chunk by chunk, or nearly, through an inverted file [1].

Shapes: ``q`` queries, ``n`` bank rows, ``d`` features. A bank may be larger than memory: one chunk of it is
held at a time.

[1] Johnson et al., Billion-scale similarity search with GPUs, IEEE Transactions on Big Data 2019 (FAISS).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray

from ..core.blocks import Matrix, chunks
from ..core.devices import has_fast_bf16
from ..core.errors import ShapeError
from ..core.faiss_library import has_faiss, load_faiss
from .screening import Array, Metric, Rows, is_worth_screening, screened

CHUNK = 2**25
"""Bank values that are searched at once: 128 MiB of float32."""

SIMILARITIES = 2**26
"""Similarities that torch holds at once where FAISS is missing: 256 MiB."""

TILE = 8192
"""Bank rows of one matrix product of FAISS's; with its own 1024 a search takes a quarter longer."""

GPU_NEIGHBOURS = 2048
"""More of them FAISS does not select on a GPU."""

RECALL = 0.995
"""Of the nearest rows that lists must find in a sample of queries, so that about 0.99 is found in others."""

SAMPLE = 400
"""Queries that are also searched exactly: one half sets how many lists are probed, the other
tells what that finds."""

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
    for x in _parts(bank, metric):
        there, numbers = _search(q, x, min(k, len(x)), metric)
        near, rows = _merged((near, rows), (there, numbers + first), k)
        first += len(x)
    return in_order(near, rows)


def approximate_neighbours(queries: Matrix, bank: Matrix, *, k: int, metric: Metric) -> Approximate:
    """The same through lists of similar rows, of which a query looks into the nearest few.

    As many lists are probed as a sample of the queries needs to find 99.5 % of its nearest rows. A list is
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
    place = lists.places(sample, truth)  # [s, k]
    enough = math.ceil(RECALL * place[::2].size) - 1
    nprobe = int(np.sort(place[::2], axis=None)[max(0, enough)]) + 1
    near, rows = lists.search(q, k, nprobe)
    while (rows < 0).any():  # the lists of some query hold less than k rows
        nprobe = min(2 * nprobe, len(lists))
        near, rows = lists.search(q, k, nprobe)
    measured = place[1::2] if len(place) > 1 else place
    return Approximate(*in_order(near, rows), nprobe, float((measured < nprobe).mean()))


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

    def places(self, queries: Array, rows: Rows) -> Rows:
        """The place of the list that holds a row, for ``rows`` ``[q, k]``: 0 is the one nearest to its query.

        A search finds a row, if it is near enough, exactly when that place is below ``nprobe``.
        """
        nearest = _search(queries, self.centres, len(self), self.metric)[1]  # [q, l]
        home = np.empty(len(self.rows), np.int64)
        home[self.rows] = np.repeat(np.arange(len(self)), np.diff(self.bounds))
        return np.take_along_axis(np.argsort(nearest, axis=1), home[rows], axis=1)

    def search(self, queries: Array, k: int, nprobe: int) -> tuple[Array, Rows]:
        """The ``k`` nearest rows ``[q, k]`` in the ``nprobe`` lists nearest to a query; -1 for too few."""
        best = load_faiss().ResultHeap(len(queries), k, keep_max=True)
        probed = _search(queries, self.centres, nprobe, self.metric)[1].ravel()  # [q · nprobe]
        askers = np.argsort(probed, kind="stable") // nprobe  # list by list
        ends = np.searchsorted(np.sort(probed), np.arange(len(self) + 1))
        for number, (first, last) in enumerate(pairwise(self.bounds.tolist())):
            those = askers[ends[number] : ends[number + 1]]
            if first < last and len(those):
                few = min(k, last - first)
                near, rows = _search(queries[those], self.bank[first:last], few, self.metric)
                best.add_result_subset(those, near, self.rows[first + rows])
        best.finalize()
        return best.D, best.I


def in_order(near: Array, rows: Rows) -> tuple[Array, Rows]:
    """Neighbours ``[q, k]`` by nearness ``[q, k]``, descending; equals by their number."""
    wrong = (near[:, 1:] > near[:, :-1]) | ((near[:, 1:] == near[:, :-1]) & (rows[:, 1:] < rows[:, :-1]))
    if (those := np.flatnonzero(wrong.any(axis=1))).size:
        order = np.lexsort((rows[those], -near[those]))
        near, rows = near.copy(), rows.copy()
        near[those] = np.take_along_axis(near[those], order, 1)
        rows[those] = np.take_along_axis(rows[those], order, 1)
    return near, rows


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


def _parts(bank: Matrix, metric: Metric) -> Iterator[Array]:
    """The bank in order, as it is searched."""
    return (_prepared(part, metric) for part in _gathered(bank, max(1, CHUNK // bank.shape[1])))


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
    if not has_faiss():
        return _search_torch(queries, bank, k, metric)
    if _multiplies_bf16() and is_worth_screening(queries, bank, k):
        return _search_screened(queries, bank, k, metric)
    return _search_faiss(queries, bank, k, metric)


def _multiplies_bf16() -> bool:
    """Whether this processor does, and nothing faster is at hand."""
    return has_fast_bf16(torch.device("cpu")) and load_faiss().get_num_gpus() == 0


def _search_screened(queries: Array, bank: Array, k: int, metric: Metric) -> tuple[Array, Rows]:
    near, rows, sure = screened(queries, bank, k, metric)
    if not sure.all():
        near[~sure], rows[~sure] = _search_faiss(queries[~sure], bank, k, metric)
    return near, rows


def _search_faiss(queries: Array, bank: Array, k: int, metric: Metric) -> tuple[Array, Rows]:
    faiss = load_faiss()
    kind = faiss.METRIC_INNER_PRODUCT if metric == "cosine" else faiss.METRIC_L2
    if k <= GPU_NEIGHBOURS and faiss.get_num_gpus() > 0:
        near, rows = faiss.knn_gpu(faiss.StandardGpuResources(), queries, bank, k, metric=kind)
    else:
        usual = faiss.cvar.distance_compute_blas_database_bs
        faiss.cvar.distance_compute_blas_database_bs = TILE
        try:
            near, rows = faiss.knn(queries, bank, k, metric=kind)
        finally:
            faiss.cvar.distance_compute_blas_database_bs = usual
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
    n, d = bank.shape
    count = max(1, round(n**0.5 / 2))
    chosen = np.unique(np.linspace(0, n - 1, min(n, TRAINING * count)).astype(np.int64))
    kmeans = load_faiss().Kmeans(
        d, count, niter=10, seed=0, spherical=metric == "cosine", min_points_per_centroid=1
    )
    kmeans.train(_prepared(np.asarray(bank[chosen]), metric))
    centres: Array = np.asarray(kmeans.centroids)
    homes = [_search(x, centres, 1, metric)[1][:, 0] for x in _parts(bank, metric)]
    order = np.argsort(np.concatenate(homes), kind="stable")
    bounds = np.searchsorted(np.concatenate(homes)[order], np.arange(count + 1))
    place, listed, at = np.argsort(order), np.empty((n, d), np.float32), 0
    for x in _parts(bank, metric):  # once more, rather than to hold the bank twice
        listed[place[at : at + len(x)]] = x
        at += len(x)
    return InvertedLists(centres, listed, order, bounds, metric)
