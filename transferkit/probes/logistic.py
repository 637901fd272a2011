"""Multinomial logistic regression for many penalties at once, as scikit-learn defines it.

For every penalty ``λ`` the weights ``W`` and biases ``b`` that minimise

    Σᵢ −log softmax(xᵢ W + b)[yᵢ]  +  λ/2 · ‖W‖²

which is scikit-learn's objective [1] for ``C = 1/λ``, times ``λ``. Nothing is divided by the number of
rows, and biases are not penalised. The problem is convex; this is how it is made small and round:

- The columns are centred, which the bias takes up, and the descent goes along their principal axes: in the
  row space where there are fewer rows than columns. Neither changes the objective.
- Penalties descend (``descent.py``), from strong to weak; each starts where the last ended.

[1] https://scikit-learn.org/stable/modules/linear_model.html#logistic-regression
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..core.blocks import Blocks
from ..core.errors import ShapeError, UsageError
from .axes import Axes, principal_axes
from .descent import Descent, Limits, Problem

LIMITS = Limits(tolerance=5e-6, flat=3e-5, iterations=300)
"""The gradient, as a whole, is asked to be three times flatter than scikit-learn asks of its largest entry
(``tol=1e-4``) unless the objective is known better than that. On separable data and weak penalties, where
the minimum lies far away and the loss all but vanishes, the gradient decides, as it does there."""


@dataclass(frozen=True, eq=False)
class LogisticPath:
    """The fits of ``p`` penalties; ``d`` features, ``c`` classes.

    Attributes:
        weights: ``[p, d, c]``; zero for a class without rows.
        biases: ``[p, c]``; minus infinity for a class without rows.
        iterations: ``[p]`` until each fit stopped, counted from where the next stronger one ended.
        gradients: ``[p]`` Euclidean norm of the gradient, per row, where each fit stopped.
        converged: ``[p]`` whether each fit stopped for its tolerance or for a flat gradient.
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
    limits: Limits = LIMITS,
) -> LogisticPath:
    """Fit every penalty; deterministic, on the device of ``labels``.

    Two classes follow scikit-learn too: it penalises ``w = w₁ − w₀`` by ``‖w‖²/2``, which is twice what
    the formula above says for the same ``w``.

    Args:
        x: ``[n, d]`` floating point, finite; computed in float32. Blocks are gone through once an
            evaluation and never held, whatever ``n``.
        labels: ``[n]`` integers in ``0 … n_classes-1``. One class only is fitted by a constant.
        penalties: ``λ``, ``[p]``, each above 0, in any order.
        n_classes: ``c``.
        limits: when a fit stops.

    Raises:
        ShapeError: if ``x`` has no rows or no columns, or the labels do not fit.
        UsageError: if there is no penalty, or one that is not above 0.
    """
    _require_problem(x, labels, penalties, n_classes)
    axes = principal_axes(x, device=labels.device, dtype=torch.float32)
    path = logistic_along(axes, labels, penalties, n_classes, limits=limits)
    many, r, c = path.weights.shape
    weights = path.weights if r == x.shape[1] else path.weights.new_empty(many, x.shape[1], c)
    for i, along in enumerate(path.weights):
        weights[i] = axes.weights(along)
    return replace(path, weights=weights, biases=path.biases - axes.mean @ weights)


def logistic_along(
    axes: Axes,
    labels: Tensor,
    penalties: Sequence[float],
    n_classes: int,
    *,
    limits: Limits = LIMITS,
) -> LogisticPath:
    """The same of rows that are decomposed already: weights are along ``axes``, ``[p, r, c]``, float32.

    Biases are those of centred rows. Several labellings of the same rows share one decomposition.
    """
    present, y = labels.unique(return_inverse=True)
    problem = Problem(axes.rows, axes.inner, axes.spectrum, y, len(present))
    descent = Descent(problem, limits)
    factor = (2 if len(present) == 2 else 1) / len(y)
    order = sorted(range(len(penalties)), key=lambda i: -penalties[i])
    path = LogisticPath(
        weights=axes.spectrum.new_zeros(len(penalties), len(axes.spectrum), n_classes),
        biases=axes.spectrum.new_full((len(penalties), n_classes), -torch.inf),
        iterations=torch.zeros(len(penalties), dtype=torch.int64),
        gradients=torch.zeros(len(penalties)),
        converged=torch.zeros(len(penalties), dtype=torch.bool),
    )
    for i in order:
        fit = descent.fit(penalties[i] * factor)
        path.weights[i, :, present] = fit.point.w[:, :-1].T
        path.biases[i, present] = fit.point.w[:, -1]
        path.iterations[i], path.gradients[i] = fit.iterations, fit.gradient
        path.converged[i] = fit.converged
    return path


def _require_problem(x: Tensor | Blocks, labels: Tensor, penalties: Sequence[float], n_classes: int) -> None:
    if x.ndim != 2 or 0 in x.shape or labels.shape != x.shape[:1]:
        raise ShapeError(
            f"Logistic regression needs x [n, d] and labels [n], n and d at least 1, "
            f"not {list(x.shape)} and {list(labels.shape)}."
        )
    if labels.min() < 0 or labels.max() >= n_classes:
        raise ShapeError(f"Labels must lie in 0 … {n_classes - 1}.")
    if not penalties or not all(penalty > 0 for penalty in penalties):
        raise UsageError(f"At least one penalty is needed, and each above 0: not {list(penalties)}.")
