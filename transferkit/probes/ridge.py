"""Least squares with an L2 penalty in closed form: many targets and many penalties from one decomposition.

For every penalty ``λ`` and target the weights ``w`` and the bias ``b`` that minimise

    Σᵢ (xᵢ·w + b − yᵢ)²  +  λ ‖w‖²

which is scikit-learn's ``Ridge`` for ``alpha = λ``. The bias is not penalised. With the columns of ``x`` and
``y`` centred it is ``ȳ − x̄·w``, and the weights are

    w = (xᵀx + λ)⁻¹ xᵀy  =  V (S + λ)⁻¹ Vᵀxᵀy         xᵀx = V S Vᵀ        where n ≥ d
    w = xᵀ (xxᵀ + λ)⁻¹ y  =  xᵀ U (S + λ)⁻¹ Uᵀy       xxᵀ = U S Uᵀ        where n < d

so that the decomposition, the dear part, serves every ``λ`` and every column of ``y``.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..core.errors import ShapeError, UsageError


def ridge_weights(x: Tensor, y: Tensor, penalties: Sequence[float]) -> tuple[Tensor, Tensor]:
    """Fit every penalty to every target; deterministic, on the device of ``x``.

    Computed in float64; what is returned is float64 where ``x`` is, else float32.

    Args:
        x: ``[n, d]`` floating point, finite.
        y: ``[n, t]`` targets: numbers, or ±1 for classes.
        penalties: ``λ``, ``[p]``, each above 0, in any order.

    Returns: weights ``[p, d, t]`` and biases ``[p, t]``; predictions are ``x @ weights + biases[:, None]``.

    Raises:
        ShapeError: if ``x`` has no rows or no columns, or ``y`` has no columns or other rows.
        UsageError: if there is no penalty, or one that is not above 0 and finite.
    """
    _require_problem(x, y, penalties)
    dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
    x, y = x.double(), y.to(x.device, torch.float64)
    centre, level = x.mean(0), y.mean(0)  # [d], [t]
    x, y = x - centre, y - level
    primal = x.shape[0] >= x.shape[1]
    spectrum, axes = torch.linalg.eigh(x.T @ x if primal else x @ x.T)  # [r], [r, r]
    target = axes.T @ (x.T @ y if primal else y)  # [r, t]
    strength = torch.tensor(penalties, dtype=torch.float64, device=x.device)
    shrunk = target / (spectrum.clamp(min=0) + strength[:, None])[..., None]  # [p, r, t]
    weights = axes @ shrunk if primal else x.T @ (axes @ shrunk)  # [p, d, t]
    return weights.to(dtype), (level - centre @ weights).to(dtype)


def _require_problem(x: Tensor, y: Tensor, penalties: Sequence[float]) -> None:
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(y) or 0 in (*x.shape, *y.shape):
        raise ShapeError(
            f"Ridge regression needs x [n, d] and y [n, t], n, d and t at least 1, "
            f"not {list(x.shape)} and {list(y.shape)}."
        )
    if not penalties or not all(0 < penalty < float("inf") for penalty in penalties):
        raise UsageError(f"At least one penalty is needed, each above 0 and finite: not {list(penalties)}.")
