"""Ridge regression in closed form: one decomposition for many targets and many penalties.

For each penalty ``λ`` and target, the weights ``w`` and the bias ``b`` minimise

    Σᵢ (xᵢ·w + b − yᵢ)²  +  λ ‖w‖²

which is scikit-learn's ``Ridge`` for ``alpha = λ``. The bias is not penalised. With the columns of ``x`` and
``y`` centred, it is ``ȳ − x̄·w``, and with the principal axes ``V`` of the rows

    w = V (S + λ)⁻¹ Vᵀxᵀy         xᵀx = V S Vᵀ

so the decomposition, the expensive part, serves all ``λ`` and all columns of ``y``.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from ...core.errors import ShapeError, UsageError
from .principal_axes import Axes, principal_axes


def ridge_weights(x: Tensor, y: Tensor, penalties: Sequence[float]) -> tuple[Tensor, Tensor]:
    """Fit every penalty to every target; deterministic, on the device of ``x``.

    The computation is in float64; the result is float64 if ``x`` is, else float32.

    Args:
        x: ``[n, d]`` floating point, finite.
        y: ``[n, t]`` targets: numbers, or ±1 for classes.
        penalties: ``λ``, ``[p]``, each above 0, in any order.

    Returns: weights ``[p, d, t]`` and biases ``[p, t]``; predictions are ``x @ weights + biases[:, None]``.

    Raises:
        ShapeError: if ``x`` has no rows or no columns, or ``y`` has no columns or another number of rows.
        UsageError: if there is no penalty, or one that is not above 0 and finite.
        DataError: if the squares of ``x`` overflow.
    """
    _require_valid(x, y, penalties)
    dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
    axes = principal_axes(x, device=x.device, dtype=torch.float64)
    axis_weights, mean = ridge_along(axes, y.to(x.device), penalties)
    weights = axes.weights(axis_weights)  # [p, d, t]
    return weights.to(dtype), (mean - axes.mean @ weights).to(dtype)


def ridge_along(axes: Axes, y: Tensor, penalties: Sequence[float]) -> tuple[Tensor, Tensor]:
    """Fit along the axes of rows that are already decomposed, in float64.

    Returns: weights along the axes, ``[p, r, t]``, and the means of the targets, ``[t]``: the biases of
        centred rows.
    """
    y = y.double()
    mean = y.mean(0)
    products = axes.products(y - mean)  # Vᵀxᵀy, [r, t]
    strength = torch.tensor(penalties, dtype=torch.float64, device=y.device)
    return products / (axes.variances * len(y) + strength[:, None])[..., None], mean  # (S + λ)⁻¹ Vᵀxᵀy


def _require_valid(x: Tensor, y: Tensor, penalties: Sequence[float]) -> None:
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(y) or 0 in (*x.shape, *y.shape):
        raise ShapeError(
            f"Ridge regression needs x [n, d] and y [n, t], n, d and t at least 1, "
            f"not {list(x.shape)} and {list(y.shape)}."
        )
    if not penalties or not all(0 < penalty < float("inf") for penalty in penalties):
        raise UsageError(f"Penalties {list(penalties)} are invalid: give at least one, each above 0 and finite.")
