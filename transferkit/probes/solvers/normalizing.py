"""Normalisation of features for linear probes, in chunks: the features may exceed memory."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...core.out_of_core import Blocks, Matrix, chunks
from . import Normalize

Normalizer = Callable[[Tensor], Tensor]

ROWS = 8192
"""Number of rows per chunk."""


def normalizer(fitted: Matrix, normalize: Normalize) -> Normalizer:
    """Return a function that normalises rows ``[m, d]`` of any floating-point type, with float32 results.

    Args:
        fitted: ``[n, d]``, whose mean and deviation ``standardize`` uses.
        normalize: ``none``, ``l2`` (rows to unit length) or ``standardize`` (columns to mean 0 and
            deviation 1; a constant column is only centred). With ``none``, float64 columns are centred too:
            float32 cannot represent small differences between rows at a large offset; the bias compensates.
    """
    if normalize == "l2":
        return lambda x: torch.nn.functional.normalize(x.float())
    if normalize == "standardize":
        scale, mean = column_scale_and_mean(fitted)
        return lambda x: ((x - mean) / scale).float()
    if fitted.dtype == np.float64:
        mean = column_scale_and_mean(fitted)[1]
        return lambda x: (x - mean).float()
    return lambda x: x.float()


def column_scale_and_mean(x: Matrix) -> tuple[Tensor, Tensor]:
    """Return the standard deviation of each column, or 1 if it is constant, and its mean; float64 ``[d]`` each.

    A column is constant if its values are equal, or differ by no more than their own rounding: its deviation
    is at most the machine epsilon times its mean, for float32 or float64. (A value in float16 is exact in
    float32.) Sums run over differences from the first row, which are exactly 0 in a column of equal values:
    rounding cannot make such a column vary.

    Args:
        x: ``[n, d]``.
    """
    first = _tensor(next(chunks(x, 1))).double()  # [1, d]
    shift, variance = torch.zeros(2, x.shape[1], dtype=torch.float64)
    for rows in chunks(x, ROWS):
        shift += (_tensor(rows) - first).sum(0) / len(x)
    mean = first[0] + shift
    for rows in chunks(x, ROWS):
        variance += (_tensor(rows) - mean).square().sum(0) / len(x)
    deviation = variance.sqrt()
    rounding = torch.finfo(torch.float64 if x.dtype == np.float64 else torch.float32).eps * mean.abs()
    return torch.where(deviation > rounding, deviation, 1), mean


def normalized(x: Matrix, change: Normalizer) -> Tensor | Blocks:
    """Normalise ``x`` ``[n, d]``: a float32 tensor, or blocks that are normalised when they are read."""
    if not isinstance(x, Blocks):
        return change(_tensor(x))

    def pieces() -> Iterator[NDArray]:
        for rows in chunks(x, ROWS):
            yield change(_tensor(rows)).numpy()

    return Blocks(x.shape, torch.zeros(0).numpy().dtype, pieces)


def pieces_of(x: Matrix, change: Normalizer, device: torch.device, most: int) -> Iterator[Tensor]:
    """Iterate over ``x`` ``[n, d]``, normalised, in tensors of at most ``most`` rows on ``device``."""
    return (change(_tensor(rows)).to(device) for rows in chunks(x, most))


def _tensor(rows: NDArray) -> Tensor:
    return torch.from_numpy(rows)
