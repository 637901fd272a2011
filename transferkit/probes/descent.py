"""The descent of logistic regression: L-BFGS along principal axes, one penalty after another.

- Along the principal axes the Hessian is nearly diagonal, ``spectrum · w̄ + λ`` with ``w̄`` the mean of
  ``(1 − Σⱼ pⱼ²) / (c − 1)`` over the rows; L-BFGS [1] starts from its inverse.
- What L-BFGS remembers of the curvature outlives a penalty: a remembered change of gradient is that of the
  loss, to which the next penalty adds its own.
- Logits are kept as margins over the true class. Losses and residuals are then exact to the last digits
  of float32 even where the data are separable and the loss all but vanishes.
- An evaluation goes through the rows once and keeps nothing of them, so rows need not lie in memory.

[1] Nocedal, Updating quasi-Newton matrices with limited storage, Mathematics of Computation 1980.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

MEMORY = 60
"""Pairs of steps and gradient changes that L-BFGS remembers, at most."""

MEMORY_ELEMENTS = 2**20
"""Weights in all of those pairs' steps, 4 MiB: more costs as much to go through as the rows do."""

LEAST_MEMORY = 5
"""Pairs that are remembered however large they are."""

TRUSTED = 3
"""Pairs after which the estimated distance to the minimum is believed."""

WEAK = 1e-3
"""Of the last penalty, or at first of the largest mean square along an axis: one below is reached by way of
stronger ones."""

STRIDE = 10
"""Between the penalties on that way."""

TRIES = 20
"""Steps tried along one direction; the first is nearly always good."""

ENOUGH = 1e-4
"""Of the fall that the slope promises, what a step has to deliver."""

NOISE = 1e-7
"""Of the loss, what float32 cannot tell from nothing: there the slope decides [2].

[2] Hager and Zhang, A new conjugate gradient method with guaranteed descent, SIAM J. Optimization 2005.
"""


@dataclass(frozen=True)
class StoppingRule:
    """When a fit stops.

    Attributes:
        tolerance: its objective is estimated to lie within this fraction of the minimum;
        flat: or the Euclidean norm of the gradient, per row, is at most this;
        iterations: or it has taken so many.
    """

    tolerance: float
    flat: float
    iterations: int


ON_THE_WAY = StoppingRule(tolerance=1e-3, flat=0.0, iterations=100)
"""Of each fit on the way to a weak penalty; all of them count among the iterations of that one."""


@dataclass(frozen=True)
class Point:
    """The loss, without penalty, of some weights.

    Attributes:
        w: ``[c, r+1]``, the last column the biases.
        loss: mean over the rows.
        pull: ``[c, r+1]`` its gradient.
        unsure: ``w̄``: how much curvature the rows contribute; one number, or one a row of ``w``, ``[c, 1]``.
    """

    w: Tensor
    loss: float
    pull: Tensor
    unsure: float | Tensor


@dataclass(frozen=True)
class Solution:
    """Where the descent of one penalty stopped; ``iterations`` are since the last one stopped."""

    point: Point
    iterations: int
    gradient: float
    converged: bool


class ConvexLoss(Protocol):
    """A convex loss of weights ``[c, r+1]``; ``d`` columns, ``r`` axes, ``c`` classes."""

    @property
    def rows(self) -> Callable[[], Iterator[Tensor]]:
        """Goes through the rows once, ``[m, d]`` float32, centred, in pieces."""

    @property
    def axes(self) -> Tensor | None:
        """``[d, r]`` orthonormal; None where the columns are the axes."""

    @property
    def spectrum(self) -> Tensor:
        """``[r]`` mean squares along the axes."""

    @property
    def n_classes(self) -> int:
        """``c``."""

    def at(self, w: Tensor) -> Point:
        """Evaluate ``w`` ``[c, r+1]``."""


@dataclass(frozen=True)
class Multinomial:
    """One class a row, by softmax; ``n`` rows.

    Attributes:
        rows, axes, spectrum, n_classes: as of ``ConvexLoss``; each class has a row.
        labels: ``[n]`` integers in ``0 … c-1``.
    """

    rows: Callable[[], Iterator[Tensor]]
    axes: Tensor | None
    spectrum: Tensor
    labels: Tensor
    n_classes: int

    def at(self, w: Tensor) -> Point:
        """As of ``ConvexLoss``."""
        gradient, loss, unsure, n = _sums(self, w, self.labels, _residual)
        return Point(w, loss / n, gradient, float(unsure) / n / max(1, self.n_classes - 1))


@dataclass(frozen=True)
class OneVsRest:
    """Every class by itself, by the logistic function: ``c`` problems over the same ``n`` rows, side by side.

    The objective is the sum over the classes; none has a part in another's, so that the minimum of the sum is
    that of each.

    Attributes:
        rows, axes, spectrum: as of ``ConvexLoss``.
        signs: ``[c, n]`` 1 where a row shows the class, -1 where it does not, 0 where it does not count.
    """

    rows: Callable[[], Iterator[Tensor]]
    axes: Tensor | None
    spectrum: Tensor
    signs: Tensor

    @property
    def n_classes(self) -> int:
        """``c``."""
        return len(self.signs)

    def at(self, w: Tensor) -> Point:
        """As of ``ConvexLoss``."""
        gradient, loss, unsure, n = _sums(self, w, self.signs, _binary_residual)
        return Point(w, loss / n, gradient, (unsure / n).float()[:, None])


def _sums(
    problem: ConvexLoss,
    w: Tensor,
    labels: Tensor,
    residual_of: Callable[[Tensor, Tensor], tuple[Tensor, Tensor, Tensor]],
) -> tuple[Tensor, float, Tensor, int]:
    """What a loss needs, from going through the rows once.

    Args:
        problem: whose rows.
        w: ``[c, r+1]``.
        labels: ``[…, n]``.
        residual_of: of logits ``[c, m]`` and labels ``[…, m]``: the derivative of the loss by the logits
            ``[c, m]``, the losses, and the doubts ``[…, m]``.

    Returns: the mean gradient ``[c, r+1]``, the sum of the losses, the sums of the doubts, and ``n``.
    """
    slopes = w[:, :-1] if problem.axes is None else w[:, :-1] @ problem.axes.T  # [c, d]
    pull = torch.zeros_like(slopes)
    lean = slopes.new_zeros(len(w), dtype=torch.float64)
    loss, unsure, start = 0.0, lean.new_zeros(()), 0
    for x in problem.rows():
        logits = torch.nn.functional.linear(x, slopes, w[:, -1]).T.contiguous()  # [c, m]
        residual, losses, doubts = residual_of(logits, labels[..., start : start + len(x)])
        pull.addmm_(residual, x)
        lean += residual.sum(1, dtype=torch.float64)
        loss += float(losses.sum(dtype=torch.float64))
        unsure = unsure + doubts.sum(-1, dtype=torch.float64)
        start += len(x)
    pull = pull if problem.axes is None else pull @ problem.axes
    return torch.cat([pull, lean.float()[:, None]], 1) / start, loss, unsure, start


def _residual(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of ``[c, m]``: probabilities less 1 at the true class; losses ``[m]``; ``1 − Σⱼ pⱼ²`` ``[m]``."""
    true = labels[None]
    margins = logits.sub_(logits.gather(0, true))
    top = margins.amax(0)  # [m], at least 0
    odds = margins.sub_(top).exp_().scatter_(0, true, 0)
    wrong = odds.sum(0)
    total = wrong + torch.exp(-top)
    mistake = wrong / total
    residual = odds.div_(total).scatter_(0, true, -mistake[None])
    losses = top + torch.log1p(wrong + torch.expm1(-top))
    return residual, losses, 2 * mistake - residual.square().sum(0)


def _binary_residual(logits: Tensor, signs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of ``[c, m]``: ``−s σ(−s f)``; losses ``log(1 + exp(−s f))``; ``p (1 − p)``; all 0 where ``s`` is."""
    margins = logits.mul_(signs)
    mistake = torch.sigmoid(-margins)
    counted = signs.abs()
    losses = torch.nn.functional.softplus(-margins).mul_(counted)
    return -mistake * signs, losses, mistake * (1 - mistake) * counted


class Descent:
    """Fits penalties one after another; each starts where the last ended, knowing what it knew.

    One that is much weaker than the last is reached by way of those between: where the data are separable,
    its loss is all but flat far from the minimum, and a descent would stop at whatever it met first.

    Args:
        problem: what is fitted.
        limits: when a fit stops.
    """

    def __init__(self, problem: ConvexLoss, limits: StoppingRule) -> None:
        self._problem = problem
        self._limits = limits
        self._spectrum = torch.cat([problem.spectrum, problem.spectrum.new_ones(1)])
        origin = self._spectrum.new_zeros(problem.n_classes, len(self._spectrum))
        self._memory = _Memory(origin)
        self._point = problem.at(origin)
        self._ridge = float(problem.spectrum.max())

    def fit(self, ridge: float) -> Solution:
        """Descend for the penalty per row ``ridge``."""
        way = self._approach(ridge) if ridge <= WEAK * self._ridge else 0
        self._ridge = ridge
        fit = self._fit(ridge, replace(self._limits, iterations=self._limits.iterations - way))
        return replace(fit, iterations=way + fit.iterations)

    def _approach(self, ridge: float) -> int:
        """Descend to near ``ridge`` by penalties that weaken; the iterations it took."""
        stronger, last = self._ridge, STRIDE * max(ridge, torch.finfo(torch.float32).tiny)
        taken = 0
        while stronger > last:
            left = min(ON_THE_WAY.iterations, self._limits.iterations - taken)
            taken += self._fit(stronger, replace(ON_THE_WAY, iterations=left)).iterations
            stronger /= STRIDE
        self._memory = _Memory(self._point.w)  # what was learnt so roughly does not say when to stop
        return taken

    def _fit(self, ridge: float, limits: StoppingRule) -> Solution:
        penalty = torch.full_like(self._spectrum, ridge)  # [r+1]
        penalty[-1] = 0
        self._memory.penalise(penalty)
        step = 1.0
        for iteration in range(limits.iterations + 1):
            point = self._point
            gradient = point.pull + penalty * point.w
            inverse = 1 / (self._spectrum * point.unsure + penalty).clamp(min=1e-20)
            direction = -self._memory.times(gradient, inverse)
            slope = _dot(gradient, direction)
            norm = float(gradient.norm())
            stuck = step == 0 or slope == 0
            trusted = stuck or len(self._memory) >= TRUSTED
            near = -slope / 2 <= limits.tolerance * _objective(point, penalty)
            converged = norm <= limits.flat or (near and trusted)
            if converged or stuck or iteration == limits.iterations:
                break
            self._point, step = self._advance(penalty, direction, slope)
            self._memory.add(step * direction, self._point.pull - point.pull)
        return Solution(point, iteration, norm, converged)

    def _advance(self, penalty: Tensor, direction: Tensor, slope: float) -> tuple[Point, float]:
        """Go along ``direction`` until the objective has fallen enough; also the step.

        A step too long is shortened to the minimum of the parabola through what is known. It is 0 where
        float32 finds nothing lower.
        """
        start, step = self._point, 1.0
        for _ in range(TRIES):
            point = self._problem.at(start.w + step * direction)
            bend = _dot(penalty * direction, start.w + step / 2 * direction)
            rise = point.loss - start.loss + step * bend
            there = _dot(point.pull + penalty * point.w, direction)
            flatter = rise <= NOISE * start.loss and abs(there) <= -slope / 2
            if rise <= ENOUGH * step * slope or flatter:
                return point, step
            shorter = -slope * step / (2 * (rise / step - slope)) if rise < float("inf") else 0.0
            step = min(max(shorter, 0.1 * step), 0.5 * step)
        return start, 0.0


def _objective(point: Point, penalty: Tensor) -> float:
    return point.loss + _dot(penalty * point.w, point.w) / 2


class _Memory:
    """What L-BFGS knows of the curvature: the last steps and how the gradient changed over them.

    The two loops over the pairs are a handful of products in the compact form of Byrd et al. [3]. With the
    steps as rows of ``S``, the changes of the gradient as rows of ``Y``, ``D`` the diagonal of ``SYᵀ``, ``R``
    its upper triangle, and ``H₀`` the diagonal to start from, the inverse Hessian is

        H = H₀ + Sᵀ R⁻ᵀ (D + Y H₀ Yᵀ) R⁻¹ S − H₀ Yᵀ R⁻¹ S − Sᵀ R⁻ᵀ Y H₀.

    Args:
        like: a step, for its shape, type and device.

    [3] Byrd, Nocedal and Schnabel, Representations of quasi-Newton matrices and their use in limited memory
        methods, Mathematical Programming 1994.
    """

    def __init__(self, like: Tensor) -> None:
        most = max(LEAST_MEMORY, min(MEMORY, MEMORY_ELEMENTS // like.numel()))
        self._penalty = torch.zeros_like(like).flatten()
        self._steps, self._changes, self._pulls = like.new_zeros(3, most, like.numel())  # S, of the loss, Y
        self._products = like.new_zeros(most, most, dtype=torch.float64)  # SYᵀ
        self._count = self._oldest = 0  # pairs; which is the oldest

    def __len__(self) -> int:
        return self._count

    def penalise(self, penalty: Tensor) -> None:
        """From now on the penalties per row are ``penalty`` ``[r+1]``; pairs without curvature go."""
        self._penalty = penalty.repeat(len(self._penalty) // len(penalty))
        steps, changes = (self._in_order(rows) for rows in (self._steps, self._changes))
        pulls = changes + self._penalty * steps
        kept = (steps * pulls).sum(1) > 0
        steps, changes, pulls = steps[kept], changes[kept], pulls[kept]
        self._count, self._oldest = len(steps), 0
        for rows, known in ((self._steps, steps), (self._changes, changes), (self._pulls, pulls)):
            rows[: self._count] = known
        self._products[: self._count, : self._count] = (steps @ pulls.T).double()

    def add(self, step: Tensor, change: Tensor) -> None:
        """Remember ``step`` and the change of the loss's gradient over it; the oldest is forgotten."""
        step, change = step.flatten(), change.flatten()
        pull = change + self._penalty * step
        if not _dot(step, pull) > 0:  # a pair without curvature says nothing
            return
        if self._count < len(self._steps):
            row = self._count
            self._count += 1
        else:
            row = self._oldest
            self._oldest = (row + 1) % len(self._steps)
        self._steps[row], self._changes[row], self._pulls[row] = step, change, pull
        self._products[:, row] = (self._steps @ pull).double()

    def times(self, gradient: Tensor, diagonal: Tensor) -> Tensor:
        """The inverse Hessian times ``gradient``, starting from ``diagonal`` scaled to the last pair."""
        if not self._count:
            return gradient * diagonal
        steps, pulls = self._steps[: self._count], self._pulls[: self._count]
        g, start = gradient.flatten(), diagonal.expand_as(gradient).flatten()
        upper = self._in_order(self._in_order(self._products[:, : self._count]).T).T.triu()  # R
        bends = self._in_order(self._in_order(((pulls * start) @ pulls.T).double()).T)  # Y H₀ Yᵀ, unscaled
        scale = upper[-1, -1] / bends[-1, -1]
        start = start * scale.to(start.dtype)
        along = self._in_order((steps @ g).double())[:, None]
        across = self._in_order((pulls @ (start * g)).double())[:, None]
        u = torch.linalg.solve_triangular(upper, along, upper=True)
        lifted = upper.diagonal()[:, None] * u + scale * (bends @ u) - across
        v = torch.linalg.solve_triangular(upper.T, lifted, upper=False)
        u, v = (one[:, 0].roll(self._oldest).to(g.dtype) for one in (u, v))
        return (start * (g - u @ pulls) + v @ steps).view_as(gradient)

    def _in_order(self, rows: Tensor) -> Tensor:
        """Those of ``rows`` that are in use, the oldest first."""
        used = rows[: self._count]
        return used.roll(-self._oldest, 0) if self._oldest else used


def _dot(a: Tensor, b: Tensor) -> float:
    return float(torch.dot(a.flatten(), b.flatten()))
