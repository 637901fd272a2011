"""Matrices that are larger than memory, and iteration over their rows."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import DTypeLike, NDArray


@dataclass(frozen=True, eq=False)
class Blocks:
    """A matrix ``[n, d]`` that is read block by block, in the order of its rows, at each iteration.

    ``numpy.asarray`` reads it into memory.

    Attributes:
        shape: ``(n, d)``.
        dtype: type of every block.
        pieces: function that reads the matrix once, as blocks ``[m, d]`` of any ``m``, together ``n`` rows.
    """

    shape: tuple[int, int]
    dtype: np.dtype
    pieces: Callable[[], Iterator[NDArray[np.floating]]]

    ndim = 2

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[np.floating]:
        out = np.empty(self.shape, dtype or self.dtype)
        start = 0
        for block in self.pieces():
            out[start : start + len(block)] = block
            start += len(block)
        return out

    def __getitem__(self, index: NDArray[np.integer]) -> "NDArray[np.floating] | Blocks":
        """Return the rows with the numbers ``index`` ``[m]``, 0 or above; an array if they are not ascending."""
        if (np.diff(index) >= 0).all():
            return replace(self, shape=(len(index), self.shape[1]), pieces=lambda: self._selected_blocks(index))
        order, inverse = np.unique(index, return_inverse=True)
        return np.asarray(self[order])[inverse]

    def _selected_blocks(self, index: NDArray[np.integer]) -> Iterator[NDArray[np.floating]]:
        """Yield the rows of an ascending ``index``, block by block."""
        start = 0
        for block in self.pieces():
            first, last = np.searchsorted(index, (start, start + len(block)))
            if last > first:
                yield block[index[first:last] - start]
            start += len(block)


Matrix = NDArray[np.floating] | Blocks
"""A matrix ``[n, d]``, in memory or out of core."""


def chunks(x: Matrix, rows: int) -> Iterator[NDArray[np.floating]]:
    """Yield the rows of ``x`` ``[n, d]`` in order, as arrays of at most ``rows`` rows."""
    for block in x.pieces() if isinstance(x, Blocks) else (x,):
        for start in range(0, len(block), rows):
            yield block[start : start + rows]


def stacked(parts: Sequence[Matrix]) -> Matrix:
    """Concatenate the rows of parts with the same ``d``; the result is ``Blocks`` if one of the parts is."""
    if not any(isinstance(part, Blocks) for part in parts):
        return np.concatenate([np.asarray(part) for part in parts])
    shape = (sum(len(part) for part in parts), parts[0].shape[1])
    dtype = np.result_type(*(part.dtype for part in parts))

    def pieces() -> Iterator[NDArray[np.floating]]:
        for part in parts:
            yield from chunks(part, max(1, len(part)))

    return Blocks(shape, dtype, pieces)
