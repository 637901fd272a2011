"""Exact nearest rows, with most of the products computed in bfloat16.

Processors that multiply bfloat16 in hardware do so several times as fast as float32. So all rows are compared
in bfloat16, and the candidates, somewhat more than ``k`` rows, are compared again in float32. The error of a
comparison in bfloat16 is bounded [1]; a query for which this bound does not exclude all other rows is not
certified, and the caller has to search it in another way. The shorter the rows and queries, the smaller the
rounding error.

Shapes: ``q`` queries, ``n`` bank rows, ``d`` features, ``m`` candidates.

[1] Higham, Accuracy and stability of numerical algorithms, SIAM 2002, chapters 2 and 3.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...core.faiss_library import load_faiss

Array = NDArray[np.float32]
Rows = NDArray[np.int64]

MIN_QUERIES = 1000
"""Minimum number of queries: with fewer, converting the bank takes longer than it saves."""

MIN_PRODUCTS = 2**16
"""Minimum number of multiplications per query and candidate: with fewer, selecting candidates takes longer."""

CONVERSION_ROWS = 512
"""Number of bank rows that are converted at once."""

MAX_COMPARISONS = 2**23
"""Number of comparisons in memory at once (16 MiB)."""

GROUP = 16
"""Number of rows per group. Groups are selected by their best row; only then are single rows compared."""

TILE_COLUMNS = 32
"""Number of columns that the hardware multiplies at once."""

FLOAT32_TERMS = 3
"""Number of bfloat16 terms, of 8 bits each, whose sum represents a float32 number."""

BF16_ERROR = 2.0**-8
"""Maximum relative error of rounding to bfloat16."""

SUM_ERROR = 2.0**-23
"""Maximum error of a float32 sum per column, relative to the product of the lengths."""

TINY = torch.finfo(torch.float32).tiny
"""Products below this number count as 0."""


class FilterResult(NamedTuple):
    """Result of ``filtered_search``.

    Attributes:
        near: ``[q, k]``, negative squared distances, descending.
        rows: ``[q, k]``, row numbers.
        certified: ``[q]``, True if these rows are the nearest; the rows of other queries are meaningless.
    """

    near: Array
    rows: Rows
    certified: NDArray[np.bool_]


def is_filter_faster(queries: Array, bank: Array, k: int) -> bool:
    """Return True if ``filtered_search`` is likely the faster search on hardware that multiplies bfloat16."""
    n, d = bank.shape
    many = len(queries) >= MIN_QUERIES and d >= TILE_COLUMNS and n >= GROUP * _n_candidates(k)
    return many and n * d >= MIN_PRODUCTS * _n_candidates(k)


def filtered_search(queries: Array, bank: Array, k: int) -> FilterResult:
    """Find the ``k`` nearest bank rows of those queries for which bfloat16 is precise enough.

    Needs FAISS. The search stops early if most queries cannot be certified.

    Args:
        queries: ``[q, d]``.
        bank: ``[n, d]``; ``n`` is at least 20 times ``k + 16``.
        k: number of neighbours, above 0.
    """
    q = torch.from_numpy(queries)
    candidate_filter = _CandidateFilter.of(torch.from_numpy(bank))
    found = FilterResult(
        np.zeros((len(queries), k), np.float32),
        np.zeros((len(queries), k), np.int64),
        np.zeros(len(queries), bool),
    )
    step = max(1, MAX_COMPARISONS // len(candidate_filter.rows))
    for start in range(0, len(queries), step):
        block = slice(start, start + step)
        candidates, bound = candidate_filter.top_candidates(q[block], _n_candidates(k))
        candidates = candidates.clip(max=len(bank) - 1)  # padding rows are candidates only after an overflow
        found.near[block], found.rows[block] = _nearest_candidates(queries[block], bank, candidates, k)
        found.certified[block] = bound <= found.near[block, -1]
        if found.certified[: block.stop].mean() < 0.5:
            break
    return found


def _n_candidates(k: int) -> int:
    """Return the number of candidates for ``k`` neighbours: enough to certify most queries."""
    return k + k // 4 + 16


@dataclass(frozen=True, eq=False)
class _CandidateFilter:
    """A bank in bfloat16.

    The product of a query and a row of ``rows`` is half of the negative squared distance plus a term that
    depends on the query only.

    Attributes:
        rows: ``[n', d']``: the bank's rows; then ``−|x|²/2`` as a sum of ``FLOAT32_TERMS`` columns; then columns
            of zeros up to a multiple of ``TILE_COLUMNS``. Rows after the ``n``-th are far from all queries.
        max_length: length of the longest row.
        max_error: largest length of a row's rounding error.
        max_term: largest ``|x|²/2``.
    """

    rows: Tensor
    max_length: float
    max_error: float
    max_term: float

    @classmethod
    def of(cls, bank: Tensor) -> "_CandidateFilter":
        """Convert the bank ``[n, d]``."""
        n, d = bank.shape
        rows = torch.zeros(
            _next_multiple(n, GROUP), _next_multiple(d + FLOAT32_TERMS, TILE_COLUMNS), dtype=torch.bfloat16
        )
        rows[n:, d] = torch.finfo(torch.bfloat16).min / 2
        largest = bank.new_zeros(3)
        for part, converted in zip(bank.split(CONVERSION_ROWS), rows[:n].split(CONVERSION_ROWS), strict=True):
            converted[:, :d] = part
            length = part.norm(dim=1)
            term = -length.square() / 2
            error = (part - converted[:, :d]).norm(dim=1)
            largest = largest.maximum(torch.stack([length, error, term.abs()]).amax(1))
            for column in converted[:, d : d + FLOAT32_TERMS].T:
                column.copy_(term)
                term = term - column  # remainder after rounding
        return cls(rows, *largest.tolist())

    def top_candidates(self, queries: Tensor, m: int) -> tuple[Rows, Array]:
        """Find the ``m`` best rows ``[q, m]`` of each query, and bound the nearness of all other rows ``[q]``."""
        d = queries.shape[1]
        q = self.rows.new_zeros(len(queries), self.rows.shape[1])
        q[:, :d] = queries
        q[:, d : d + FLOAT32_TERMS] = 1
        best, last = _highest(q @ self.rows.T, m)
        length, query_error = queries.norm(dim=1), (queries - q[:, :d]).norm(dim=1)
        error = query_error * self.max_length + (length + query_error) * self.max_error  # rounding of both rows
        error += (d + FLOAT32_TERMS) * (SUM_ERROR * (length * self.max_length + self.max_term) + TINY)  # sums
        error += BF16_ERROR * last.abs()  # rounding of the product
        bound = 2 * (last + error) - (1 - SUM_ERROR * d) * length.square()
        return best.numpy(), bound.numpy()


def _next_multiple(number: int, factor: int) -> int:
    """Return the smallest multiple of ``factor`` that is at least ``number``."""
    return -(-number // factor) * factor


def _highest(values: Tensor, m: int) -> tuple[Tensor, Tensor]:
    """Return the columns of the ``m`` highest values ``[q, m]`` per row of ``[q, n']``, and the lowest of these.

    The ``m`` highest values are in the ``m`` groups with the highest maxima.

    Returns: ``[q, m]`` column numbers, and ``[q]`` float32 values.
    """
    groups = values.view(len(values), GROUP, -1)  # [q, GROUP, n' / GROUP]
    best = groups.amax(1).topk(m, dim=1, sorted=False).indices  # [q, m]
    members = torch.cat([best + member * groups.shape[2] for member in range(GROUP)], 1)  # [q, GROUP · m]
    kept, positions = values.gather(1, members).topk(m, dim=1)
    return members.gather(1, positions), kept[:, -1].float()


def _nearest_candidates(queries: Array, bank: Array, rows: Rows, k: int) -> tuple[Array, Rows]:
    """Return nearness and row numbers ``[q, k]`` of the nearest among ``rows`` ``[q, m]``, in float32."""
    faiss = load_faiss()
    q, m = rows.shape
    near = np.empty((q, m), np.float32)
    faiss.fvec_L2sqr_by_idx(*map(faiss.swig_ptr, (near, queries, bank, rows)), bank.shape[1], q, m)
    best, positions = torch.from_numpy(-near).topk(k, dim=1)
    return best.numpy(), np.take_along_axis(rows, positions.numpy(), 1)
