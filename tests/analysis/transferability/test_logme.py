import numpy as np
import pytest

from tests.reference import transferability as reference
from transferkit.analysis.transferability.logme import logme
from transferkit.core.seeding import generator


def example(n, d, c=3, apart=1.0):
    rng = generator(0, "logme", n, d)
    y = rng.permutation(np.arange(n) % c)
    return rng.normal(size=(n, d)) + apart * rng.normal(size=(c, d))[y] + 0.5, y


@pytest.mark.parametrize(("n", "d"), [(24, 5), (16, 16), (10, 20)])
@pytest.mark.parametrize("apart", [0.5, 2.0])
def test_agrees_with_the_evidence_maximised_numerically(n, d, apart):
    x, y = example(n, d, apart=apart)
    assert logme(x, y) == pytest.approx(reference.logme(x, y.tolist()), abs=1e-5)


def test_fewer_directions_than_columns_agree_too():
    x, y = example(20, 3)
    x = x @ generator(0, "mix").normal(size=(3, 9))
    assert logme(x, y) == pytest.approx(reference.logme(x, y.tolist()), abs=1e-5)


def test_features_that_say_nothing_leave_the_evidence_of_noise():
    """Zeros explain nothing: the best β is n over the sum of squares, and the evidence is in closed form."""
    y = np.array([0, 0, 0, 1])
    count = np.array([3, 1])
    expected = -(np.log(count / 4) + 1 + np.log(2 * np.pi)).mean() / 2
    assert logme(np.zeros((4, 2)), y) == pytest.approx(expected)


def test_targets_that_fit_exactly_score_high_and_finite():
    y = np.arange(30) % 3
    exact = logme(np.eye(3)[y], y)
    noisy = logme(np.eye(3)[y] + 0.01 * generator(0, "noise").normal(size=(30, 3)), y)
    assert np.isfinite(exact)
    assert exact > noisy > logme(*example(30, 3))
