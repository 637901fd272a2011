"""Logistic regression for a path of penalties, as defined by scikit-learn: multinomial and one-vs-rest.

For each penalty ``λ``, the weights ``W`` and biases ``b`` minimise

    Σᵢ −log softmax(xᵢ W + b)[yᵢ]  +  λ/2 · ‖W‖²

which is scikit-learn's objective [1] for ``C = 1/λ``, multiplied by ``λ``. The sum is not divided by the number
of rows, and biases are not penalised. The problem is convex; two transformations make it small and well
conditioned:

- The columns are centred, which only changes the bias, and the coordinates are their principal axes: those of
  the row space if there are fewer rows than columns. Neither changes the objective. If the scales of the
  columns differ strongly, the axes are computed in float64, so that small columns are resolved.
- The penalties are fitted (``lbfgs.py``) from strong to weak; each fit starts from the previous solution.

If a row may have several classes or none, each class ``k`` has its own weights, which minimise

    Σᵢ log(1 + exp(−sᵢₖ (xᵢ wₖ + bₖ)))  +  λ/2 · ‖wₖ‖²,    sᵢₖ = 1 if row i has class k, −1 if it does not.

Rows that are marked as difficult for ``k`` are ignored in its fit, as in the example classifier of VOC2007's
development kit [2]. All classes are fitted together, along the same axes.

[1] https://scikit-learn.org/stable/modules/linear_model.html#logistic-regression
[2] Everingham et al., The PASCAL visual object classes (VOC) challenge, IJCV 2010.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...core.errors import ShapeError, UsageError
from ...core.labels import ABSENT, SHOWN
from ...core.out_of_core import Blocks
from .lbfgs import LBFGS, Multinomial, OneVsRest, StoppingRule
from .principal_axes import Axes, principal_axes

STOPPING_RULE = StoppingRule(tolerance=5e-6, gradient_tolerance=3e-5, max_iterations=300)
"""Default stopping rule. The gradient tolerance, for the norm, is a third of scikit-learn's for the largest entry
(``tol=1e-4``). On separable data with weak penalties, where the minimum is far away and the loss is close to zero,
the gradient stops the fit, as it does in scikit-learn; otherwise the objective may stop it earlier."""


@dataclass(frozen=True, eq=False)
class LogisticPath:
    """Fits of ``p`` penalties; ``d`` features, ``c`` classes.

    Attributes:
        weights: ``[p, d, c]``; 0 for a class that was not fitted.
        biases: ``[p, c]``; for a class that was not fitted, minus infinity (multinomial) or 0 (one-vs-rest).
        iterations: ``[p]``, number of iterations since the fit of the next stronger penalty.
        gradients: ``[p]``, Euclidean norm of the gradient divided by the number of rows, at the end of each fit.
        converged: ``[p]``, True for a fit that stopped because of a tolerance.
    """

    weights: Tensor
    biases: Tensor
    iterations: Tensor
    gradients: Tensor
    converged: Tensor


def logistic_path(
    x: Tensor | Blocks,
    labels: Tensor,
    penalties: Sequence[float],
    n_classes: int,
    *,
    stopping: StoppingRule = STOPPING_RULE,
) -> LogisticPath:
    """Fit every penalty; deterministic, on the device of ``labels``.

    Two classes follow scikit-learn as well: it penalises ``w = w₁ − w₀`` by ``‖w‖²/2``, which is twice the
    penalty of the formula above for the same ``w``.

    Args:
        x: ``[n, d]`` floating point, finite; converted to float32. ``Blocks`` are read once per evaluation and
            never loaded completely if ``n`` is at least ``d``.
        labels: ``[n]`` integers in ``0 … n_classes-1``. A single class is fitted by a constant.
        penalties: ``λ``, ``[p]``, each above 0, in any order.
        n_classes: ``c``.
        stopping: stopping rule of each fit.

    Raises:
        ShapeError: if ``x`` has no rows or no columns, or the labels do not fit.
        UsageError: if there is no penalty, or one that is not above 0.
        DataError: if the squares of ``x`` overflow.
    """
    _require_valid(x, labels, penalties, n_classes)
    axes = principal_axes(x, device=labels.device, dtype=torch.float32)
    return _column_path(logistic_along(axes, labels, penalties, n_classes, stopping=stopping), axes)


def logistic_along(
    axes: Axes,
    labels: Tensor,
    penalties: Sequence[float],
    n_classes: int,
    *,
    stopping: StoppingRule = STOPPING_RULE,
) -> LogisticPath:
    """Fit every penalty along the axes of rows that are already decomposed.

    Several label vectors of the same rows can share one decomposition. The arguments are those of
    ``logistic_path``.

    Returns: the path with float32 weights along ``axes``, ``[p, r, c]``, and the biases of centred rows.
    """
    present, y = labels.unique(return_inverse=True)
    path = _unfitted(axes, len(penalties), n_classes, bias=-torch.inf)
    solver = LBFGS(Multinomial(axes.iter_chunks, axes.rotation, axes.variances, y, len(present)), stopping)
    _fit_path(path, solver, penalties, present, factor=(2 if len(present) == 2 else 1) / len(y))
    return path


def one_vs_rest_path(
    x: Tensor | Blocks, labels: Tensor, penalties: Sequence[float], *, stopping: StoppingRule = STOPPING_RULE
) -> LogisticPath:
    """Fit every penalty and class of multi-label rows; deterministic, on the device of ``labels``.

    A class that no row or every row has is not fitted: its scores are all 0. ``gradients`` cover all
    classes together.

    Args:
        x: see ``logistic_path``.
        labels: ``[n, c]`` of ``SHOWN``, ``DIFFICULT`` and ``ABSENT``.
        penalties: ``λ``, ``[p]``, each above 0, in any order.
        stopping: stopping rule; ``tolerance`` applies to the sum of the objectives of all classes.

    Raises:
        ShapeError: if ``x`` has no rows or no columns, or the labels do not fit.
        UsageError: if there is no penalty, or one that is not above 0.
        DataError: if the squares of ``x`` overflow.
    """
    if labels.ndim != 2:
        raise ShapeError(f"One-vs-rest needs labels [n, c], not {list(labels.shape)}.")
    _require_rows(x, labels[:, 0], penalties)
    present = fitted_classes(labels)
    axes = principal_axes(x, device=labels.device, dtype=torch.float32)
    path = _unfitted(axes, len(penalties), labels.shape[1], bias=0.0)
    if len(present):
        signs = labels[:, present].T.contiguous().float()
        solver = LBFGS(OneVsRest(axes.iter_chunks, axes.rotation, axes.variances, signs), stopping)
        _fit_path(path, solver, penalties, present, factor=1 / len(labels))
    else:
        path.converged[:] = True
    return _column_path(path, axes)


def fitted_classes(labels: Tensor) -> Tensor:
    """Return the indices of classes with at least one positive and one negative row in ``labels`` ``[n, c]``."""
    return ((labels == SHOWN).any(0) & (labels == ABSENT).any(0)).nonzero()[:, 0]


def _unfitted(axes: Axes, n_penalties: int, n_classes: int, *, bias: float) -> LogisticPath:
    """Return an empty path along ``axes``."""
    return LogisticPath(
        weights=axes.variances.new_zeros(n_penalties, len(axes.variances), n_classes),
        biases=axes.variances.new_full((n_penalties, n_classes), bias),
        iterations=torch.zeros(n_penalties, dtype=torch.int64),
        gradients=torch.zeros(n_penalties),
        converged=torch.zeros(n_penalties, dtype=torch.bool),
    )


def _fit_path(path: LogisticPath, solver: LBFGS, penalties: Sequence[float], present: Tensor, *, factor: float) -> None:
    """Fill ``path`` for the classes ``present``, strong penalties first; ``factor`` converts ``λ`` to ``l2``."""
    for i in sorted(range(len(penalties)), key=lambda i: -penalties[i]):
        fit = solver.fit(penalties[i] * factor)
        path.weights[i, :, present] = fit.point.w[:, :-1].T
        path.biases[i, present] = fit.point.w[:, -1]
        path.iterations[i], path.gradients[i] = fit.iterations, fit.gradient_norm
        path.converged[i] = fit.converged


def _column_path(path: LogisticPath, axes: Axes) -> LogisticPath:
    """Convert a path along ``axes`` to weights of the columns; overwrites the input if the shapes are equal."""
    p, r, c = path.weights.shape
    d = len(axes.mean)
    weights = path.weights if r == d else path.weights.new_empty(p, d, c)
    for i, axis_weights in enumerate(path.weights):
        weights[i] = axes.weights(axis_weights)
    return replace(path, weights=weights, biases=path.biases - axes.mean @ weights)


def _require_valid(x: Tensor | Blocks, labels: Tensor, penalties: Sequence[float], n_classes: int) -> None:
    _require_rows(x, labels, penalties)
    if labels.min() < 0 or labels.max() >= n_classes:
        raise ShapeError(f"Labels must be in 0 … {n_classes - 1}.")


def _require_rows(x: Tensor | Blocks, labels: Tensor, penalties: Sequence[float]) -> None:
    if x.ndim != 2 or 0 in x.shape or labels.shape != x.shape[:1]:
        raise ShapeError(
            f"Logistic regression needs x [n, d] and labels [n] with n and d at least 1, "
            f"not {list(x.shape)} and {list(labels.shape)}."
        )
    if not penalties or not all(penalty > 0 for penalty in penalties):
        raise UsageError(f"Penalties {list(penalties)} are invalid: give at least one, each above 0.")
