import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from torch.testing import assert_close

from tests.reference import ridge as reference
from transferkit.core.errors import ShapeError, UsageError
from transferkit.core.seeding import generator
from transferkit.probes.solvers.ridge import ridge_weights

SHAPES = [(20, 6), (6, 20), (6, 6)]  # primal, dual, square
PENALTIES = [3.0, 0.01, 100.0]  # in no order


def problem(n, d, t=3):
    rng = generator(0, "ridge", n, d, t)
    return torch.from_numpy(rng.normal(size=(n, d)) + 2), torch.from_numpy(rng.normal(size=(n, t)) - 1)


@pytest.mark.parametrize(("n", "d"), SHAPES)
def test_the_normal_equations_hold(n, d):
    x, y = problem(n, d)
    weights, biases = ridge_weights(x, y, PENALTIES)
    assert weights.shape == (3, d, 3)
    assert biases.shape == (3, 3)
    for penalty, w, b in zip(PENALTIES, weights, biases, strict=True):
        residual = x @ w + b - y
        assert_close(x.T @ residual + penalty * w, torch.zeros_like(w), atol=1e-9, rtol=0)
        assert_close(residual.sum(0), torch.zeros_like(b), atol=1e-9, rtol=0)


@pytest.mark.parametrize(("n", "d"), SHAPES)
def test_agrees_with_the_reference_target_by_target(n, d):
    x, y = problem(n, d)
    weights, biases = ridge_weights(x, y, PENALTIES)
    for i, penalty in enumerate(PENALTIES):
        for j in range(3):
            w, b = reference.weights_and_bias(x.tolist(), y[:, j].tolist(), penalty)
            assert_close(weights[i, :, j], torch.tensor(w, dtype=torch.float64))
            assert biases[i, j].item() == pytest.approx(b)


@pytest.mark.parametrize(("n", "d"), [(200, 30), (30, 200)])
def test_agrees_with_scikit_learn(n, d):
    x, y = problem(n, d, t=4)
    weights, biases = ridge_weights(x, y, [0.5])
    theirs = Ridge(alpha=0.5).fit(x.numpy(), y.numpy())
    assert_close(weights[0], torch.from_numpy(theirs.coef_.T))
    assert_close(biases[0], torch.from_numpy(theirs.intercept_))


def test_primal_and_dual_meet():
    """Columns of zeros turn a tall problem into a wide one with the same solution."""
    x, y = problem(20, 6)
    tall, biases = ridge_weights(x, y, PENALTIES)
    wide, same = ridge_weights(torch.cat([x, torch.zeros(20, 30)], 1), y, PENALTIES)
    assert_close(wide[:, :6], tall)
    assert_close(wide[:, 6:], torch.zeros(3, 30, 3).double(), atol=1e-12, rtol=0)
    assert_close(same, biases)


@pytest.mark.parametrize(("n", "d"), SHAPES)
def test_shift_rotation_and_order_of_rows_do_not_matter(n, d):
    x, y = problem(n, d)
    new, _ = problem(5, d)
    turn = torch.linalg.qr(torch.from_numpy(generator(0, "turn").normal(size=(d, d)))).Q
    order = torch.from_numpy(generator(0, "order").permutation(n))
    weights, biases = ridge_weights(x, y, PENALTIES)
    moved, moved_biases = ridge_weights((x + 50)[order] @ turn, y[order], PENALTIES)
    found = (new + 50) @ turn @ moved + moved_biases[:, None]
    assert_close(found, new @ weights + biases[:, None], atol=1e-8, rtol=1e-8)


def test_every_row_twice_is_half_the_penalty():
    x, y = problem(12, 5)
    once, _ = ridge_weights(x, y, [1.0])
    twice, _ = ridge_weights(torch.cat([x, x]), torch.cat([y, y]), [2.0])
    assert_close(once, twice)


def test_a_weak_penalty_is_least_squares_and_a_strong_one_the_mean():
    x, y = problem(20, 6)
    (weak, strong), (_, bias) = ridge_weights(x, y, [1e-10, 1e12])
    ones = torch.cat([x, torch.ones(20, 1)], 1)
    assert_close(weak, torch.linalg.lstsq(ones, y).solution[:-1])
    assert strong.abs().max() < 1e-9
    assert_close(bias, y.mean(0))


def test_one_row_is_its_own_target():
    x, y = problem(1, 4)
    weights, biases = ridge_weights(x, y, PENALTIES)
    assert (weights == 0).all()
    assert_close(biases, y.expand(3, 3))


def test_constant_columns_get_no_weight():
    x, y = problem(20, 6)
    x[:, 2] = 1000.0
    weights, _ = ridge_weights(x, y, [1e-3])
    assert weights[:, 2].abs().max() < 1e-9 * weights.abs().max()


@pytest.mark.parametrize(("given", "returned"), [("float16", "float32"), ("float32", "float32")])
def test_half_precision_is_computed_in_full(given, returned):
    x, y = problem(20, 6)
    x = (1000 * x).to(getattr(torch, given))
    weights, biases = ridge_weights(x, y.float(), [2.0])
    exact, level = ridge_weights(x.double(), y.float(), [2.0])
    assert (weights.dtype, biases.dtype) == (getattr(torch, returned),) * 2
    assert_close(weights.double(), exact, atol=0, rtol=1e-6)
    assert_close(biases.double(), level, atol=0, rtol=1e-6)


@pytest.mark.parametrize(
    ("x", "y", "penalties", "error", "words"),
    [
        (np.zeros(3), np.zeros((3, 1)), [1.0], ShapeError, r"not \[3\] and \[3, 1\]"),
        (np.zeros((3, 2)), np.zeros((2, 1)), [1.0], ShapeError, r"not \[3, 2\] and \[2, 1\]"),
        (np.zeros((3, 0)), np.zeros((3, 1)), [1.0], ShapeError, "at least 1"),
        (np.zeros((3, 2)), np.zeros((3, 0)), [1.0], ShapeError, "at least 1"),
        (np.zeros((3, 2)), np.zeros((3, 1)), [], UsageError, "give at least one"),
        (np.zeros((3, 2)), np.zeros((3, 1)), [1.0, 0.0], UsageError, r"Penalties \[1.0, 0.0\] are invalid"),
        (np.zeros((3, 2)), np.zeros((3, 1)), [float("inf")], UsageError, r"Penalties \[inf\] are invalid"),
    ],
)
def test_invalid_inputs_are_refused(x, y, penalties, error, words):
    with pytest.raises(error, match=words):
        ridge_weights(torch.from_numpy(x), torch.from_numpy(y), penalties)
