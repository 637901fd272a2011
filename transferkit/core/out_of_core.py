"""A matrix that does not lie in memory, and how to go through it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import DTypeLike, NDArray


@dataclass(frozen=True, eq=False)
class Blocks:
    """``[n, d]`` that is read block by block, in the order of its rows, each time it is gone through.

    ``numpy.asarray`` reads it whole.

    Attributes:
        shape: ``(n, d)``.
        dtype: of every block.
        pieces: reads it once: blocks ``[m, d]`` of any ``m``, together ``n`` rows.
    """

    shape: tuple[int, int]
    dtype: np.dtype
    pieces: Callable[[], Iterator[NDArray[np.floating]]]

    ndim = 2

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[np.floating]:
        out = np.empty(self.shape, dtype or self.dtype)
        at = 0
        for piece in self.pieces():
            out[at : at + len(piece)] = piece
            at += len(piece)
        return out

    def __getitem__(self, index: NDArray[np.integer]) -> "NDArray[np.floating] | Blocks":
        """The rows that ``index`` ``[m]`` names, 0 or above; blocks again in that order, else an array."""
        if (np.diff(index) >= 0).all():
            return replace(self, shape=(len(index), self.shape[1]), pieces=lambda: self._taken(index))
        order, place = np.unique(index, return_inverse=True)
        return np.asarray(self[order])[place]

    def _taken(self, index: NDArray[np.integer]) -> Iterator[NDArray[np.floating]]:
        """The rows of an ascending ``index``."""
        at = 0
        for piece in self.pieces():
            first, last = np.searchsorted(index, (at, at + len(piece)))
            if last > first:
                yield piece[index[first:last] - at]
            at += len(piece)


Matrix = NDArray[np.floating] | Blocks
"""``[n, d]``, in memory or not."""


def chunks(x: Matrix, rows: int) -> Iterator[NDArray[np.floating]]:
    """``x`` ``[n, d]`` in order, as arrays of at most ``rows`` rows."""
    for piece in x.pieces() if isinstance(x, Blocks) else (x,):
        for start in range(0, len(piece), rows):
            yield piece[start : start + rows]


def stacked(parts: Sequence[Matrix]) -> Matrix:
    """The rows of one part after another; blocks if one of them is. All have the same ``d``."""
    if not any(isinstance(part, Blocks) for part in parts):
        return np.concatenate([np.asarray(part) for part in parts])
    shape = (sum(len(part) for part in parts), parts[0].shape[1])
    dtype = np.result_type(*(part.dtype for part in parts))

    def pieces() -> Iterator[NDArray[np.floating]]:
        for part in parts:
            yield from chunks(part, max(1, len(part)))

    return Blocks(shape, dtype, pieces)
