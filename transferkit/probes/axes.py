"""The principal axes of rows: one decomposition, the dear part, serves every penalty and every target.

Shapes: ``n`` rows, ``d`` columns, ``r`` axes: at most the smaller of ``n`` and ``d``.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ..core.errors import UsageError
from ..core.out_of_core import Blocks

GRADED = 1e-7
"""Of the largest variance of a column; where another is below, axes are computed in float64, which takes
longer: the scales of columns then differ by a factor of 3 000 or more."""


@dataclass(frozen=True, eq=False)
class Axes:
    """Centred rows and their principal axes, orthonormal directions of the columns' space.

    Where rows are many they are left as they are: going through them costs less than turning them, and what
    is sought along the axes is turned instead. Where they are few they are turned, once.

    Attributes:
        mean: ``[d]`` of the columns.
        spectrum: ``[r]`` mean squares of the rows along the axes.
        rows: goes through them once: centred, ``[m, d]``; or along the axes, ``[m, r]``, where they are few.
        turn: ``[d, r]`` the axes; or, where rows are few, what makes the axes of them: ``spanᵀ turn``, which
            is then taken in float64.
        span: ``[n, d]`` float64 the centred rows, where they are few.
    """

    mean: Tensor
    spectrum: Tensor
    rows: Callable[[], Iterator[Tensor]]
    turn: Tensor
    span: Tensor | None = None

    @property
    def inner(self) -> Tensor | None:
        """``[d, r]`` the axes; None where ``rows`` come along them."""
        return self.turn if self.span is None else None

    def weights(self, along: Tensor) -> Tensor:
        """Of the columns, ``[…, d, k]``, for weights ``[…, r, k]`` along the axes."""
        if self.span is None:
            return self.turn @ along
        return (self.span.T @ (self.turn @ along.double())).to(along.dtype)

    def coordinates(self, x: Tensor) -> Tensor:
        """``[m, r]`` along the axes, of ``x`` ``[m, d]``."""
        centred = x - self.mean
        if self.span is None:
            return centred @ self.turn
        return (centred.double() @ self.span.T @ self.turn).to(x.dtype)

    def products(self, y: Tensor) -> Tensor:
        """``[r, t]``: of the rows' coordinates with ``y`` ``[n, t]``."""
        start, parts = 0, []
        for piece in self.rows():
            parts.append(piece.T @ y[start : start + len(piece)])
            start += len(piece)
        total = torch.stack(parts).sum(0)
        return total if self.span is not None else self.turn.T @ total

    def single(self) -> "Axes":
        """The same in float32, of rows that lie in memory."""
        (whole,) = self.rows()
        whole = whole.float()
        return replace(
            self,
            mean=self.mean.float(),
            spectrum=self.spectrum.float(),
            rows=lambda: iter((whole,)),
            turn=self.turn.float() if self.span is None else self.turn,
        )


def principal_axes(x: Tensor | Blocks, *, device: torch.device, dtype: torch.dtype) -> Axes:
    """Decompose the covariance of ``x`` ``[n, d]``; deterministic.

    Args:
        x: floating point, finite, at least one row and column; blocks are gone through, and held only where
            they are fewer than ``d`` rows.
        device: where the axes will lie.
        dtype: float32 or float64, of what is given; where rows are few it is computed in float64, whose
            rounding is to a square what float32's is to the number.

    Raises: UsageError: if the features are so large that their squares overflow.
    """
    n, d = x.shape
    if n < d:
        whole = torch.from_numpy(np.asarray(x)) if isinstance(x, Blocks) else x
        return _row_space(whole.to(device, dtype))
    raw = _pieces(x, device, dtype)
    mean = _summed(piece.sum(0, dtype=torch.float64) for piece in raw()).div(n).to(dtype)
    rows = _centred(x, mean)
    covariance = _summed(piece.T @ piece for piece in rows()) / n
    _require_bounded(covariance)
    exact = covariance.double() if _are_graded(covariance.diagonal()) else covariance
    spectrum, basis = torch.linalg.eigh(exact)
    return Axes(mean, spectrum.clamp(min=0).to(dtype), rows, basis.to(dtype))


def _are_graded(variances: Tensor) -> bool:
    """Whether the variances ``[d]`` of the columns differ so much that float32 has no axes of the small ones.

    A decomposition is off by its precision times the largest variance, whatever the axis. Columns without
    variance do not count: they have no axis.
    """
    return bool((variances[variances > 0] < GRADED * variances.max()).any())


def _row_space(x: Tensor) -> Axes:
    """Of fewer rows than columns, ``x`` ``[n, d]``: directions in which they do not differ are left out."""
    mean = x.mean(0, dtype=torch.float64).to(x.dtype)
    span = (x - mean).double()
    if _are_graded(span.square().mean(0)):
        return _graded_row_space(mean, span)
    squares, vectors = torch.linalg.eigh(span @ span.T)  # [n] ascending, [n, n]
    there = squares > squares[-1] * len(x) * torch.finfo(torch.float64).eps
    there[-1] = True  # rows all alike have one axis, along which they are 0
    squares, vectors = squares[there].clamp(min=0), vectors[:, there]
    lengths = squares.sqrt()
    along = (vectors * lengths).to(x.dtype)
    turn = vectors * torch.where(lengths > 0, 1 / lengths, 0)
    spectrum = (squares / len(x)).to(x.dtype)
    _require_bounded(spectrum)
    return Axes(mean, spectrum, lambda: iter((along,)), turn, span)


def _graded_row_space(mean: Tensor, span: Tensor) -> Axes:
    """Axes of centred rows ``span`` ``[n, d]``, float64, without squares: these lose half of the digits."""
    _, lengths, axes = torch.linalg.svd(span, full_matrices=False)  # [n] descending, [n, d]
    there = lengths > lengths[0] * len(span) * torch.finfo(torch.float64).eps
    spectrum = (lengths[there].square() / len(span)).to(mean.dtype)
    _require_bounded(spectrum)
    rows = span.to(mean.dtype)
    return Axes(mean, spectrum, lambda: iter((rows,)), axes[there].T.contiguous().to(mean.dtype))


def _require_bounded(squares: Tensor) -> None:
    if not squares.isfinite().all():
        raise UsageError(
            f"The squares of these features exceed what {str(squares.dtype).removeprefix('torch.')} holds: "
            "standardise or scale them first."
        )


def _pieces(x: Tensor | Blocks, device: torch.device, dtype: torch.dtype) -> Callable[[], Iterator[Tensor]]:
    """Goes through ``x``."""
    if isinstance(x, Blocks):
        return lambda: (torch.from_numpy(piece).to(device, dtype) for piece in x.pieces())
    held = x.to(device, dtype)
    return lambda: iter((held,))


def _centred(x: Tensor | Blocks, mean: Tensor) -> Callable[[], Iterator[Tensor]]:
    """Goes through ``x`` less ``mean``; a copy where ``x`` lies in memory."""
    raw = _pieces(x, mean.device, mean.dtype)
    if isinstance(x, Blocks):
        return lambda: (piece - mean for piece in raw())
    held = next(raw()) - mean
    return lambda: iter((held,))


def _summed(parts: Iterator[Tensor]) -> Tensor:
    total = next(parts).clone()
    for part in parts:
        total += part
    return total
