"""Nearest rows, exactly, with most of the products in bfloat16.

Processors that multiply bfloat16 in hardware do so several times as fast as float32. So all rows are compared
in bfloat16, and those that come first, some more than were asked for, again in float32. How far a comparison
in bfloat16 can be off is bounded [1]; a query whose bound does not rule out every other row is left to the
caller. The nearer rows and queries lie to 0, the less rounding takes.

Shapes: ``q`` queries, ``n`` bank rows, ``d`` features, ``m`` rows that are compared again.

[1] Higham, Accuracy and stability of numerical algorithms, SIAM 2002, chapters 2 and 3.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..core.faiss_library import load_faiss

Array = NDArray[np.float32]
Rows = NDArray[np.int64]

FEW = 1000
"""Queries: with fewer, making the bank ready takes longer than it saves."""

WORTH = 2**16
"""Products of a query a row that is compared again: with fewer, choosing those rows takes longer."""

PART = 512
"""Bank rows that are made ready at once."""

BLOCK = 2**23
"""Comparisons that are held at once, 16 MiB."""

GROUP = 16
"""Rows of which only the best is looked at until groups are chosen."""

STRIP = 32
"""Columns that the hardware takes at once."""

PIECES = 3
"""Numbers in bfloat16, of 8 bits each, that add up to one in float32."""

ROUNDED = 2.0**-8
"""Of a number, what rounding to bfloat16 takes from it at most."""

SUMMED = 2.0**-23
"""Of a product of lengths, what summing it in float32 costs at most, a column."""

TINY = torch.finfo(torch.float32).tiny
"""Products below it are taken for 0."""


class Screened(NamedTuple):
    """What was found.

    Attributes:
        near: ``[q, k]`` less the squared distance, descending.
        rows: ``[q, k]`` row numbers.
        sure: ``[q]`` whether those are the nearest; of other queries nothing is known.
    """

    near: Array
    rows: Rows
    sure: NDArray[np.bool_]


def is_worth_screening(queries: Array, bank: Array, k: int) -> bool:
    """Whether ``screened`` is likely the faster search, where bfloat16 is multiplied in hardware."""
    n, d = bank.shape
    many = len(queries) >= FEW and d >= STRIP and n >= GROUP * _listed(k)
    return many and n * d >= WORTH * _listed(k)


def screened(queries: Array, bank: Array, k: int) -> Screened:
    """The ``k`` nearest bank rows of those queries for which bfloat16 is precise enough.

    Needs FAISS. Gives up when most queries turn out to be unsure.

    Args:
        queries: ``[q, d]``.
        bank: ``[n, d]``; ``n`` at least 20 times ``k + 16``.
        k: above 0.
    """
    asked = torch.from_numpy(queries)
    screen = _Screen.of(torch.from_numpy(bank))
    found = Screened(
        np.zeros((len(queries), k), np.float32),
        np.zeros((len(queries), k), np.int64),
        np.zeros(len(queries), bool),
    )
    step = max(1, BLOCK // len(screen.rows))
    for start in range(0, len(queries), step):
        block = slice(start, start + step)
        top_candidates, others = screen.top_candidates(asked[block], _listed(k))
        top_candidates = top_candidates.clip(max=len(bank) - 1)  # beside what overflows, padding comes first
        found.near[block], found.rows[block] = _compared(queries[block], bank, top_candidates, k)
        found.sure[block] = others <= found.near[block, -1]
        if found.sure[: block.stop].mean() < 0.5:
            break
    return found


def _listed(k: int) -> int:
    """How many rows are compared again: enough that few queries are unsure."""
    return k + k // 4 + 16


@dataclass(frozen=True, eq=False)
class _Screen:
    """A bank in bfloat16.

    A product with ``rows`` is, but for a term of the query alone, half of less the squared distance.

    Attributes:
        rows: ``[n', d']``: those of the bank; then the term of the row alone, less half of its square, in
            pieces; then zeros, to a strip. Rows after the ``n``-th are far from all queries.
        length: of the longest row.
        lost: the length of what rounding took from a row, at most.
        own: the largest term of a row alone.
    """

    rows: Tensor
    length: float
    lost: float
    own: float

    @classmethod
    def of(cls, bank: Tensor) -> "_Screen":
        """Of a bank ``[n, d]``."""
        n, d = bank.shape
        rows = torch.zeros(_multiple(GROUP, n), _multiple(STRIP, d + PIECES), dtype=torch.bfloat16)
        rows[n:, d] = torch.finfo(torch.bfloat16).min / 2
        largest = bank.new_zeros(3)
        for part, held in zip(bank.split(PART), rows[:n].split(PART), strict=True):
            held[:, :d] = part
            length = part.norm(dim=1)
            term = -length.square() / 2
            lost = (part - held[:, :d]).norm(dim=1)
            largest = largest.maximum(torch.stack([length, lost, term.abs()]).amax(1))
            for piece in held[:, d : d + PIECES].T:
                piece.copy_(term)
                term = term - piece
        return cls(rows, *largest.tolist())

    def top_candidates(self, queries: Tensor, m: int) -> tuple[Rows, Array]:
        """The ``m`` rows that come first ``[q, m]``, and how near any other can be at most ``[q]``."""
        d = queries.shape[1]
        asked = self.rows.new_zeros(len(queries), self.rows.shape[1])
        asked[:, :d] = queries
        asked[:, d : d + PIECES] = 1
        first, last = _highest(asked @ self.rows.T, m)
        length, lost = queries.norm(dim=1), (queries - asked[:, :d]).norm(dim=1)
        off = lost * self.length + (length + lost) * self.lost  # of both rows of the product
        off += (d + PIECES) * (SUMMED * (length * self.length + self.own) + TINY)
        off += ROUNDED * last.abs()  # of the product itself
        others = 2 * (last + off) - (1 - SUMMED * d) * length.square()
        return first.numpy(), others.numpy()


def _multiple(of: int, least: int) -> int:
    """Of a number, the smallest that is not below another."""
    return -(-least // of) * of


def _highest(values: Tensor, m: int) -> tuple[Tensor, Tensor]:
    """Columns of the ``m`` highest ``[q, m]`` of ``[q, n']``, and the last of these values ``[q]`` float32.

    They lie in the ``m`` groups whose best are highest.
    """
    groups = values.view(len(values), GROUP, -1)
    best = groups.amax(1).topk(m, dim=1, sorted=False).indices  # [q, m]
    members = torch.cat([best + member * groups.shape[2] for member in range(GROUP)], 1)
    kept, places = values.gather(1, members).topk(m, dim=1)
    return members.gather(1, places), kept[:, -1].float()


def _compared(queries: Array, bank: Array, rows: Rows, k: int) -> tuple[Array, Rows]:
    """Nearness and row numbers ``[q, k]`` of the nearest among ``rows`` ``[q, m]``, in float32."""
    faiss = load_faiss()
    q, m = rows.shape
    near = np.empty((q, m), np.float32)
    faiss.fvec_L2sqr_by_idx(*map(faiss.swig_ptr, (near, queries, bank, rows)), bank.shape[1], q, m)
    best, places = torch.from_numpy(-near).topk(k, dim=1)
    return best.numpy(), np.take_along_axis(rows, places.numpy(), 1)
