"""Multinomial logistic regression for many penalties at once, as scikit-learn defines it.

For every penalty ``λ`` the weights ``W`` and biases ``b`` that minimise

    Σᵢ −log softmax(xᵢ W + b)[yᵢ]  +  λ/2 · ‖W‖²

which is scikit-learn's objective [1] for ``C = 1/λ``, times ``λ``. Nothing is divided by the number of
rows, and biases are not penalised. The problem is convex; this is how it is made small and round:

- The columns are centred, which the bias takes up, and turned to their principal axes: in the row space
  where there are fewer rows than columns. Neither changes the objective.
- Penalties descend in groups (``descent.py``), from strong to weak; a group starts where the last ended.

[1] https://scikit-learn.org/stable/modules/linear_model.html#logistic-regression
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..core.errors import ShapeError, UsageError
from .descent import MEMORY, Fits, Solver

GROUP_COLUMNS = 128
"""Weight vectors that are solved for together: enough to keep a product busy, few enough that the next
penalties can start from where these end."""

GROUP_ELEMENTS = 2**25
"""Logits, or weights remembered, of all that are solved for together: 128 MiB an array."""


@dataclass(frozen=True, eq=False)
class LogisticPath:
    """The fits of ``p`` penalties; ``d`` features, ``c`` classes.

    Attributes:
        weights: ``[p, d, c]``; zero for a class without rows.
        biases: ``[p, c]``; minus infinity for a class without rows.
        iterations: ``[p]`` until each fit stopped.
        gradients: ``[p]`` Euclidean norm of the gradient, per row, where each fit stopped.
        converged: ``[p]`` whether the estimated distance to the minimum is within the tolerance.
    """

    weights: Tensor
    biases: Tensor
    iterations: Tensor
    gradients: Tensor
    converged: Tensor


def logistic_path(
    x: Tensor,
    labels: Tensor,
    penalties: Sequence[float],
    n_classes: int,
    *,
    tolerance: float = 1e-6,
    max_iterations: int = 300,
) -> LogisticPath:
    """Fit every penalty; deterministic, on the device of ``x``.

    Two classes follow scikit-learn too: it penalises ``w = w₁ − w₀`` by ``‖w‖²/2``, which is twice what
    the formula above says for the same ``w``.

    Args:
        x: ``[n, d]`` floating point, finite; computed in float32.
        labels: ``[n]`` integers in ``0 … n_classes-1``. One class only is fitted by a constant.
        penalties: ``λ``, ``[p]``, each above 0, in any order.
        n_classes: ``c``.
        tolerance: a fit stops when its objective is estimated to lie within this fraction of the minimum.
        max_iterations: a fit stops here at the latest.

    Raises:
        ShapeError: if ``x`` has no rows or no columns, or the labels do not fit.
        UsageError: if there is no penalty, or one that is not above 0.
    """
    _require_problem(x, labels, penalties, n_classes)
    present, y = labels.unique(return_inverse=True)
    axes = _principal_axes(x.float())
    ridge = torch.tensor(penalties, dtype=torch.float64, device=x.device) / len(x)
    solver = Solver(axes.z, axes.spectrum, y, len(present), tolerance, max_iterations)
    fits = _solve_in_groups(solver, (ridge * 2 if len(present) == 2 else ridge).float())
    weights = x.new_zeros((len(penalties), x.shape[1], n_classes), dtype=torch.float32)
    biases = weights.new_full((len(penalties), n_classes), -torch.inf)
    turned = torch.einsum("dr,rcp->pdc", axes.basis, fits.w[:-1])
    weights[:, :, present] = turned
    biases[:, present] = fits.w[-1].T - axes.mean @ turned
    return LogisticPath(weights, biases, fits.iterations, fits.gradients, fits.converged)


def _require_problem(x: Tensor, labels: Tensor, penalties: Sequence[float], n_classes: int) -> None:
    if x.ndim != 2 or 0 in x.shape or labels.shape != x.shape[:1]:
        raise ShapeError(
            f"Logistic regression needs x [n, d] and labels [n], n and d at least 1, "
            f"not {list(x.shape)} and {list(labels.shape)}."
        )
    if labels.min() < 0 or labels.max() >= n_classes:
        raise ShapeError(f"Labels must lie in 0 … {n_classes - 1}.")
    if not penalties or not all(penalty > 0 for penalty in penalties):
        raise UsageError(f"At least one penalty is needed, and each above 0: not {list(penalties)}.")


@dataclass(frozen=True)
class _Axes:
    """``x`` turned: ``(x − mean) @ basis = z`` without its last column, which is 1 and carries the bias.

    ``r`` axes. ``basis`` ``[d, r]`` has orthonormal columns, ``mean`` is ``[d]``, ``z`` ``[n, r+1]``;
    ``spectrum`` ``[r+1]`` holds the mean squares of z's columns.
    """

    basis: Tensor
    mean: Tensor
    z: Tensor
    spectrum: Tensor


def _principal_axes(x: Tensor) -> _Axes:
    """Centre ``x`` ``[n, d]`` and turn it; ``r`` is the smaller of ``n`` and ``d``."""
    n, d = x.shape
    mean = x.mean(0, dtype=torch.float64).float()
    x = x - mean
    row_space = None
    if n < d:
        row_space, upper = torch.linalg.qr(x.T)  # [d, n], [n, n]
        x = upper.T
    spectrum, axes = torch.linalg.eigh((x.T @ x).double() / n)
    basis = axes.float()
    z = torch.cat([x @ basis, x.new_ones(n, 1)], 1)
    spectrum = torch.cat([spectrum.clamp(min=0).float(), x.new_ones(1)])
    return _Axes(basis if row_space is None else row_space @ basis, mean, z, spectrum)


def _solve_in_groups(solver: Solver, ridge: Tensor) -> Fits:
    """The fits of penalties per row ``ridge`` ``[p]``, in that order."""
    order = ridge.argsort(descending=True, stable=True)
    rows, columns = solver.z.shape
    each = solver.n_classes * max(rows, columns * MEMORY)
    size = max(1, min(GROUP_COLUMNS // solver.n_classes, GROUP_ELEMENTS // each))
    start = ridge.new_zeros(columns, solver.n_classes, 1)
    parts = []
    for group in order.split(size):
        parts.append(solver.solve(ridge[group], start.expand(-1, -1, len(group)).clone()))
        start = parts[-1].w[..., -1:]
    back = order.argsort()
    w = torch.cat([part.w for part in parts], 2)[..., back]
    rest = ("iterations", "gradients", "converged")
    return Fits(w, *(torch.cat([getattr(part, name) for part in parts])[back] for name in rest))
