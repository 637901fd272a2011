"""L-BFGS for logistic regression: coordinates are principal axes, and penalties are fitted one after another.

The loss is a mean over the rows, and each quantity *per row* in this file is a sum over the rows divided by their
number. A penalty is given per row too: a fit minimises ``loss + l2/2 · ‖W‖²``, where ``l2`` is ``λ/n`` for the
``λ`` of ``logistic.py``.

- Along the principal axes the Hessian is nearly diagonal, ``variances · w̄ + l2``. The Hessian weight ``w̄`` is
  the mean of ``(1 − Σⱼ pⱼ²) / (c − 1)`` over the rows. L-BFGS [1] starts from the inverse of this diagonal.
- The curvature pairs of L-BFGS are kept when the penalty changes: they store the change of the loss's
  gradient, to which each penalty adds its own term.
- Logits are stored as margins over the true class. Losses and residuals are then exact to the last digits
  of float32, even where the data are separable and the loss is close to zero.
- Each evaluation reads the rows once and keeps none of them, so the rows need not fit in memory.

[1] Nocedal, Updating quasi-Newton matrices with limited storage, Mathematics of Computation 1980.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

HISTORY_SIZE = 60
"""Maximum number of curvature pairs (steps and gradient changes) that L-BFGS stores."""

HISTORY_ELEMENTS = 2**20
"""Maximum number of weights in the steps of all pairs: 4 MiB of float32, and three times this with both changes of
the gradient. Each iteration multiplies by the whole history, and by a larger one it may take more time than the pass
over the rows."""

MIN_HISTORY_SIZE = 5
"""Number of pairs that are stored however large they are."""

MIN_PAIRS_TO_STOP = 3
"""Number of pairs from which the estimated distance to the minimum is reliable enough to stop a fit."""

WARM_UP_RATIO = 1e-3
"""A penalty at most this fraction of the previous one (at first: of the largest variance along an axis) is fitted
after a sequence of stronger penalties."""

WARM_UP_FACTOR = 10
"""Ratio between successive penalties of that sequence."""

MAX_LINE_SEARCH_STEPS = 20
"""Maximum number of step lengths per line search; the first is nearly always accepted."""

SUFFICIENT_DECREASE = 1e-4
"""Armijo constant: fraction of the linearly predicted decrease that a step must reach."""

LOSS_PRECISION = 1e-7
"""Relative error of the loss in float32. For smaller changes the directional derivative decides [2].

[2] Hager and Zhang, A new conjugate gradient method with guaranteed descent, SIAM J. Optimization 2005.
"""


@dataclass(frozen=True)
class StoppingRule:
    """Conditions under which a fit stops.

    Attributes:
        tolerance: estimated relative distance of the objective to its minimum, at or below which a fit stops.
        gradient_tolerance: Euclidean norm of the gradient, per row, at or below which a fit stops.
        max_iterations: maximum number of iterations.
    """

    tolerance: float
    gradient_tolerance: float
    max_iterations: int


WARM_UP_RULE = StoppingRule(tolerance=1e-3, gradient_tolerance=0.0, max_iterations=100)
"""Stopping rule of each warm-up fit. The iterations of all warm-up fits count towards the weak penalty's limit."""


@dataclass(frozen=True)
class Point:
    """Weights, and the loss without penalty at these weights.

    Attributes:
        w: ``[c, r+1]``; the last column holds the biases.
        loss: mean loss of the rows.
        gradient: ``[c, r+1]``, gradient of ``loss``.
        hessian_weight: ``w̄``, the mean Hessian weight of the rows: one number, or ``[c, 1]``, one per class.
    """

    w: Tensor
    loss: float
    gradient: Tensor
    hessian_weight: float | Tensor


@dataclass(frozen=True)
class Solution:
    """Result of the fit of one penalty.

    Attributes:
        point: weights and loss at the end of the fit.
        iterations: number of iterations since the previous penalty's fit ended.
        gradient_norm: Euclidean norm of the objective's gradient, per row.
        converged: True if the fit stopped because of a tolerance.
    """

    point: Point
    iterations: int
    gradient_norm: float
    converged: bool


class ConvexLoss(Protocol):
    """A convex loss of weights ``[c, r+1]``, for ``d`` columns, ``r`` axes and ``c`` classes."""

    @property
    def iter_chunks(self) -> Callable[[], Iterator[Tensor]]:
        """Function that iterates once over the centred rows, in chunks ``[m, d]`` of float32."""

    @property
    def rotation(self) -> Tensor | None:
        """``[d, r]``, the axes as orthonormal columns; None if the columns of the chunks are the axes."""

    @property
    def variances(self) -> Tensor:
        """``[r]``, variances of the rows along the axes."""

    @property
    def n_classes(self) -> int:
        """Number of classes, ``c``."""

    def at(self, w: Tensor) -> Point:
        """Evaluate the loss at ``w`` ``[c, r+1]``."""


@dataclass(frozen=True)
class Multinomial:
    """Softmax cross-entropy of ``n`` rows that have one class each.

    Attributes:
        iter_chunks, rotation, variances, n_classes: see ``ConvexLoss``.
        labels: ``[n]`` integers in ``0 … c-1``; each class has at least one row.
    """

    iter_chunks: Callable[[], Iterator[Tensor]]
    rotation: Tensor | None
    variances: Tensor
    labels: Tensor
    n_classes: int

    def at(self, w: Tensor) -> Point:
        """Evaluate the loss at ``w`` ``[c, r+1]``."""
        loss, gradient, hessian_weight = _means(self, w, self.labels, _softmax_terms)
        return Point(w, loss, gradient, float(hessian_weight) / max(1, self.n_classes - 1))


@dataclass(frozen=True)
class OneVsRest:
    """Sum of ``c`` binary logistic losses, one per class, over the same ``n`` rows.

    No weight belongs to two classes, so the minimum of the sum is the minimum of each loss.

    Attributes:
        iter_chunks, rotation, variances: see ``ConvexLoss``.
        signs: ``[c, n]``: 1 for a positive row, -1 for a negative row, 0 for a row that is ignored.
    """

    iter_chunks: Callable[[], Iterator[Tensor]]
    rotation: Tensor | None
    variances: Tensor
    signs: Tensor

    @property
    def n_classes(self) -> int:
        """Number of classes, ``c``."""
        return len(self.signs)

    def at(self, w: Tensor) -> Point:
        """Evaluate the loss at ``w`` ``[c, r+1]``."""
        loss, gradient, hessian_weights = _means(self, w, self.signs, _binary_terms)
        return Point(w, loss, gradient, hessian_weights.float()[:, None])


def _means(
    problem: ConvexLoss,
    w: Tensor,
    labels: Tensor,
    terms: Callable[[Tensor, Tensor], tuple[Tensor, Tensor, Tensor]],
) -> tuple[float, Tensor, Tensor]:
    """Average the loss and its derivatives over the rows, in one pass.

    Args:
        problem: the loss whose rows are read.
        w: ``[c, r+1]``.
        labels: ``[…, n]``.
        terms: function of logits ``[c, m]``, which it may overwrite, and labels ``[…, m]``. It returns the
            derivative of the loss with respect to the logits ``[c, m]``, the losses, and the Hessian weights
            ``[…, m]``.

    Returns: the mean loss, the mean gradient ``[c, r+1]``, and the mean Hessian weights ``[…]`` in float64.
    """
    rotation = problem.rotation
    weights = w[:, :-1] if rotation is None else w[:, :-1] @ rotation.T  # [c, d]
    weight_gradient = torch.zeros_like(weights)
    bias_gradient = weights.new_zeros(len(w), dtype=torch.float64)  # [c]
    loss, hessian_weight, n = 0.0, bias_gradient.new_zeros(()), 0
    for x in problem.iter_chunks():
        logits = torch.nn.functional.linear(x, weights, w[:, -1]).T.contiguous()  # [c, m]
        residual, losses, hessian_weights = terms(logits, labels[..., n : n + len(x)])
        weight_gradient.addmm_(residual, x)
        bias_gradient += residual.sum(1, dtype=torch.float64)
        loss += float(losses.sum(dtype=torch.float64))
        hessian_weight = hessian_weight + hessian_weights.sum(-1, dtype=torch.float64)
        n += len(x)
    weight_gradient = weight_gradient if rotation is None else weight_gradient @ rotation  # [c, r]
    return loss / n, torch.cat([weight_gradient, bias_gradient.float()[:, None]], 1) / n, hessian_weight / n


def _softmax_terms(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return ``p − onehot(labels)`` ``[c, m]``, losses ``[m]`` and ``1 − Σⱼ pⱼ²`` ``[m]`` for logits ``[c, m]``.

    Overwrites ``logits``, whose memory the first result uses.
    """
    true = labels[None]
    margins = logits.sub_(logits.gather(0, true))  # logits less the true class's
    top = margins.amax(0)  # [m], at least 0
    wrong_exp = margins.sub_(top).exp_().scatter_(0, true, 0)  # unnormalised probabilities of the wrong classes
    wrong_sum = wrong_exp.sum(0)
    total = wrong_sum + torch.exp(-top)
    error = wrong_sum / total  # 1 − p of the true class
    residual = wrong_exp.div_(total).scatter_(0, true, -error[None])
    losses = top + torch.log1p(wrong_sum + torch.expm1(-top))
    return residual, losses, 2 * error - residual.square().sum(0)  # 1 − Σⱼ pⱼ² without cancellation


def _binary_terms(logits: Tensor, signs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return ``−s σ(−s f)``, losses ``log(1 + exp(−s f))`` and ``p (1 − p)``, ``[c, m]`` each; 0 where ``s`` is 0.

    ``f`` is ``logits`` ``[c, m]``, which are overwritten, and ``s`` is ``signs`` ``[c, m]``.
    """
    margins = logits.mul_(signs)
    error = torch.sigmoid(-margins)
    mask = signs.abs()  # 0 for an ignored row, else 1
    losses = torch.nn.functional.softplus(-margins).mul_(mask)
    return -error * signs, losses, error * (1 - error) * mask


class LBFGS:
    """Fits penalties one after another; each fit starts from the weights and the history of the previous one.

    A penalty much weaker than the previous one is fitted after a sequence of stronger ones: where the data are
    separable, its loss is almost flat far from the minimum, so a direct descent would stop too early.

    Args:
        problem: loss to minimise.
        stopping: stopping rule of each fit.
    """

    def __init__(self, problem: ConvexLoss, stopping: StoppingRule) -> None:
        self._problem = problem
        self._stopping = stopping
        self._variances = torch.cat([problem.variances, problem.variances.new_ones(1)])  # [r+1], 1 for the bias
        origin = self._variances.new_zeros(problem.n_classes, len(self._variances))
        self._hessian = _InverseHessian(origin)
        self._point = problem.at(origin)
        self._last_l2 = float(problem.variances.max())  # stands for a previous penalty, until there is one

    def fit(self, l2: float) -> Solution:
        """Minimise ``loss + l2/2 · ‖W‖²``; the loss is a mean over the rows."""
        warm_up = self._warm_up(l2) if l2 <= WARM_UP_RATIO * self._last_l2 else 0
        self._last_l2 = l2
        left = self._stopping.max_iterations - warm_up
        fit = self._fit(l2, replace(self._stopping, max_iterations=left))
        return replace(fit, iterations=warm_up + fit.iterations)

    def _warm_up(self, l2: float) -> int:
        """Fit a decreasing sequence of penalties that ends near ``l2``, and return the number of iterations."""
        stronger, last = self._last_l2, WARM_UP_FACTOR * max(l2, torch.finfo(torch.float32).tiny)
        iterations = 0
        while stronger > last:
            left = min(WARM_UP_RULE.max_iterations, self._stopping.max_iterations - iterations)
            iterations += self._fit(stronger, replace(WARM_UP_RULE, max_iterations=left)).iterations
            stronger /= WARM_UP_FACTOR
        self._hessian = _InverseHessian(self._point.w)  # pairs of rough fits do not estimate when to stop
        return iterations

    def _fit(self, l2: float, stopping: StoppingRule) -> Solution:
        l2_per_weight = torch.full_like(self._variances, l2)  # [r+1]
        l2_per_weight[-1] = 0  # biases are not penalised
        self._hessian.set_l2(l2_per_weight)
        step = 1.0
        for iteration in range(stopping.max_iterations + 1):
            point = self._point
            gradient = point.gradient + l2_per_weight * point.w  # of the objective, [c, r+1]
            inverse = 1 / (self._variances * point.hessian_weight + l2_per_weight).clamp(min=1e-20)
            direction = -self._hessian.multiply(gradient, inverse)
            derivative = _dot(gradient, direction)  # directional derivative, negative
            norm = float(gradient.norm())
            stuck = step == 0 or derivative == 0
            reliable = stuck or len(self._hessian) >= MIN_PAIRS_TO_STOP
            near = -derivative / 2 <= stopping.tolerance * _objective(point, l2_per_weight)
            converged = norm <= stopping.gradient_tolerance or (near and reliable)
            if converged or stuck or iteration == stopping.max_iterations:
                break
            self._point, step = self._line_search(l2_per_weight, direction, derivative)
            self._hessian.add(step * direction, self._point.gradient - point.gradient)
        return Solution(point, iteration, norm, converged)

    def _line_search(self, l2_per_weight: Tensor, direction: Tensor, derivative: float) -> tuple[Point, float]:
        """Search along ``direction`` for a step that decreases the objective enough.

        A step that is too long is shortened to the minimum of the parabola through the known values.

        Returns: the new point and the step; the step is 0 where float32 finds no lower objective.
        """
        start, step = self._point, 1.0
        for _ in range(MAX_LINE_SEARCH_STEPS):
            point = self._problem.at(start.w + step * direction)
            penalty_slope = _dot(l2_per_weight * direction, start.w + step / 2 * direction)  # penalty's mean derivative
            increase = point.loss - start.loss + step * penalty_slope
            new_derivative = _dot(point.gradient + l2_per_weight * point.w, direction)
            flatter = increase <= LOSS_PRECISION * start.loss and abs(new_derivative) <= -derivative / 2
            if increase <= SUFFICIENT_DECREASE * step * derivative or flatter:
                return point, step
            finite = increase < float("inf")
            shorter = -derivative * step / (2 * (increase / step - derivative)) if finite else 0.0
            step = min(max(shorter, 0.1 * step), 0.5 * step)
        return start, 0.0


def _objective(point: Point, l2_per_weight: Tensor) -> float:
    return point.loss + _dot(l2_per_weight * point.w, point.w) / 2


class _InverseHessian:
    """The L-BFGS estimate of the inverse Hessian, from the last steps and their changes of the gradient.

    The two-loop recursion over the pairs is computed with a few matrix products, in the compact form of Byrd
    et al. [3]. The rows of ``S`` are the steps and the rows of ``Y`` the changes of the gradient; ``D`` is the
    diagonal and ``R`` the upper triangle of ``SYᵀ``; ``H₀`` is the initial diagonal. The inverse Hessian is

        H = H₀ + Sᵀ R⁻ᵀ (D + Y H₀ Yᵀ) R⁻¹ S − H₀ Yᵀ R⁻¹ S − Sᵀ R⁻ᵀ Y H₀.

    Args:
        like: a step, which gives the shape, the type and the device.

    [3] Byrd, Nocedal and Schnabel, Representations of quasi-Newton matrices and their use in limited memory
        methods, Mathematical Programming 1994.
    """

    def __init__(self, like: Tensor) -> None:
        size = max(MIN_HISTORY_SIZE, min(HISTORY_SIZE, HISTORY_ELEMENTS // like.numel()))
        self._l2_per_weight = torch.zeros_like(like).flatten()
        self._s, self._loss_y, self._y = like.new_zeros(3, size, like.numel())  # S; Y of the loss; Y
        self._sy = like.new_zeros(size, size, dtype=torch.float64)  # SYᵀ
        self._count = self._oldest = 0  # number of pairs; index of the oldest pair

    def __len__(self) -> int:
        return self._count

    def set_l2(self, l2_per_weight: Tensor) -> None:
        """Change the penalty of each weight to ``l2_per_weight`` ``[r+1]``; drop pairs without positive curvature."""
        self._l2_per_weight = l2_per_weight.repeat(len(self._l2_per_weight) // len(l2_per_weight))
        s, loss_y = (self._in_order(rows) for rows in (self._s, self._loss_y))
        y = loss_y + self._l2_per_weight * s
        kept = (s * y).sum(1) > 0
        s, loss_y, y = s[kept], loss_y[kept], y[kept]
        self._count, self._oldest = len(s), 0
        for rows, values in ((self._s, s), (self._loss_y, loss_y), (self._y, y)):
            rows[: self._count] = values
        self._sy[: self._count, : self._count] = (s @ y.T).double()

    def add(self, step: Tensor, change: Tensor) -> None:
        """Store ``step`` and the ``change`` of the loss's gradient; a full history drops its oldest pair.

        A pair without positive curvature under the present penalty is not stored.
        """
        step, change = step.flatten(), change.flatten()
        y = change + self._l2_per_weight * step
        if not _dot(step, y) > 0:
            return
        if self._count < len(self._s):
            row = self._count
            self._count += 1
        else:
            row = self._oldest
            self._oldest = (row + 1) % len(self._s)
        self._s[row], self._loss_y[row], self._y[row] = step, change, y
        self._sy[:, row] = (self._s @ y).double()
        # Row ``row`` keeps products with an earlier step: they belong to older changes, so they are below the diagonal
        # of SYᵀ, of which only the upper triangle is used. Rows and columns of unused indices are never read.

    def multiply(self, gradient: Tensor, diagonal: Tensor) -> Tensor:
        """Return ``H gradient``; ``H₀`` is ``diagonal``, scaled to the curvature of the last pair."""
        if not self._count:
            return gradient * diagonal
        s, y = self._s[: self._count], self._y[: self._count]
        g, h0 = gradient.flatten(), diagonal.expand_as(gradient).flatten()
        r = self._in_order(self._in_order(self._sy[:, : self._count]).T).T.triu()  # R
        yhy = self._in_order(self._in_order(((y * h0) @ y.T).double()).T)  # Y H₀ Yᵀ, unscaled
        scale = r[-1, -1] / yhy[-1, -1]
        h0 = h0 * scale.to(h0.dtype)
        sg = self._in_order((s @ g).double())[:, None]  # S g
        yhg = self._in_order((y @ (h0 * g)).double())[:, None]  # Y H₀ g
        u = torch.linalg.solve_triangular(r, sg, upper=True)  # R⁻¹ S g
        inner = r.diagonal()[:, None] * u + scale * (yhy @ u) - yhg  # (D + Y H₀ Yᵀ) u − Y H₀ g
        v = torch.linalg.solve_triangular(r.T, inner, upper=False)  # R⁻ᵀ inner
        u, v = (one[:, 0].roll(self._oldest).to(g.dtype) for one in (u, v))
        return (h0 * (g - u @ y) + v @ s).view_as(gradient)  # H₀ (g − Yᵀ u) + Sᵀ v

    def _in_order(self, rows: Tensor) -> Tensor:
        """Return the used part of ``rows``, oldest pair first."""
        used = rows[: self._count]
        return used.roll(-self._oldest, 0) if self._oldest else used


def _dot(a: Tensor, b: Tensor) -> float:
    return float(torch.dot(a.flatten(), b.flatten()))
