import pytest
import torch
from torch.testing import assert_close

from tests.reference import logistic as reference
from transferkit.probes.solvers import lbfgs
from transferkit.probes.solvers.lbfgs import LBFGS, Multinomial, StoppingRule, _InverseHessian

CLOSE = StoppingRule(tolerance=1e-8, gradient_tolerance=0, max_iterations=200)


def problem(n=40, r=5, c=3, chunks=1, seed=0):
    rng = torch.Generator().manual_seed(seed)
    x = torch.randn(n, r, generator=rng) * torch.logspace(0.5, -1, r)
    labels = torch.arange(n) % c
    x[labels == 0, 0] += 1
    return Multinomial(lambda: iter(x.chunk(chunks)), None, x.square().mean(0), labels, c), x


def objective(fit, l2):
    return fit.point.loss + l2 / 2 * float(fit.point.w[:, :-1].double().square().sum())


def test_loss_and_gradient_equal_the_reference():
    task, x = problem(n=12)
    w = torch.randn(3, 6, generator=torch.Generator().manual_seed(1))
    point = task.at(w)
    weights, biases = w[:, :-1].T, w[:, -1]
    loss = reference.objective(x, task.labels.tolist(), weights, biases, 0)
    by_weight, by_bias = reference.gradient(x, task.labels.tolist(), weights, biases, 0)
    assert point.loss == pytest.approx(loss / 12, rel=1e-5)
    assert_close(point.gradient[:, :-1].T * 12, torch.tensor(by_weight), atol=1e-4, rtol=1e-4)
    assert_close(point.gradient[:, -1] * 12, torch.tensor(by_bias), atol=1e-4, rtol=1e-4)
    p = (x @ weights + biases).softmax(1)
    assert point.hessian_weight == pytest.approx(float((1 - p.square().sum(1)).mean()) / 2, rel=1e-4)


def test_chunks_and_rotated_axes_give_the_same_gradient():
    task, x = problem()
    rotation = torch.linalg.qr(torch.randn(5, 5, generator=torch.Generator().manual_seed(2))).Q
    rotated = Multinomial(lambda: iter((x @ rotation.T).chunk(7)), rotation, task.variances, task.labels, 3)
    w = torch.randn(3, 6, generator=torch.Generator().manual_seed(1))
    assert task.at(w).loss == pytest.approx(rotated.at(w).loss, rel=1e-6)
    assert_close(task.at(w).gradient, rotated.at(w).gradient, atol=1e-5, rtol=1e-5)


def test_margins_of_thousands_are_exact():
    task = Multinomial(lambda: iter((torch.tensor([[1e4], [-1e4]]),)), None, torch.ones(1), torch.tensor([0, 1]), 2)
    point = task.at(torch.tensor([[-0.5, 0.0], [0.5, 0.0]]))
    assert point.loss == 1e4
    assert_close(point.gradient[:, 0], torch.tensor([-1e4, 1e4]))
    right = task.at(torch.tensor([[1e-3, 0.0], [-1e-3, 0.0]]))  # a margin of 20
    assert right.loss == pytest.approx(2.0611536e-9, rel=1e-5)


@pytest.mark.parametrize("l2", [10.0, 1e-1, 1e-3])
def test_the_gradient_vanishes(l2):
    fit = LBFGS(problem()[0], CLOSE).fit(l2)
    gradient = fit.point.gradient.clone()
    gradient[:, :-1] += l2 * fit.point.w[:, :-1]
    assert fit.converged
    assert fit.gradient_norm == pytest.approx(float(gradient.norm()), rel=1e-4, abs=1e-7)
    assert fit.gradient_norm < 1e-4


def test_the_history_speeds_up_the_next_penalty():
    path = LBFGS(problem(200, 30, 5)[0], CLOSE)
    path.fit(1e-2)
    following = path.fit(8e-3)
    assert following.iterations < LBFGS(problem(200, 30, 5)[0], CLOSE).fit(8e-3).iterations


def test_a_short_history_needs_more_iterations_for_the_same_minimum(monkeypatch):
    much = LBFGS(problem(200, 30, 5)[0], CLOSE).fit(1e-3)
    monkeypatch.setattr(lbfgs, "HISTORY_ELEMENTS", 1)
    little = LBFGS(problem(200, 30, 5)[0], CLOSE).fit(1e-3)
    assert little.iterations >= much.iterations
    assert_close(little.point.w, much.point.w, atol=2e-2, rtol=2e-2)


@pytest.mark.parametrize(
    ("stopping", "converged"),
    [
        (StoppingRule(tolerance=0, gradient_tolerance=1e-2, max_iterations=100), True),
        (StoppingRule(tolerance=1e-2, gradient_tolerance=0, max_iterations=100), True),
        (StoppingRule(tolerance=0, gradient_tolerance=0, max_iterations=2), False),
    ],
)
def test_each_limit_stops_the_fit(stopping, converged):
    fit = LBFGS(problem()[0], stopping).fit(1e-4)
    best = LBFGS(problem()[0], CLOSE).fit(1e-4)
    assert fit.converged == converged
    assert fit.iterations < best.iterations
    assert objective(fit, 1e-4) > objective(best, 1e-4)
    if stopping.gradient_tolerance:
        assert fit.gradient_norm <= stopping.gradient_tolerance


def test_the_secant_equation_holds_after_a_change_of_penalty():
    rng = torch.Generator().manual_seed(3)
    history = _InverseHessian(torch.zeros(3, 4))
    history.set_l2(torch.tensor([1.0, 1, 1, 0]))
    for _ in range(4):
        step = torch.randn(3, 4, generator=rng)
        change = step * torch.tensor([1.0, 2, 3, 4])
        history.add(step, change)
    penalty = torch.tensor([0.5, 0.5, 0.5, 0])
    history.set_l2(penalty)
    assert len(history) == 4
    assert_close(history.multiply(change + penalty * step, torch.ones(4)), step)  # the secant equation


@pytest.mark.parametrize("added", [1, 4, 7, 12])
def test_the_compact_form_equals_the_two_loop_recursion(monkeypatch, added):
    monkeypatch.setattr(lbfgs, "HISTORY_SIZE", 5)
    rng = torch.Generator().manual_seed(added)
    history = _InverseHessian(torch.zeros(3, 4, dtype=torch.float64))
    penalty = torch.tensor([1.0, 1, 1, 0], dtype=torch.float64)
    history.set_l2(penalty)
    pairs = []
    for number in range(added):
        step = torch.randn(3, 4, generator=rng, dtype=torch.float64)
        change = step * (1 + torch.rand(3, 4, generator=rng, dtype=torch.float64))
        if number == 2:
            change = -10 * step  # no positive curvature: not stored
        else:
            pairs = [*pairs, (step, change + penalty * step)][-5:]
        history.add(step, change)
    gradient = torch.randn(3, 4, generator=rng, dtype=torch.float64)
    diagonal = torch.rand(4, generator=rng, dtype=torch.float64)
    assert len(history) == len(pairs)
    assert_close(history.multiply(gradient, diagonal), two_loops(pairs, gradient, diagonal))


def test_pairs_without_curvature_under_a_new_penalty_are_dropped():
    rng = torch.Generator().manual_seed(5)
    history = _InverseHessian(torch.zeros(3, 4, dtype=torch.float64))
    strong, weak = (torch.tensor([l2] * 3 + [0.0], dtype=torch.float64) for l2 in (9.0, 0.1))
    history.set_l2(strong)
    pairs = []
    for number in range(4):
        step = torch.randn(3, 4, generator=rng, dtype=torch.float64)
        change = step if number else -step  # only the penalty gives the oldest pair positive curvature
        history.add(step, change)
        pairs = [*pairs, (step, change + weak * step)] if number else pairs
    assert len(history) == 4
    history.set_l2(weak)
    gradient = torch.randn(3, 4, generator=rng, dtype=torch.float64)
    diagonal = torch.rand(4, generator=rng, dtype=torch.float64)
    assert len(history) == 3
    assert_close(history.multiply(gradient, diagonal), two_loops(pairs, gradient, diagonal))


def two_loops(pairs, gradient, diagonal):
    """Nocedal and Wright, Numerical optimization, algorithm 7.4."""
    q, weights = gradient.clone(), []
    for s, y in reversed(pairs):
        weights.append((s * q).sum() / (s * y).sum())
        q = q - weights[-1] * y
    s, y = pairs[-1]
    r = q * diagonal * (s * y).sum() / (y * y * diagonal).sum()
    for (s, y), weight in zip(pairs, reversed(weights), strict=True):
        r = r + s * (weight - (y * r).sum() / (s * y).sum())
    return r
