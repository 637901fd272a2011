from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression
from torch.testing import assert_close

from tests.reference import logistic as reference
from transferkit.core.errors import ShapeError, UsageError
from transferkit.core.out_of_core import Blocks
from transferkit.core.seeding import generator
from transferkit.probes.solvers.lbfgs import StoppingRule
from transferkit.probes.solvers.logistic import STOPPING_RULE, logistic_path

PENALTIES = [1e-2, 1e2, 1.0]  # in no order
CLOSE = StoppingRule(tolerance=1e-8, gradient_tolerance=0, max_iterations=300)


def blobs(n, d, c, *, spread=1.0, name="blobs"):
    """Return rows around class means on correlated axes of very different lengths; every class has a row."""
    rng = generator(0, name, n, d, c)
    y = rng.permutation(np.arange(n) % c)
    x = rng.normal(size=(c, d))[y] + spread * rng.normal(size=(n, d))
    x = x * np.geomspace(3, 0.03, d) @ np.linalg.qr(rng.normal(size=(d, d)))[0] + rng.normal(size=d)
    return torch.from_numpy(x.astype(np.float32)), torch.from_numpy(y)


def objective(x, labels, weights, biases, penalty):
    logits = x.double() @ weights.double() + biases.double()
    nll = torch.nn.functional.cross_entropy(logits, labels, reduction="sum")
    return float(nll + penalty / 2 * weights.double().square().sum())


def of_scikit_learn(x, labels, penalty, **options):
    model = LogisticRegression(C=1 / penalty, max_iter=1000, **options)
    return model.fit(x.double().numpy(), labels.numpy())


@pytest.mark.parametrize(("n", "d", "c"), [(60, 4, 3), (12, 30, 3), (10, 10, 4), (40, 5, 6)])
def test_the_gradient_vanishes(n, d, c):
    x, y = blobs(n, d, c)
    assert logistic_path(x, y, PENALTIES, c).converged.all()
    path = logistic_path(x, y, PENALTIES, c, stopping=CLOSE)  # to the precision of float32
    for i, penalty in enumerate(PENALTIES):
        parts = reference.gradient(x, y.tolist(), path.weights[i], path.biases[i], penalty)
        steepest = max(abs(value) for part in (*parts[0], parts[1]) for value in part)
        assert steepest < 3e-3 * max(1, penalty * float(path.weights[i].abs().max()))


def test_the_minimum_equals_that_of_bfgs():
    x, y = blobs(25, 3, 3)
    path = logistic_path(x, y, [0.5], 3)

    def of_vector(v):
        return reference.objective(x, y.tolist(), v[:9].reshape(3, 3), v[9:], 0.5)

    best = minimize(of_vector, np.zeros(12), method="BFGS").fun
    found = reference.objective(x, y.tolist(), path.weights[0], path.biases[0], 0.5)
    assert found == pytest.approx(best, rel=1e-5)


@pytest.mark.parametrize(
    ("n", "d", "c", "spread"),
    [
        (400, 20, 5, 2.0),
        (400, 20, 2, 2.0),  # two classes: one vector, penalised differently
        (60, 200, 4, 1.0),  # more columns than rows, separable
        (900, 12, 30, 0.3),
    ],
)
def test_as_low_as_scikit_learn_for_every_penalty(n, d, c, spread):
    x, y = blobs(n, d, c, spread=spread)
    penalties = np.geomspace(1e-6, 1e5, 12).tolist()
    path = logistic_path(x, y, penalties, c)
    assert path.converged.all()
    for i, penalty in enumerate(penalties):
        theirs = of_scikit_learn(x, y, penalty)
        weights, biases = torch.from_numpy(theirs.coef_.T), torch.from_numpy(theirs.intercept_)
        strength = penalty
        if c == 2:
            weights, biases, strength = (
                torch.cat([-weights, weights], 1) / 2,
                torch.stack([-biases, biases], 1) / 2,
                2 * penalty,
            )
        ours = objective(x, y, path.weights[i], path.biases[i], strength)
        assert ours <= objective(x, y, weights, biases, strength) * (1 + 1e-4)


@pytest.mark.parametrize("c", [2, 5])
def test_predictions_agree_with_scikit_learn_run_to_convergence(c):
    x, y = blobs(300, 20, c, spread=2.0)
    new, _ = blobs(2000, 20, c, spread=2.0, name="new")
    penalties = [1e-3, 1e-1, 10.0, 1e3]
    path = logistic_path(x, y, penalties, c)
    for i, penalty in enumerate(penalties):
        theirs = of_scikit_learn(x, y, penalty, solver="newton-cholesky", tol=1e-8)
        logits = new @ path.weights[i] + path.biases[i]
        assert (logits.argmax(1).numpy() == theirs.predict(new.double().numpy())).mean() >= 0.995
        far = logits.softmax(1).double().numpy() - theirs.predict_proba(new.double().numpy())
        assert np.abs(far).mean() < 2e-3


def fitted(x, y, c, new):
    path = logistic_path(x, y, PENALTIES, c, stopping=CLOSE)
    return new @ path.weights + path.biases[:, None]


def test_order_of_rows_and_rotation_do_not_matter():
    x, y = blobs(80, 8, 4)
    new, _ = blobs(20, 8, 4, name="new")
    plain = fitted(x, y, 4, new)
    order = torch.from_numpy(generator(0, "order").permutation(80))
    assert_alike(fitted(x[order], y[order], 4, new), plain)
    rotation = torch.linalg.qr(torch.from_numpy(generator(0, "turn").normal(size=(8, 8)))).Q.float()
    assert_alike(fitted(x @ rotation, y, 4, new @ rotation), plain)


def assert_alike(found, expected):
    """Assert equality; at the weakest penalty float32 cannot resolve some directions, and rounding varies."""
    assert_close(found[1:], expected[1:], atol=5e-3, rtol=1e-3)
    assert_close(found[0], expected[0], atol=2e-2, rtol=1e-2)


def test_a_shift_of_the_features_does_not_matter():
    x, y = blobs(80, 8, 4)
    new, _ = blobs(20, 8, 4, name="new")
    assert_close(fitted(x + 100, y, 4, new + 100), fitted(x, y, 4, new), atol=2e-2, rtol=1e-2)


def test_duplicated_rows_equal_half_the_penalty():
    x, y = blobs(50, 6, 3)
    once = logistic_path(x, y, [1.0], 3, stopping=CLOSE)
    twice = logistic_path(torch.cat([x, x]), torch.cat([y, y]), [2.0], 3, stopping=CLOSE)
    assert_close(once.weights, twice.weights, atol=1e-3, rtol=1e-3)


def blocks(x, cuts=(7, 7, 31)):
    """Return ``x`` as out-of-core blocks in uneven chunks, one of them empty."""
    return Blocks(tuple(x.shape), x.numpy().dtype, lambda: iter(np.split(x.numpy(), cuts)))


@pytest.mark.parametrize(("n", "d"), [(60, 8), (40, 70)])  # the second is loaded completely: it has few rows
def test_out_of_core_rows_give_the_same_fit(n, d):
    x, y = blobs(n, d, 4)
    before = x.clone()
    streamed = logistic_path(blocks(x), y, PENALTIES, 4, stopping=CLOSE)
    whole = logistic_path(x, y, PENALTIES, 4, stopping=CLOSE)
    assert torch.equal(x, before)
    assert_close(streamed.weights, whole.weights, atol=5e-3, rtol=1e-2)
    assert_close(streamed.biases, whole.biases, atol=5e-3, rtol=1e-2)


def test_a_fit_does_not_depend_on_other_penalties():
    x, y = blobs(60, 40, 4)
    alone = logistic_path(x, y, PENALTIES[2:], 4, stopping=CLOSE)
    assert_close(x @ alone.weights[0] + alone.biases[0], fitted(x, y, 4, x)[2], atol=2e-2, rtol=1e-2)


@pytest.mark.gpu
def test_gpu_and_cpu_give_the_same_fit():
    x, y = blobs(60, 40, 4)
    path = logistic_path(x.cuda(), y.cuda(), PENALTIES, 4, stopping=CLOSE)
    logits = x.cuda() @ path.weights + path.biases[:, None]
    assert_close(logits.cpu(), fitted(x, y, 4, x), atol=2e-2, rtol=1e-2)


def test_the_same_input_gives_the_same_bytes():
    x, y = blobs(60, 40, 4)
    a, b = (logistic_path(x, y, PENALTIES, 4) for _ in range(2))
    assert torch.equal(a.weights, b.weights)
    assert torch.equal(a.biases, b.biases)


def test_a_strong_penalty_leaves_the_class_frequencies():
    x, y = blobs(90, 5, 3)
    y[:30] = 0
    path = logistic_path(x, y, [1e9], 3)
    frequencies = torch.bincount(y).float() / 90
    assert_close(path.biases[0].softmax(0), frequencies, atol=5e-4, rtol=0)
    assert path.weights.abs().max() < 1e-6


def test_separable_data_are_separated_by_the_widest_margin():
    x = torch.tensor([[0.0, 0.0], [0.0, 4.0], [2.0, 1.0], [2.0, 3.0]])
    path = logistic_path(x, torch.tensor([0, 0, 1, 1]), [1e-6], 2)
    normal = path.weights[0, :, 1] - path.weights[0, :, 0]
    assert path.converged.all()
    assert abs(normal[1] / normal[0]) < 0.02
    assert -path.biases[0].diff() / normal[0] == pytest.approx(1, abs=0.02)


def test_constant_columns_get_no_weight():
    x, y = blobs(50, 6, 3)
    x[:, 2] = 1000.0
    path = logistic_path(x, y, PENALTIES, 3)
    assert path.converged.all()
    assert path.weights[:, 2].abs().max() < 1e-4


def test_constant_features_give_the_class_frequencies():
    path = logistic_path(torch.zeros(6, 3), torch.tensor([0, 0, 0, 1, 1, 2]), [1.0], 3)
    assert_close(path.biases[0].softmax(0), torch.tensor([3, 2, 1]) / 6, atol=5e-4, rtol=0)


def test_a_class_without_rows_is_never_predicted():
    x, y = blobs(60, 5, 3)
    sparse = logistic_path(x, y * 2, PENALTIES, 6)
    dense = logistic_path(x, y, PENALTIES, 3)
    assert_close(sparse.weights[:, :, ::2], dense.weights)
    assert (sparse.weights[:, :, 1::2] == 0).all()
    probabilities = (x @ sparse.weights[0] + sparse.biases[0]).softmax(1)
    assert (probabilities[:, 1::2] == 0).all()


def test_one_class_is_a_constant():
    x, _ = blobs(10, 4, 2)
    path = logistic_path(x, torch.full((10,), 2), PENALTIES, 3)
    assert path.converged.all()
    assert (x @ path.weights[0] + path.biases[0]).softmax(1).tolist() == [[0, 0, 1]] * 10


def test_one_row_and_one_column():
    assert logistic_path(torch.ones(1, 3), torch.tensor([0]), [1.0], 1).converged.all()
    one = logistic_path(torch.tensor([[0.0], [1.0]]), torch.tensor([0, 1]), [1.0], 2)
    assert ((torch.tensor([[0.0], [1.0]]) @ one.weights[0] + one.biases[0]).argmax(1) == torch.tensor([0, 1])).all()


def test_float16_features_near_their_limit_do_not_overflow():
    x, y = blobs(60, 5, 3)
    x = (x / x.abs().max() * 6e4).half()
    path = logistic_path(x, y, PENALTIES, 3)
    assert path.weights.isfinite().all()
    single = logistic_path(x.float(), y, PENALTIES, 3)
    assert torch.equal(path.weights, single.weights)


def test_a_fit_that_reaches_its_iteration_limit_has_not_converged():
    x, y = blobs(60, 5, 3)
    path = logistic_path(x, y, [1e-4, 1e9], 3, stopping=replace(STOPPING_RULE, max_iterations=4))
    assert path.converged.tolist() == [False, True]
    assert path.iterations[0] == 4
    assert path.gradients[0] > 1e-4


@pytest.mark.parametrize(
    ("x", "y", "penalties", "error", "words"),
    [
        (torch.zeros(3), torch.zeros(3, dtype=int), [1.0], ShapeError, r"not \[3\] and \[3\]"),
        (torch.zeros(0, 3), torch.zeros(0, dtype=int), [1.0], ShapeError, "at least 1"),
        (torch.zeros(3, 0), torch.zeros(3, dtype=int), [1.0], ShapeError, "at least 1"),
        (torch.zeros(3, 2), torch.zeros(2, dtype=int), [1.0], ShapeError, r"not \[3, 2\] and \[2\]"),
        (torch.zeros(3, 2), torch.tensor([0, 1, 2]), [1.0], ShapeError, "0 … 1"),
        (
            torch.zeros(3, 2),
            torch.tensor([0, 1, 1]),
            [1.0, 0.0],
            UsageError,
            r"Penalties \[1.0, 0.0\] are invalid",
        ),
        (torch.zeros(3, 2), torch.tensor([0, 1, 1]), [], UsageError, "give at least one"),
    ],
)
def test_invalid_inputs_are_refused(x, y, penalties, error, words):
    with pytest.raises(error, match=words):
        logistic_path(x, y, penalties, 2)


@pytest.mark.parametrize("before", [[], [1e3]], ids=["alone", "after a strong one"])
@pytest.mark.parametrize("penalty", [1e-6, 1e-5])
def test_a_weak_penalty_generalises_as_at_the_end_of_a_path(penalty, before):
    """Separable rows make the loss flat far from the minimum, where a fit that starts from zero would stop."""
    rng = torch.Generator().manual_seed(0)
    scales = 1 / torch.arange(1, 601)
    signal = [torch.randn(n, 600, generator=rng) * scales for n in (200, 1000)]
    seen, unseen = (x + 0.01 * torch.randn(x.shape, generator=rng) for x in signal)
    classifier = torch.randn(600, 10, generator=rng) * (torch.arange(600) < 30)[:, None]
    y, truth = ((x @ classifier).argmax(1) for x in (seen, unseen))

    def right(path):
        return float(((unseen @ path.weights[0] + path.biases[0]).argmax(1) == truth).float().mean())

    found = logistic_path(seen, y, [penalty, *before], 10)
    assert found.iterations[0] >= 1
    assert right(found) > right(logistic_path(seen, y, np.geomspace(penalty, 1e3, 30).tolist(), 10)) - 0.03


def graded(n, big, small):
    """Return ten classes that 56 columns of scale ``small`` separate, and 8 more columns of scale ``big``.

    Fifty rows are separable: the gradient decides when a fit stops.

    Returns: training rows and labels, test rows and labels, and the scales.
    """
    rng = generator(0, "graded")
    y = rng.permutation(np.arange(n + 1000) % 10)
    x, scale = rng.normal(size=(len(y), 64)), np.where(np.arange(64) < 8, big, small)
    x[:, 8:] += 0.45 * rng.normal(size=(10, 56))[y]
    return x[:n] * scale, y[:n], x[n:] * scale, y[n:], scale


def minimum(x, y, penalty, scale):
    """Return weights, biases and objective at the minimum, from SciPy's L-BFGS in float64 on rescaled columns."""
    z, truth = (x - x.mean(0)) / scale, np.eye(10)[y]
    strength = penalty / scale[:, None] ** 2

    def of_vector(v):
        w, b = v[:640].reshape(64, 10), v[640:]
        log_p = log_softmax(z @ w + b, axis=1)
        residual = np.exp(log_p) - truth
        gradient = np.append((z.T @ residual + strength * w).ravel(), residual.sum(0))
        return -(log_p * truth).sum() + (strength * w**2).sum() / 2, gradient

    options = {"maxiter": 10**4, "ftol": 1e-14, "gtol": 1e-7, "maxcor": 50}
    found = minimize(of_vector, np.zeros(650), jac=True, method="L-BFGS-B", options=options)
    w = found.x[:640].reshape(64, 10) / scale[:, None]
    return w, found.x[640:] - x.mean(0) @ w, found.fun


@pytest.mark.parametrize(("n", "excess"), [(1000, 1e-4), (50, 1e-2)])
@pytest.mark.parametrize(("big", "small"), [(1, 1), (1e3, 1e-1), (1e3, 1e-3), (1e4, 1e-3), (1e5, 1e-3)])
def test_scales_of_columns_that_differ_by_far_do_not_change_the_minimum(n, excess, big, small):
    x, y, new, truth, scale = graded(n, big, small)
    x, penalty = x.astype(np.float32), 3 * small**2
    path = logistic_path(torch.from_numpy(x), torch.from_numpy(y), [penalty], 10)
    assert path.converged.all()
    w, b, best = minimum(x.astype(np.float64), y, penalty, scale)
    rows = torch.from_numpy(x), torch.from_numpy(y)
    assert objective(*rows, path.weights[0], path.biases[0], penalty) <= (1 + excess) * best
    answers = (new @ path.weights[0].double().numpy() + path.biases[0].numpy()).argmax(1)
    assert abs((answers == truth).mean() - ((new @ w + b).argmax(1) == truth).mean()) < 0.01


@pytest.mark.parametrize("small", [1, 1e-1, 1e-2, 1e-3])
def test_a_converged_fit_is_at_the_minimum_even_if_no_column_is_small(small):
    """After the rotation all columns are large, and float32 cannot resolve the small directions."""
    x, y, _, _, scale = graded(1000, 1e3, small)
    rotation = np.linalg.qr(generator(0, "turn").normal(size=(64, 64)))[0]
    x, penalty = (x @ rotation).astype(np.float32), 3 * small**2
    rows = torch.from_numpy(x), torch.from_numpy(y)
    path = logistic_path(*rows, [penalty], 10)
    best = minimum(x.astype(np.float64) @ rotation.T, y, penalty, scale)[2]
    low = objective(*rows, path.weights[0], path.biases[0], penalty) <= 1.001 * best
    assert low or not path.converged.all()
