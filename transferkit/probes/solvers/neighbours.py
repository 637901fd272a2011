"""Nearest-neighbour search: exact, chunk by chunk, or approximate, with an inverted file [1].

All searches use the squared Euclidean distance. For ``cosine``, rows are normalised to unit length first, and
the cosine of two rows is ``1 − distance² / 2``. Distances are computed from inner products in float32, which
lose the digits that all rows have in common. So queries and rows are first shifted by a point among the rows:
this changes no distance, and an offset of the features costs no precision.

Shapes: ``q`` queries, ``n`` bank rows, ``d`` features. A bank may be larger than memory: only one chunk of it
is in memory at a time.

[1] Johnson et al., Billion-scale similarity search with GPUs, IEEE Transactions on Big Data 2019 (FAISS).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray

from ...core.devices import has_fast_bf16
from ...core.errors import ShapeError
from ...core.faiss_library import has_faiss, load_faiss
from ...core.out_of_core import Matrix, chunks
from . import Metric
from .bf16_filter import Array, Rows, filtered_search, is_filter_faster

CHUNK_VALUES = 2**25
"""Number of bank values that are searched at once (128 MiB of float32)."""

MAX_SIMILARITIES = 2**26
"""Number of similarities in memory at once (256 MiB) if FAISS is missing and torch searches."""

FAISS_BLOCK_ROWS = 8192
"""Bank rows per matrix product of FAISS; with its default of 1024 a search takes a quarter longer."""

MAX_GPU_NEIGHBOURS = 2048
"""Maximum number of neighbours that FAISS supports on a GPU."""

TARGET_RECALL = 0.995
"""Recall that the probed lists must reach on one half of the sampled queries, for about 0.99 on new queries."""

SAMPLE_QUERIES = 400
"""Number of queries that are also searched exactly: one half sets the number of probed lists, the other half
measures the recall."""

MEDIAN_ROWS = 255
"""Number of bank rows whose median is the point by which all rows are shifted."""

MIN_LENGTH = 1e-12
"""Rows of at most this length count as rows of length 0."""

TRAINING_ROWS_PER_LIST = 40
"""Number of bank rows per list to which k-means is fitted."""


@dataclass(frozen=True, eq=False)
class ApproximateNeighbours:
    """Result of a search in an inverted file.

    Attributes:
        near: ``[q, k]``, see ``neighbours``.
        rows: ``[q, k]``, row numbers.
        nprobe: number of lists that were searched for each query.
        recall: fraction of the ``k`` nearest rows that were found, over sampled queries that did not set ``nprobe``.
    """

    near: Array
    rows: Rows
    nprobe: int
    recall: float


def neighbours(queries: Matrix, bank: Matrix, *, k: int, metric: Metric) -> tuple[Array, Rows]:
    """Find the ``k`` nearest bank rows of each query, exactly; ties are in the order of the bank.

    If several rows tie for the ``k``-th position, any of them may be returned.

    Args:
        queries: ``[q, d]``.
        bank: ``[n, d]``.
        k: number of neighbours, at most ``n``.
        metric: ``cosine`` or ``euclidean``. The cosine of a row of length 0 and any other row is 0.

    Returns: nearness ``[q, k]``, descending, and row numbers ``[q, k]``. Nearness is the cosine or the negative
    squared distance.
    Raises: ShapeError: if ``k`` exceeds ``n``, or the shapes do not fit.
    """
    _require_searchable(queries, bank, k)
    q = _prepared(np.asarray(queries), metric)
    near, rows, first = np.empty((len(q), 0), np.float32), np.empty((len(q), 0), np.int64), 0
    for x in _prepared_chunks(bank, metric):
        centre = _centre(x)
        chunk_near, chunk_rows = _search(_shifted_copy(q, centre), _shifted(x, centre), min(k, len(x)))
        near, rows = _merged((near, rows), (chunk_near, chunk_rows + first), k)
        first += len(x)
    return _nearness(*in_order(near, rows), q, metric)


def approximate_neighbours(queries: Matrix, bank: Matrix, *, k: int, metric: Metric) -> ApproximateNeighbours:
    """Find the ``k`` nearest bank rows of each query among the lists of similar rows that are nearest to it.

    The number of probed lists is the one that finds 99.5 % of the nearest rows of a sample of the queries. Each
    list is searched once, for all queries that probe it; the whole bank is in memory as float32. Needs FAISS.
    Deterministic.

    Args:
        queries: ``[q, d]``.
        bank: ``[n, d]``.
        k: number of neighbours, at most ``n``.
        metric: see ``neighbours``.

    Raises: ShapeError: if ``k`` exceeds ``n``, or the shapes do not fit.
    """
    _require_searchable(queries, bank, k)
    q = _prepared(np.asarray(queries), metric)
    lists = _inverted_lists(bank, metric)
    sample = np.unique(np.linspace(0, len(q) - 1, min(SAMPLE_QUERIES, len(q))).astype(np.int64))
    truth = neighbours(np.asarray(queries)[sample], bank, k=k, metric=metric)[1]
    ranks = lists.list_ranks(q[sample], truth)  # [s, k]
    needed = math.ceil(TARGET_RECALL * ranks[::2].size) - 1
    nprobe = int(np.sort(ranks[::2], axis=None)[max(0, needed)]) + 1
    near, rows = lists.search(q, k, nprobe)
    while (rows < 0).any():  # the probed lists of some query hold fewer than k rows
        nprobe = min(2 * nprobe, len(lists))
        near, rows = lists.search(q, k, nprobe)
    measured = ranks[1::2] if len(ranks) > 1 else ranks
    near, rows = _nearness(*in_order(near, rows), q, metric)
    return ApproximateNeighbours(near, rows, nprobe, float((measured < nprobe).mean()))


@dataclass(frozen=True, eq=False)
class InvertedLists:
    """A bank that is sorted into lists of similar rows [2].

    Attributes:
        shift: ``[d]``, a point among the rows that is subtracted from ``centres`` and ``bank``.
        centres: ``[l, d]``, centre of each list; a row belongs to the list with the nearest centre.
        bank: ``[n, d]``, rows sorted by list.
        rows: ``[n]``, number of each row in the original bank.
        bounds: ``[l + 1]``, boundaries of the lists in ``bank``.

    [2] Jégou et al., Product quantization for nearest neighbor search, PAMI 2011.
    """

    shift: NDArray[np.floating]
    centres: Array
    bank: Array
    rows: Rows
    bounds: Rows

    def __len__(self) -> int:
        return len(self.centres)

    def list_ranks(self, queries: NDArray[np.floating], rows: Rows) -> Rows:
        """Rank the lists of ``rows`` ``[q, k]`` by distance to the query, ``[q, k]``; 0 is the nearest list.

        A search can find a row exactly if the rank of its list is below ``nprobe``.
        """
        nearest = _search(_shifted_copy(queries, self.shift), self.centres, len(self))[1]  # [q, l]
        list_of_row = np.empty(len(self.rows), np.int64)
        list_of_row[self.rows] = np.repeat(np.arange(len(self)), np.diff(self.bounds))
        return np.take_along_axis(np.argsort(nearest, axis=1), list_of_row[rows], axis=1)

    def search(self, queries: NDArray[np.floating], k: int, nprobe: int) -> tuple[Array, Rows]:
        """Find the ``k`` nearest rows ``[q, k]`` in the ``nprobe`` lists nearest to a query; -1 if there are fewer."""
        queries = _shifted_copy(queries, self.shift)
        heap = load_faiss().ResultHeap(len(queries), k, keep_max=True)
        probed = _search(queries, self.centres, nprobe)[1].ravel()  # [q · nprobe]
        query_numbers = np.argsort(probed, kind="stable") // nprobe  # sorted by probed list
        ends = np.searchsorted(np.sort(probed), np.arange(len(self) + 1))
        for number, (first, last) in enumerate(pairwise(self.bounds.tolist())):
            group = query_numbers[ends[number] : ends[number + 1]]
            if first < last and len(group):
                near, rows = _search(queries[group], self.bank[first:last], min(k, last - first))
                heap.add_result_subset(group, near, self.rows[first + rows])
        heap.finalize()
        return heap.D, heap.I


def in_order(near: Array, rows: Rows) -> tuple[Array, Rows]:
    """Sort neighbours ``[q, k]`` by nearness ``[q, k]``, descending, and ties by their row number."""
    unsorted = (near[:, 1:] > near[:, :-1]) | ((near[:, 1:] == near[:, :-1]) & (rows[:, 1:] < rows[:, :-1]))
    if (queries := np.flatnonzero(unsorted.any(axis=1))).size:
        order = np.lexsort((rows[queries], -near[queries]))
        near, rows = near.copy(), rows.copy()
        near[queries] = np.take_along_axis(near[queries], order, 1)
        rows[queries] = np.take_along_axis(rows[queries], order, 1)
    return near, rows


def _require_searchable(queries: Matrix, bank: Matrix, k: int) -> None:
    if queries.ndim != 2 or bank.ndim != 2 or queries.shape[1] != bank.shape[1]:
        raise ShapeError(f"Queries {list(queries.shape)} and bank {list(bank.shape)} must be [q, d] and [n, d].")
    if not 1 <= k <= len(bank):
        raise ShapeError(f"A bank of {len(bank)} rows has no {k} neighbours: use k = 1 … {len(bank)}.")


def _prepared(x: NDArray[np.floating], metric: Metric) -> NDArray[np.floating]:
    """Return a copy of ``x`` ``[m, d]`` in float64 or, for all other types, float32; ``cosine`` normalises rows."""
    x = np.array(x, dtype=np.float64 if x.dtype == np.float64 else np.float32, order="C")
    if metric == "cosine":
        rows = torch.from_numpy(x)
        length = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
        rows.div_(length.masked_fill_(length <= MIN_LENGTH, torch.inf))
    return x


def _prepared_chunks(bank: Matrix, metric: Metric) -> Iterator[NDArray[np.floating]]:
    """Iterate over the bank in order, prepared for the search.

    A chunk of unit rows ``[m, d]`` that contains rows of length 0 gets one more column: 1 for these rows, 0 for
    all others. Queries have 0 there, so the squared distance of such a row to any query of unit length is 2,
    and their cosine is 0.
    """
    for chunk in _large_chunks(bank, max(1, CHUNK_VALUES // bank.shape[1])):
        x = _prepared(chunk, metric)
        zero = _zero_rows(x) if metric == "cosine" else np.empty(0, bool)
        yield np.column_stack([x, zero.astype(x.dtype)]) if zero.any() else x


def _zero_rows(x: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Return a mask ``[m]`` of the rows of length 0, for rows that ``_prepared`` returned for ``cosine``."""
    return (torch.linalg.vector_norm(torch.from_numpy(x), dim=1) == 0).numpy()


def _centre(x: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the column medians ``[d]`` of a few evenly spaced rows.

    Any point within the spread of the rows is suitable as a shift. Unlike the mean, the median stays within it
    even if there are a few outliers.
    """
    sample = x[np.unique(np.linspace(0, len(x) - 1, min(MEDIAN_ROWS, len(x))).astype(np.int64))]
    return torch.from_numpy(sample).median(0).values.numpy()


def _shifted(x: NDArray[np.floating], centre: NDArray[np.floating]) -> Array:
    """Subtract ``centre`` from ``x`` ``[m, d]`` in place, and return the result as float32."""
    torch.from_numpy(x).sub_(torch.from_numpy(centre))
    return x.astype(np.float32, copy=False)


def _shifted_copy(x: NDArray[np.floating], centre: NDArray[np.floating]) -> Array:
    """Do the same with a copy, in which columns that only ``centre`` has are 0."""
    return _shifted(np.pad(x, ((0, 0), (0, len(centre) - x.shape[1]))), centre)


def _nearness(near: Array, rows: Rows, queries: NDArray[np.floating], metric: Metric) -> tuple[Array, Rows]:
    """Convert negative squared distances ``near`` ``[q, k]`` to the nearness that ``neighbours`` returns."""
    if metric == "euclidean":
        return near, rows
    near, zero = near / np.float32(2) + np.float32(1), _zero_rows(queries)
    near[zero], rows[zero] = 0, np.arange(near.shape[1])
    return near, rows


def _large_chunks(bank: Matrix, rows: int) -> Iterator[NDArray[np.floating]]:
    """Iterate over the bank in order, in chunks of at most ``rows`` rows; small chunks are joined."""
    pending: list[NDArray[np.floating]] = []
    for chunk in chunks(bank, rows):
        if sum(map(len, pending)) + len(chunk) > rows:
            yield pending[0] if len(pending) == 1 else np.concatenate(pending)
            pending = []
        pending.append(chunk)
    yield pending[0] if len(pending) == 1 else np.concatenate(pending)


def _merged(one: tuple[Array, Rows], other: tuple[Array, Rows], k: int) -> tuple[Array, Rows]:
    """Merge two results and keep the ``k`` nearest, or all if there are fewer."""
    if not one[0].size:
        return other
    near, rows = (torch.cat([torch.from_numpy(a), torch.from_numpy(b)], 1) for a, b in zip(one, other, strict=True))
    near, positions = near.topk(min(k, near.shape[1]), dim=1)
    return near.numpy(), rows.gather(1, positions).numpy()


def _search(queries: Array, bank: Array, k: int) -> tuple[Array, Rows]:
    """Find the ``k`` nearest shifted rows: negative squared distances ``[q, k]``, and row numbers ``[q, k]``."""
    if not has_faiss():
        return _search_torch(queries, bank, k)
    if _multiplies_bf16() and is_filter_faster(queries, bank, k):
        return _search_filtered(queries, bank, k)
    return _search_faiss(queries, bank, k)


def _multiplies_bf16() -> bool:
    """Return True if this processor multiplies bfloat16 in hardware and there is no GPU, which is faster."""
    return has_fast_bf16(torch.device("cpu")) and load_faiss().get_num_gpus() == 0


def _search_filtered(queries: Array, bank: Array, k: int) -> tuple[Array, Rows]:
    near, rows, certified = filtered_search(queries, bank, k)
    if not certified.all():
        near[~certified], rows[~certified] = _search_faiss(queries[~certified], bank, k)
    return near, rows


def _search_faiss(queries: Array, bank: Array, k: int) -> tuple[Array, Rows]:
    faiss = load_faiss()
    if k <= MAX_GPU_NEIGHBOURS and faiss.get_num_gpus() > 0:
        near, rows = faiss.knn_gpu(faiss.StandardGpuResources(), queries, bank, k)
    else:
        default = faiss.cvar.distance_compute_blas_database_bs
        faiss.cvar.distance_compute_blas_database_bs = FAISS_BLOCK_ROWS
        try:
            near, rows = faiss.knn(queries, bank, k)
        finally:
            faiss.cvar.distance_compute_blas_database_bs = default
    return -near, rows


def _search_torch(queries: Array, bank: Array, k: int) -> tuple[Array, Rows]:
    """Find the ``k`` nearest shifted rows without FAISS."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    x = torch.from_numpy(bank).to(device)
    squares = x.square().sum(1)
    parts = []
    for q in torch.from_numpy(queries).split(max(1, MAX_SIMILARITIES // len(bank))):
        q = q.to(device)
        near = (2 * (q @ x.T) - squares - q.square().sum(1, keepdim=True)).clamp_(max=0)  # [q, n]
        parts.append(near.topk(k, dim=1))
    near, rows = (torch.cat([part[i] for part in parts]).cpu().numpy() for i in (0, 1))
    return near, rows


def _inverted_lists(bank: Matrix, metric: Metric) -> InvertedLists:
    """Sort the bank into about √n / 2 lists; k-means on a sample of the rows finds their centres."""
    n, d = bank.shape
    count = max(1, round(n**0.5 / 2))
    selected = np.unique(np.linspace(0, n - 1, min(n, TRAINING_ROWS_PER_LIST * count)).astype(np.int64))
    sample = _prepared(np.asarray(bank[selected]), metric)
    shift = _centre(sample)
    kmeans = load_faiss().Kmeans(d, count, niter=10, seed=0, min_points_per_centroid=1)
    kmeans.train(_shifted(sample, shift))
    centres: Array = np.asarray(kmeans.centroids)
    widths, parts = [], []
    for x in _prepared_chunks(bank, metric):
        widths.append(x.shape[1])
        parts.append(_search(_shifted_copy(x[:, :d], shift), centres, 1)[1][:, 0])
    list_of_row = np.concatenate(parts)
    order = np.argsort(list_of_row, kind="stable")
    bounds = np.searchsorted(list_of_row[order], np.arange(count + 1))
    shift, centres = (np.pad(one, [*[(0, 0)] * (one.ndim - 1), (0, max(widths) - d)]) for one in (shift, centres))
    position, sorted_bank, first = np.argsort(order), np.empty((n, max(widths)), np.float32), 0
    for x in _prepared_chunks(bank, metric):  # read a second time, so that the bank is not in memory twice
        sorted_bank[position[first : first + len(x)]] = _shifted(x, shift)
        first += len(x)
    return InvertedLists(shift, centres, sorted_bank, order, bounds)
