"""Logistic regression for many penalties at once, as scikit-learn defines it: multinomial, and one-vs-rest.

For every penalty ``λ`` the weights ``W`` and biases ``b`` that minimise

    Σᵢ −log softmax(xᵢ W + b)[yᵢ]  +  λ/2 · ‖W‖²

which is scikit-learn's objective [1] for ``C = 1/λ``, times ``λ``. Nothing is divided by the number of
rows, and biases are not penalised. The problem is convex; this is how it is made small and round:

- The columns are centred, which the bias takes up, and the descent goes along their principal axes: in the
  row space where there are fewer rows than columns. Neither changes the objective. Where the scales of the
  columns differ by far, the axes are computed in float64, so that small columns have theirs.
- Penalties descend (``descent.py``), from strong to weak; each starts where the last ended.

Where a row may show several classes or none, every class ``k`` has weights of its own, which minimise

    Σᵢ log(1 + exp(−sᵢₖ (xᵢ wₖ + bₖ)))  +  λ/2 · ‖wₖ‖²,    sᵢₖ = 1 if row i shows k, −1 if it does not,

over the rows that say one of the two: those that show ``k`` with difficulty take no part in its fit, as in
the example classifier of VOC2007's development kit [2]. All classes go down together, along the same axes.

[1] https://scikit-learn.org/stable/modules/linear_model.html#logistic-regression
[2] Everingham et al., The PASCAL visual object classes (VOC) challenge, IJCV 2010.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..core.errors import ShapeError, UsageError
from ..core.labels import ABSENT, SHOWN
from ..core.out_of_core import Blocks
from .axes import Axes, principal_axes
from .descent import Descent, Multinomial, OneVsRest, StoppingRule

LIMITS = StoppingRule(tolerance=5e-6, flat=3e-5, iterations=300)
"""The gradient, as a whole, is asked to be three times flatter than scikit-learn asks of its largest entry
(``tol=1e-4``) unless the objective is known better than that. On separable data and weak penalties, where
the minimum lies far away and the loss all but vanishes, the gradient decides, as it does there."""


@dataclass(frozen=True, eq=False)
class LogisticPath:
    """The fits of ``p`` penalties; ``d`` features, ``c`` classes.

    Attributes:
        weights: ``[p, d, c]``; zero for a class that was not fitted.
        biases: ``[p, c]``; for a class that was not fitted minus infinity, or 0 of one-vs-rest.
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
    limits: StoppingRule = LIMITS,
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
    return _of_columns(logistic_along(axes, labels, penalties, n_classes, limits=limits), axes)


def logistic_along(
    axes: Axes,
    labels: Tensor,
    penalties: Sequence[float],
    n_classes: int,
    *,
    limits: StoppingRule = LIMITS,
) -> LogisticPath:
    """The same of rows that are decomposed already: weights are along ``axes``, ``[p, r, c]``, float32.

    Biases are those of centred rows. Several labellings of the same rows share one decomposition.
    """
    present, y = labels.unique(return_inverse=True)
    path = _unfitted(axes, len(penalties), n_classes, bias=-torch.inf)
    descent = Descent(Multinomial(axes.rows, axes.inner, axes.spectrum, y, len(present)), limits)
    _descend(path, descent, penalties, present, factor=(2 if len(present) == 2 else 1) / len(y))
    return path


def one_vs_rest_path(
    x: Tensor | Blocks, labels: Tensor, penalties: Sequence[float], *, limits: StoppingRule = LIMITS
) -> LogisticPath:
    """Fit every penalty and class of rows with several labels; deterministic, on the device of ``labels``.

    A class that no row shows, or every row, is not fitted: its scores are all 0. ``gradients`` are of all
    classes together.

    Args:
        x: as of ``logistic_path``.
        labels: ``[n, c]`` of ``SHOWN``, ``DIFFICULT`` and ``ABSENT``.
        penalties: ``λ``, ``[p]``, each above 0, in any order.
        limits: when a fit stops; ``tolerance`` is of the sum of all classes' objectives.

    Raises:
        ShapeError: if ``x`` has no rows or no columns, or the labels do not fit.
        UsageError: if there is no penalty, or one that is not above 0.
    """
    if labels.ndim != 2:
        raise ShapeError(f"One-vs-rest needs labels [n, c], not {list(labels.shape)}.")
    _require_rows(x, labels[:, 0], penalties)
    present = fitted_classes(labels)
    axes = principal_axes(x, device=labels.device, dtype=torch.float32)
    path = _unfitted(axes, len(penalties), labels.shape[1], bias=0.0)
    if len(present):
        signs = labels[:, present].T.contiguous().float()
        descent = Descent(OneVsRest(axes.rows, axes.inner, axes.spectrum, signs), limits)
        _descend(path, descent, penalties, present, factor=1 / len(labels))
    else:
        path.converged[:] = True
    return _of_columns(path, axes)


def fitted_classes(labels: Tensor) -> Tensor:
    """The numbers of those classes that some row of ``labels`` ``[n, c]`` shows, and some does not."""
    return ((labels == SHOWN).any(0) & (labels == ABSENT).any(0)).nonzero()[:, 0]


def _unfitted(axes: Axes, n_penalties: int, n_classes: int, *, bias: float) -> LogisticPath:
    """Fits along ``axes`` that are yet to be made."""
    return LogisticPath(
        weights=axes.spectrum.new_zeros(n_penalties, len(axes.spectrum), n_classes),
        biases=axes.spectrum.new_full((n_penalties, n_classes), bias),
        iterations=torch.zeros(n_penalties, dtype=torch.int64),
        gradients=torch.zeros(n_penalties),
        converged=torch.zeros(n_penalties, dtype=torch.bool),
    )


def _descend(
    path: LogisticPath, descent: Descent, penalties: Sequence[float], present: Tensor, *, factor: float
) -> None:
    """Fill ``path`` for the classes ``present``, strong penalties first; ``λ factor`` is per row."""
    for i in sorted(range(len(penalties)), key=lambda i: -penalties[i]):
        fit = descent.fit(penalties[i] * factor)
        path.weights[i, :, present] = fit.point.w[:, :-1].T
        path.biases[i, present] = fit.point.w[:, -1]
        path.iterations[i], path.gradients[i] = fit.iterations, fit.gradient
        path.converged[i] = fit.converged


def _of_columns(path: LogisticPath, axes: Axes) -> LogisticPath:
    """The fits along ``axes`` as those of the columns; they take the place of the former where they fit."""
    many, r, c = path.weights.shape
    d = len(axes.mean)
    weights = path.weights if r == d else path.weights.new_empty(many, d, c)
    for i, along in enumerate(path.weights):
        weights[i] = axes.weights(along)
    return replace(path, weights=weights, biases=path.biases - axes.mean @ weights)


def _require_problem(x: Tensor | Blocks, labels: Tensor, penalties: Sequence[float], n_classes: int) -> None:
    _require_rows(x, labels, penalties)
    if labels.min() < 0 or labels.max() >= n_classes:
        raise ShapeError(f"Labels must lie in 0 … {n_classes - 1}.")


def _require_rows(x: Tensor | Blocks, labels: Tensor, penalties: Sequence[float]) -> None:
    if x.ndim != 2 or 0 in x.shape or labels.shape != x.shape[:1]:
        raise ShapeError(
            f"Logistic regression needs x [n, d] and labels [n], n and d at least 1, "
            f"not {list(x.shape)} and {list(labels.shape)}."
        )
    if not penalties or not all(penalty > 0 for penalty in penalties):
        raise UsageError(f"At least one penalty is needed, and each above 0: not {list(penalties)}.")
