"""Many convex descents that share their products with the data: L-BFGS on principal axes, in batches.

One problem, logistic regression of ``n`` rows on ``r`` axes and a constant; ``p`` fits of it that differ in
their penalty. Every array ends in ``p``, so that finished fits are dropped by one index.

- All fits share one ``z @ w`` and one ``z.T @ residual`` an iteration.
- Along the principal axes the Hessian is nearly diagonal, ``spectrum · w̄ + λ`` with ``w̄`` the mean of
  ``(1 − Σⱼ pⱼ²) / (c − 1)`` over the rows; L-BFGS [1] starts from its inverse.
- Logits are kept as margins over the true class. Losses and residuals are then exact to the last digits
  of float32 even where the data are separable and the loss all but vanishes.

[1] Nocedal, Updating quasi-Newton matrices with limited storage, Mathematics of Computation 1980.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

MEMORY = 10
"""Pairs of steps and gradient changes that L-BFGS remembers."""

TRUSTED = 3
"""Iterations after which the distance to the minimum is believed: before, L-BFGS knows too little."""

TRIES = 20
"""Steps tried along one direction; the first is nearly always good."""


@dataclass(frozen=True)
class Fits:
    """Where fits stopped: ``w`` is ``[r+1, c, p]``, its last row the biases; the others are ``[p]``."""

    w: Tensor
    iterations: Tensor
    gradients: Tensor
    converged: Tensor

    def note(
        self, state: "_State", over: Tensor, iteration: int, gradient: Tensor, converged: Tensor
    ) -> None:
        """Write down where the fits that are ``over`` ``[p]`` stand."""
        which = state.which[over]
        self.w[..., which] = state.w[..., over]
        self.iterations[which] = iteration
        self.gradients[which] = gradient[..., over].square().sum((0, 1)).sqrt()
        self.converged[which] = converged[over]


@dataclass(frozen=True)
class _State:
    """The fits still under way, ``p`` of them; every array ends in ``p``.

    Attributes:
        which: ``[p]`` their places in the group.
        ridge: ``[r+1, 1, p]`` penalties per row; 0 for the bias.
        w: ``[r+1, c, p]``.
        margins: ``[n, c, p]`` logits less the true class's.
        residual: ``[n, c, p]`` probabilities less 1 at the true class.
        loss: ``[p]`` mean over the rows, float64.
    """

    which: Tensor
    ridge: Tensor
    w: Tensor
    margins: Tensor
    residual: Tensor
    loss: Tensor

    def of(self, columns: Tensor) -> "_State":
        """Only the fits that ``columns`` names."""
        return _State(**{name: value[..., columns] for name, value in vars(self).items()})

    @property
    def objective(self) -> Tensor:
        """``[p]`` per row."""
        return self.loss + (self.ridge * self.w.square()).sum((0, 1)) / 2


@dataclass(frozen=True)
class Solver:
    """One problem; the penalties come and go.

    Attributes:
        z: ``[n, r+1]`` rows along their principal axes; the last column is 1.
        spectrum: ``[r+1]`` mean squares of the columns of ``z``.
        labels: ``[n]`` integers in ``0 … n_classes-1``.
        n_classes: ``c``; each has a row.
        tolerance: of the estimated distance to the minimum, as a fraction of the objective.
        max_iterations: a fit stops here at the latest.
    """

    z: Tensor
    spectrum: Tensor
    labels: Tensor
    n_classes: int
    tolerance: float
    max_iterations: int

    def solve(self, ridge: Tensor, w: Tensor) -> Fits:
        """Descend from ``w`` ``[r+1, c, p]`` for the penalties per row ``ridge`` ``[p]``."""
        fits = Fits(
            w.clone(),
            torch.zeros_like(ridge, dtype=torch.int64),
            torch.zeros_like(ridge),
            torch.zeros_like(ridge, dtype=torch.bool),
        )
        state, memory = self._start(ridge, w), _Memory()
        step = torch.ones_like(ridge)
        for iteration in range(self.max_iterations + 1):
            gradient = self._gradient(state)  # [r+1, c, p]
            memory.complete(gradient)
            direction = -memory.times(gradient, self._inverse_hessian(state))
            slope = _dot(gradient, direction)  # [p]
            near = -slope / 2 <= self.tolerance * state.objective
            stuck = (step == 0) | (slope == 0)
            converged = near & (stuck | (iteration >= TRUSTED))
            over = converged | stuck | (iteration == self.max_iterations)
            fits.note(state, over, iteration, gradient, converged)
            if over.all():
                break
            if over.any():
                state, direction, slope = state.of(~over), direction[..., ~over], slope[~over]
                gradient = gradient[..., ~over]
                memory.keep(~over)
            state, step = self._advance(state, direction, slope)
            memory.begin(step * direction, gradient)
        return fits

    def _start(self, ridge: Tensor, w: Tensor) -> _State:
        penalised = ridge.expand(len(w), 1, -1).clone()
        penalised[-1] = 0
        margins = self._margins(w)
        residual, loss = self.residual(margins)
        return _State(torch.arange(len(ridge), device=w.device), penalised, w, margins, residual, loss)

    def _margins(self, w: Tensor) -> Tensor:
        """``[n, c, p]`` logits of ``w`` less the true class's; linear in ``w``."""
        logits = (self.z @ w.flatten(1)).view(-1, *w.shape[1:])
        return logits.sub_(logits[self._rows, self.labels].unsqueeze(1))

    def residual(self, margins: Tensor) -> tuple[Tensor, Tensor]:
        """Probabilities less 1 at the true class ``[n, c, p]``, and the mean loss ``[p]``."""
        top = margins.amax(1)  # [n, p], at least 0
        odds = margins.sub(top.unsqueeze(1)).exp_()
        odds[self._rows, self.labels] = 0
        wrong = odds.sum(1)
        total = wrong + torch.exp(-top)
        odds.div_(total.unsqueeze(1))
        odds[self._rows, self.labels] = -wrong / total
        loss = top + torch.log1p(wrong + torch.expm1(-top))
        return odds, loss.mean(0, dtype=torch.float64)

    def _gradient(self, state: _State) -> Tensor:
        """``[r+1, c, p]`` of the objective per row."""
        pull = self.z.T @ state.residual.flatten(1)
        return (pull.view(state.w.shape) / len(self.labels)).addcmul_(state.ridge, state.w)

    def _inverse_hessian(self, state: _State) -> Tensor:
        """``[r+1, 1, p]`` diagonal, a rough one: see the top of this file for ``w̄``."""
        unsure = -2 * state.residual[self._rows, self.labels] - state.residual.square().sum(1)  # [n, p]
        mean = unsure.mean(0) / max(1, self.n_classes - 1)
        return 1 / (self.spectrum[:, None, None] * mean + state.ridge).clamp(min=1e-20)

    def _advance(self, state: _State, direction: Tensor, slope: Tensor) -> tuple[_State, Tensor]:
        """Go along ``direction`` to about where the objective stops falling; also the steps ``[p]``."""
        line = _Line(self, state, direction, self._margins(direction))
        step, residual, loss = line.search(slope)
        moved = replace(
            state,
            w=state.w + step * direction,
            margins=state.margins.addcmul_(line.onward, step),
            residual=residual,
            loss=loss,
        )
        return moved, step

    @property
    def _rows(self) -> Tensor:
        return torch.arange(len(self.labels), device=self.labels.device)


@dataclass(frozen=True)
class _Line:
    """The objective along one direction for each fit.

    The margins ``onward`` along it are known, so a step is tried without a product with ``x``.
    """

    solver: Solver
    start: _State
    direction: Tensor
    onward: Tensor

    def search(self, slope: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Steps ``[p]`` at which the objective is lower and its slope at most half of ``slope``.

        Newton's method, kept between steps known to be too short and too long: the objective is convex,
        so its slope says which. A step is 0 where float32 finds nothing lower.

        Returns: steps, and the residuals and losses there.
        """
        short, long = torch.zeros_like(slope), torch.full_like(slope, torch.inf)
        step = -slope / self._slopes(short, self.start.residual)[1]
        for _ in range(TRIES):
            residual, loss = self._at(step)
            slope_there, bend = self._slopes(step, residual)
            higher = loss - self.start.loss + self._ridge_rise(step) > 0
            good = ~higher & (slope_there.abs() <= slope.abs() / 2)
            if good.all():
                return step, residual, loss
            beyond = higher | (slope_there > 0)
            short, long = torch.where(beyond, short, step), torch.where(beyond, step, long)
            newton = step - slope_there / bend
            middle = torch.where(long.isinf(), 2 * step, (short + long) / 2)
            inside = (short < newton) & (newton < long)
            step = torch.where(good, step, torch.where(inside, newton, middle))
        step = torch.where(good, step, 0)
        return step, *self._at(step)

    def _at(self, step: Tensor) -> tuple[Tensor, Tensor]:
        return self.solver.residual(torch.addcmul(self.start.margins, self.onward, step))

    def _slopes(self, step: Tensor, residual: Tensor) -> tuple[Tensor, Tensor]:
        """First and second derivative at ``step``, ``[p]``."""
        ridge = self.start.ridge
        pulls = residual * self.onward  # the true class's margin is 0 all along
        mean = pulls.sum(1)  # [n, p]
        spread = pulls.mul_(self.onward).sum(1) - mean.square()
        first = mean.mean(0) + (ridge * self.direction).mul_(self.start.w + step * self.direction).sum((0, 1))
        return first, spread.mean(0) + (ridge * self.direction.square()).sum((0, 1))

    def _ridge_rise(self, step: Tensor) -> Tensor:
        change = step * self.direction
        return (self.start.ridge * change * (self.start.w + change / 2)).sum((0, 1))


class _Memory:
    """What L-BFGS knows of the curvature: the last steps and how the gradient changed over them."""

    def __init__(self) -> None:
        self._pairs: list[tuple[Tensor, Tensor, Tensor]] = []  # s, y [r+1, c, p] and 1 / (s · y) [p]
        self._begun: tuple[Tensor, Tensor] | None = None

    def begin(self, step: Tensor, gradient: Tensor) -> None:
        """Remember ``step``, taken from where ``gradient`` was."""
        self._begun = step, gradient

    def complete(self, gradient: Tensor) -> None:
        """Say what the gradient is after the step; the oldest pair is forgotten."""
        if self._begun is not None:
            s, before = self._begun
            y = gradient - before
            product = _dot(s, y)
            inverse = torch.where(product > 0, 1 / product, 0)  # a pair without curvature says nothing
            self._pairs = [*self._pairs, (s, y, inverse)][-MEMORY:]

    def keep(self, columns: Tensor) -> None:
        """Forget all other fits."""
        self._pairs = [(s[..., columns], y[..., columns], q[..., columns]) for s, y, q in self._pairs]

    def times(self, gradient: Tensor, diagonal: Tensor) -> Tensor:
        """The inverse Hessian times ``gradient``, starting from ``diagonal`` scaled to the last pair."""
        out, weights = gradient.clone(), []
        for s, y, inverse in reversed(self._pairs):
            weights.append(inverse * _dot(s, out))
            out.addcmul_(y, weights[-1], value=-1)
        out *= diagonal
        if self._pairs:
            _, y, inverse = self._pairs[-1]
            out *= torch.where(inverse > 0, 1 / (inverse * _dot(y, y * diagonal)), 1)
        for (s, y, inverse), weight in zip(self._pairs, reversed(weights), strict=True):
            out.addcmul_(s, weight - inverse * _dot(y, out))
        return out


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """``[p]`` inner products of ``[r+1, c, p]``."""
    return (a * b).sum((0, 1))
