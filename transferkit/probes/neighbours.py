"""Which rows of a bank are nearest: exactly, chunk by chunk, or nearly, through an inverted file [1].

Every search is one by squared Euclidean distance. Under ``cosine`` rows are brought to unit length first, and
the cosine of two of them is ``1 − distance² / 2``. Distances come from inner products in float32, which lose
the digits that all rows have in common. So queries and rows are first shifted by a point among the rows: that
changes no distance, and an offset of the features costs no precision.

Shapes: ``q`` queries, ``n`` bank rows, ``d`` features. A bank may be larger than memory: one chunk of it is
held at a time.

[1] Johnson et al., Billion-scale similarity search with GPUs, IEEE Transactions on Big Data 2019 (FAISS).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from ..core.devices import has_fast_bf16
from ..core.errors import ShapeError
from ..core.faiss_library import has_faiss, load_faiss
from ..core.out_of_core import Matrix, chunks
from .candidates import Array, Rows, is_worth_screening, screened

Metric = Literal["cosine", "euclidean"]

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

CENTRED_ON = 255
"""Bank rows whose median all rows are shifted by."""

SHORTEST = 1e-12
"""Rows that are not longer count as rows of length 0."""

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
        metric: ``cosine`` does not depend on the length of rows; one of length 0 has similarity 0 to all.

    Returns: nearness ``[q, k]``, descending, and row numbers ``[q, k]``. Nearness is the cosine, or less
    the squared distance.
    Raises: ShapeError: if ``k`` exceeds ``n``, or the shapes do not fit.
    """
    _require_answerable(queries, bank, k)
    q = _prepared(np.asarray(queries), metric)
    near, rows, first = np.empty((len(q), 0), np.float32), np.empty((len(q), 0), np.int64), 0
    for x in _parts(bank, metric):
        centre = _centre(x)
        there, numbers = _search(_shifted_copy(q, centre), _shifted(x, centre), min(k, len(x)))
        near, rows = _merged((near, rows), (there, numbers + first), k)
        first += len(x)
    return _nearness(*in_order(near, rows), q, metric)


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
    sample = np.unique(np.linspace(0, len(q) - 1, min(SAMPLE, len(q))).astype(np.int64))
    truth = neighbours(np.asarray(queries)[sample], bank, k=k, metric=metric)[1]
    context = lists.places(q[sample], truth)  # [s, k]
    enough = math.ceil(RECALL * context[::2].size) - 1
    nprobe = int(np.sort(context[::2], axis=None)[max(0, enough)]) + 1
    near, rows = lists.search(q, k, nprobe)
    while (rows < 0).any():  # the lists of some query hold less than k rows
        nprobe = min(2 * nprobe, len(lists))
        near, rows = lists.search(q, k, nprobe)
    measured = context[1::2] if len(context) > 1 else context
    near, rows = _nearness(*in_order(near, rows), q, metric)
    return Approximate(near, rows, nprobe, float((measured < nprobe).mean()))


@dataclass(frozen=True, eq=False)
class InvertedLists:
    """A bank by lists of similar rows [2].

    Attributes:
        shift: ``[d]``, a point among the rows; ``centres`` and ``bank`` are less it.
        centres: ``[l, d]``; a row belongs to the nearest one.
        bank: ``[n, d]``, list by list.
        rows: ``[n]`` numbers of these rows in the bank as it was.
        bounds: ``[l + 1]``: where lists begin and end.

    [2] Jégou et al., Product quantization for nearest neighbor search, PAMI 2011.
    """

    shift: NDArray[np.floating]
    centres: Array
    bank: Array
    rows: Rows
    bounds: Rows

    def __len__(self) -> int:
        return len(self.centres)

    def places(self, queries: NDArray[np.floating], rows: Rows) -> Rows:
        """The place of the list that holds a row, for ``rows`` ``[q, k]``: 0 is the one nearest to its query.

        A search finds a row, if it is near enough, exactly when that place is below ``nprobe``.
        """
        nearest = _search(_shifted_copy(queries, self.shift), self.centres, len(self))[1]  # [q, l]
        home = np.empty(len(self.rows), np.int64)
        home[self.rows] = np.repeat(np.arange(len(self)), np.diff(self.bounds))
        return np.take_along_axis(np.argsort(nearest, axis=1), home[rows], axis=1)

    def search(self, queries: NDArray[np.floating], k: int, nprobe: int) -> tuple[Array, Rows]:
        """The ``k`` nearest rows ``[q, k]`` in the ``nprobe`` lists nearest to a query; -1 for too few."""
        queries = _shifted_copy(queries, self.shift)
        best = load_faiss().ResultHeap(len(queries), k, keep_max=True)
        probed = _search(queries, self.centres, nprobe)[1].ravel()  # [q · nprobe]
        askers = np.argsort(probed, kind="stable") // nprobe  # list by list
        ends = np.searchsorted(np.sort(probed), np.arange(len(self) + 1))
        for number, (first, last) in enumerate(pairwise(self.bounds.tolist())):
            those = askers[ends[number] : ends[number + 1]]
            if first < last and len(those):
                few = min(k, last - first)
                near, rows = _search(queries[those], self.bank[first:last], few)
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
        raise ShapeError(f"Queries {list(queries.shape)} and bank {list(bank.shape)} must be [q, d] and [n, d].")
    if not 1 <= k <= len(bank):
        raise ShapeError(f"A bank of {len(bank)} rows has no {k} neighbours: ask for 1 … {len(bank)}.")


def _prepared(x: NDArray[np.floating], metric: Metric) -> NDArray[np.floating]:
    """A copy of ``x`` ``[m, d]``, float64 where ``x`` is, else float32; under ``cosine`` of length 1 or 0."""
    x = np.array(x, dtype=np.float64 if x.dtype == np.float64 else np.float32, order="C")
    if metric == "cosine":
        rows = torch.from_numpy(x)
        length = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
        rows.div_(length.masked_fill_(length <= SHORTEST, torch.inf))
    return x


def _parts(bank: Matrix, metric: Metric) -> Iterator[NDArray[np.floating]]:
    """The bank in order, as it is searched.

    A part of unit rows ``[m, d]`` in which some rows have length 0 gets one more column: 1 for those rows, 0
    for the others. Queries have 0 there, so that the squared distance of such a row to any query of unit
    length is 2, and their cosine 0.
    """
    for part in _gathered(bank, max(1, CHUNK // bank.shape[1])):
        x = _prepared(part, metric)
        zero = _zero_rows(x) if metric == "cosine" else np.empty(0, bool)
        yield np.column_stack([x, zero.astype(x.dtype)]) if zero.any() else x


def _zero_rows(x: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Which rows have length 0, ``[m]``, of those that ``_prepared`` gives for ``cosine``."""
    return (torch.linalg.vector_norm(torch.from_numpy(x), dim=1) == 0).numpy()


def _centre(x: NDArray[np.floating]) -> NDArray[np.floating]:
    """Medians ``[d]`` of the columns over a few rows, evenly spaced.

    Anything within the spread of the rows would do to shift by; unlike a mean, a median is that whatever a
    few rows far away from all others are like.
    """
    few = x[np.unique(np.linspace(0, len(x) - 1, min(CENTRED_ON, len(x))).astype(np.int64))]
    return torch.from_numpy(few).median(0).values.numpy()


def _shifted(x: NDArray[np.floating], centre: NDArray[np.floating]) -> Array:
    """``x`` ``[m, d]`` less ``centre``, as float32; ``x`` itself is changed."""
    torch.from_numpy(x).sub_(torch.from_numpy(centre))
    return x.astype(np.float32, copy=False)


def _shifted_copy(x: NDArray[np.floating], centre: NDArray[np.floating]) -> Array:
    """The same of a copy, with zeros in the columns that only ``centre`` has."""
    return _shifted(np.pad(x, ((0, 0), (0, len(centre) - x.shape[1]))), centre)


def _nearness(near: Array, rows: Rows, queries: NDArray[np.floating], metric: Metric) -> tuple[Array, Rows]:
    """What ``neighbours`` gives, of less the squared distances ``near`` ``[q, k]`` to prepared queries."""
    if metric == "euclidean":
        return near, rows
    near, zero = near / np.float32(2) + np.float32(1), _zero_rows(queries)
    near[zero], rows[zero] = 0, np.arange(near.shape[1])
    return near, rows


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
    near, rows = (torch.cat([torch.from_numpy(a), torch.from_numpy(b)], 1) for a, b in zip(one, other, strict=True))
    near, at = near.topk(min(k, near.shape[1]), dim=1)
    return near.numpy(), rows.gather(1, at).numpy()


def _search(queries: Array, bank: Array, k: int) -> tuple[Array, Rows]:
    """The ``k`` nearest of shifted rows: less the squared distances ``[q, k]``, and row numbers."""
    if not has_faiss():
        return _search_torch(queries, bank, k)
    if _multiplies_bf16() and is_worth_screening(queries, bank, k):
        return _search_screened(queries, bank, k)
    return _search_faiss(queries, bank, k)


def _multiplies_bf16() -> bool:
    """Whether this processor does, and nothing faster is at hand."""
    return has_fast_bf16(torch.device("cpu")) and load_faiss().get_num_gpus() == 0


def _search_screened(queries: Array, bank: Array, k: int) -> tuple[Array, Rows]:
    near, rows, sure = screened(queries, bank, k)
    if not sure.all():
        near[~sure], rows[~sure] = _search_faiss(queries[~sure], bank, k)
    return near, rows


def _search_faiss(queries: Array, bank: Array, k: int) -> tuple[Array, Rows]:
    faiss = load_faiss()
    if k <= GPU_NEIGHBOURS and faiss.get_num_gpus() > 0:
        near, rows = faiss.knn_gpu(faiss.StandardGpuResources(), queries, bank, k)
    else:
        usual = faiss.cvar.distance_compute_blas_database_bs
        faiss.cvar.distance_compute_blas_database_bs = TILE
        try:
            near, rows = faiss.knn(queries, bank, k)
        finally:
            faiss.cvar.distance_compute_blas_database_bs = usual
    return -near, rows


def _search_torch(queries: Array, bank: Array, k: int) -> tuple[Array, Rows]:
    """The same without FAISS."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    x = torch.from_numpy(bank).to(device)
    squares = x.square().sum(1)
    parts = []
    for q in torch.from_numpy(queries).split(max(1, SIMILARITIES // len(bank))):
        q = q.to(device)
        near = (2 * (q @ x.T) - squares - q.square().sum(1, keepdim=True)).clamp_(max=0)  # [q, n]
        parts.append(near.topk(k, dim=1))
    near, rows = (torch.cat([part[i] for part in parts]).cpu().numpy() for i in (0, 1))
    return near, rows


def _inverted_lists(bank: Matrix, metric: Metric) -> InvertedLists:
    """About √n / 2 lists around centres that k-means finds in a selection of the rows."""
    n, d = bank.shape
    count = max(1, round(n**0.5 / 2))
    chosen = np.unique(np.linspace(0, n - 1, min(n, TRAINING * count)).astype(np.int64))
    sample = _prepared(np.asarray(bank[chosen]), metric)
    shift = _centre(sample)
    kmeans = load_faiss().Kmeans(d, count, niter=10, seed=0, min_points_per_centroid=1)
    kmeans.train(_shifted(sample, shift))
    centres: Array = np.asarray(kmeans.centroids)
    widths, homes = [], []
    for x in _parts(bank, metric):
        widths.append(x.shape[1])
        homes.append(_search(_shifted_copy(x[:, :d], shift), centres, 1)[1][:, 0])
    order = np.argsort(np.concatenate(homes), kind="stable")
    bounds = np.searchsorted(np.concatenate(homes)[order], np.arange(count + 1))
    shift, centres = (np.pad(one, [*[(0, 0)] * (one.ndim - 1), (0, max(widths) - d)]) for one in (shift, centres))
    context, listed, at = np.argsort(order), np.empty((n, max(widths)), np.float32), 0
    for x in _parts(bank, metric):  # once more, rather than to hold the bank twice
        listed[context[at : at + len(x)]] = _shifted(x, shift)
        at += len(x)
    return InvertedLists(shift, centres, listed, order, bounds)
