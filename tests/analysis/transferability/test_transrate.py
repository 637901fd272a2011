import numpy as np
import pytest

from tests.reference import transferability as reference
from transferkit.analysis.transferability.transrate import DISTORTION, transrate
from transferkit.core.seeding import generator


def example(n, d, c=3):
    rng = generator(0, "transrate", n, d)
    y = rng.integers(c, size=n)
    return rng.normal(size=(n, d)) + rng.normal(size=(c, d))[y], y


@pytest.mark.parametrize(("n", "d"), [(50, 6), (50, 1), (20, 15), (12, 40)])
def test_agrees_with_the_definition(n, d):
    x, y = example(n, d)
    assert transrate(x, y) == pytest.approx(reference.transrate(x, y.tolist(), DISTORTION), rel=1e-7)


def test_labels_drawn_at_random_tell_little_and_never_less_than_nothing():
    """log det is concave: the rate of all is at least the mean rate of the parts."""
    x, _ = example(600, 4)
    value = transrate(x, generator(0, "labels").integers(3, size=600))
    assert 0 <= value < 0.05


def test_two_points_tell_the_rate_of_their_line():
    x = np.array([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [-1.0, 0.0]])
    assert transrate(x, [0, 0, 1, 1]) == pytest.approx(0)  # each class still holds the line through 0
    y = np.arange(30) % 3
    points = np.eye(3)[y]
    whole, each = np.log(1 + 0.5 / DISTORTION), np.log(1 + 1 / DISTORTION) / 2
    assert transrate(points, y) == pytest.approx(whole - each)


def test_a_row_at_the_mean_stays_there():
    x = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    assert np.isfinite(transrate(x, [0, 1, 0, 1]))
