"""Principal axes of a feature matrix: one decomposition, the expensive part, serves all penalties and targets.

Shapes: ``n`` rows, ``d`` columns, ``r`` axes, where ``r`` is at most the smaller of ``n`` and ``d``.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ...core.errors import DataError
from ...core.out_of_core import Blocks

MIN_VARIANCE_RATIO = 1e-7
"""Ratio of column variances below which a slower decomposition is needed (see ``_scales_differ``): the scales of the
columns then differ by a factor of 3 000 or more."""


@dataclass(frozen=True, eq=False)
class Axes:
    """Centred rows and their principal axes, which are orthonormal directions in the space of the columns.

    If ``basis`` is None (at least as many rows as columns, or axes from an SVD), the rows are not rotated: iterating
    over them is cheaper than rotating them, so weights and products are rotated instead. If ``basis`` is set (fewer
    rows than columns), the rows are replaced by their coordinates, once.

    Attributes:
        mean: ``[d]``, column means.
        variances: ``[r]``, variances of the rows along the axes: the eigenvalues of the covariance.
        iter_chunks: function that iterates once over the centred rows, in chunks ``[m, d]``; if ``basis`` is set,
            over their coordinates along the axes, ``[m, r]``.
        coefficients: ``[d, r]``, the axes as columns; if ``basis`` is set, the float64 matrix ``[n, r]`` of the
            coefficients of the axes in this basis: the axes are ``basisᵀ coefficients``.
        basis: ``[n, d]`` float64, the centred rows; None if the axes are stored themselves.
    """

    mean: Tensor
    variances: Tensor
    iter_chunks: Callable[[], Iterator[Tensor]]
    coefficients: Tensor
    basis: Tensor | None = None

    @property
    def rotation(self) -> Tensor | None:
        """The axes ``[d, r]`` that rotate the chunks; None if the chunks are coordinates along the axes."""
        return self.coefficients if self.basis is None else None

    def weights(self, axis_weights: Tensor) -> Tensor:
        """Convert weights along the axes ``[…, r, k]`` to weights of the columns ``[…, d, k]``."""
        if self.basis is None:
            return self.coefficients @ axis_weights
        return (self.basis.T @ (self.coefficients @ axis_weights.double())).to(axis_weights.dtype)

    def coordinates(self, x: Tensor) -> Tensor:
        """Return the coordinates along the axes ``[m, r]`` of the rows ``x`` ``[m, d]``."""
        centred = x - self.mean
        if self.basis is None:
            return centred @ self.coefficients
        return (centred.double() @ self.basis.T @ self.coefficients).to(x.dtype)

    def products(self, y: Tensor) -> Tensor:
        """Return the products ``[r, t]`` of the rows' coordinates and ``y`` ``[n, t]``."""
        start, parts = 0, []
        for chunk in self.iter_chunks():
            parts.append(chunk.T @ y[start : start + len(chunk)])
            start += len(chunk)
        total = torch.stack(parts).sum(0)  # [d, t], or [r, t] if the chunks are coordinates
        return total if self.basis is not None else self.coefficients.T @ total

    def to_float32(self) -> "Axes":
        """Return the same axes in float32; the rows must be in memory."""
        (whole,) = self.iter_chunks()
        whole = whole.float()
        return replace(
            self,
            mean=self.mean.float(),
            variances=self.variances.float(),
            iter_chunks=lambda: iter((whole,)),
            coefficients=self.coefficients.float() if self.basis is None else self.coefficients,
        )


def principal_axes(x: Tensor | Blocks, *, device: torch.device, dtype: torch.dtype) -> Axes:
    """Decompose the covariance of ``x`` ``[n, d]``; deterministic.

    Args:
        x: floating point, finite, with at least one row and one column. ``Blocks`` are read in chunks, and
            loaded completely only if they have fewer than ``d`` rows.
        device: device of the axes.
        dtype: float32 or float64, the type of the result. Fewer rows than columns are always decomposed in
            float64, because their squares need twice the digits.

    Returns: the axes, in ascending order of their variances, or in descending order if an SVD computes them.
    Raises: DataError: if the features are so large that their squares overflow.
    """
    n, d = x.shape
    if n < d:
        whole = torch.from_numpy(np.asarray(x)) if isinstance(x, Blocks) else x
        return _row_space(whole.to(device, dtype))
    raw = _chunks(x, device, dtype)
    mean = _total(chunk.sum(0, dtype=torch.float64) for chunk in raw()).div(n).to(dtype)
    centred = _centred(x, mean)
    covariance = _total(chunk.T @ chunk for chunk in centred()) / n  # [d, d]
    _require_bounded(covariance)
    exact = covariance.double() if _scales_differ(covariance.diagonal()) else covariance
    variances, axes = torch.linalg.eigh(exact)  # [d], [d, d]
    return Axes(mean, variances.clamp(min=0).to(dtype), centred, axes.to(dtype))


def _scales_differ(variances: Tensor) -> bool:
    """Return True if the column variances ``[d]`` differ too much for the usual decomposition to resolve small axes.

    The error of a decomposition is its precision times the largest variance, for every axis. If the scales differ,
    the covariance is therefore decomposed in float64 instead of the type of the result, and fewer rows than columns
    by an SVD instead of their Gram matrix. Columns without variance are ignored: they have no axis.
    """
    return bool((variances[variances > 0] < MIN_VARIANCE_RATIO * variances.max()).any())


def _row_space(x: Tensor) -> Axes:
    """Decompose fewer rows than columns, ``x`` ``[n, d]``; directions without variance are left out."""
    mean = x.mean(0, dtype=torch.float64).to(x.dtype)
    basis = (x - mean).double()
    if _scales_differ(basis.square().mean(0)):
        return _row_space_by_svd(mean, basis)
    squares, vectors = torch.linalg.eigh(basis @ basis.T)  # [n] ascending, [n, n]
    kept = squares > squares[-1] * len(x) * torch.finfo(torch.float64).eps
    kept[-1] = True  # identical rows have one axis, along which they are 0
    squares, vectors = squares[kept].clamp(min=0), vectors[:, kept]
    lengths = squares.sqrt()  # singular values, [r]
    coordinates = (vectors * lengths).to(x.dtype)  # [n, r]
    coefficients = vectors * torch.where(lengths > 0, 1 / lengths, 0)  # [n, r]
    variances = (squares / len(x)).to(x.dtype)
    _require_bounded(variances)
    return Axes(mean, variances, lambda: iter((coordinates,)), coefficients, basis)


def _row_space_by_svd(mean: Tensor, basis: Tensor) -> Axes:
    """Decompose the centred float64 rows ``basis`` ``[n, d]`` without squares, which lose half of the digits."""
    _, lengths, axes = torch.linalg.svd(basis, full_matrices=False)  # [n] descending, [n, d]
    kept = lengths > lengths[0] * len(basis) * torch.finfo(torch.float64).eps
    variances = (lengths[kept].square() / len(basis)).to(mean.dtype)
    _require_bounded(variances)
    rows = basis.to(mean.dtype)
    return Axes(mean, variances, lambda: iter((rows,)), axes[kept].T.contiguous().to(mean.dtype))


def _require_bounded(squares: Tensor) -> None:
    if not squares.isfinite().all():
        raise DataError(
            f"The squares of these features exceed the range of {str(squares.dtype).removeprefix('torch.')}: "
            "standardise or scale the features first."
        )


def _chunks(x: Tensor | Blocks, device: torch.device, dtype: torch.dtype) -> Callable[[], Iterator[Tensor]]:
    """Return a function that iterates over ``x`` in chunks."""
    if isinstance(x, Blocks):
        return lambda: (torch.from_numpy(chunk).to(device, dtype) for chunk in x.pieces())
    whole = x.to(device, dtype)
    return lambda: iter((whole,))


def _centred(x: Tensor | Blocks, mean: Tensor) -> Callable[[], Iterator[Tensor]]:
    """Return a function that iterates over ``x − mean``; the difference is a copy if ``x`` is in memory."""
    raw = _chunks(x, mean.device, mean.dtype)
    if isinstance(x, Blocks):
        return lambda: (chunk - mean for chunk in raw())
    whole = next(raw()) - mean
    return lambda: iter((whole,))


def _total(parts: Iterator[Tensor]) -> Tensor:
    total = next(parts).clone()
    for part in parts:
        total += part
    return total
