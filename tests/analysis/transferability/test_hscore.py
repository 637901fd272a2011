import numpy as np
import pytest
from sklearn.covariance import ledoit_wolf

from tests.reference import transferability as reference
from transferkit.analysis.transferability.hscore import h_score, regularized_h_score
from transferkit.core.seeding import generator


def example(n, d, c=4):
    rng = generator(0, "hscore", n, d)
    y = rng.permutation(np.arange(n) % c)
    return rng.normal(size=(n, d)) * rng.uniform(0.5, 3, size=d) + rng.normal(size=(c, d))[y], y


@pytest.mark.parametrize(("n", "d"), [(60, 6), (60, 1), (12, 30)])
def test_agrees_with_explicit_matrices(n, d):
    x, y = example(n, d)
    if d == 1:
        share = reference.class_mean_rows(x, y.tolist()).var() / x.var()
        assert h_score(x, y) == pytest.approx(share)
        return
    assert h_score(x, y) == pytest.approx(reference.h_score(x, y.tolist()), rel=1e-7)


@pytest.mark.parametrize(("n", "d"), [(60, 6), (12, 30)])
def test_the_regularised_one_agrees_with_explicit_matrices(n, d):
    x, y = example(n, d)
    assert regularized_h_score(x, y) == pytest.approx(reference.regularized_h_score(x, y.tolist()))
    assert reference.ledoit_wolf(x)[0] == pytest.approx(ledoit_wolf(x)[0])


def test_no_invertible_linear_map_matters():
    x, y = example(60, 6)
    mix = generator(0, "mix").normal(size=(6, 6))
    assert h_score(x @ mix + 3, y) == pytest.approx(h_score(x, y))


def test_classes_that_are_points_explain_all_of_their_directions():
    y = np.arange(30) % 5
    assert h_score(generator(0, "points").normal(size=(5, 9))[y], y) == pytest.approx(4)


def test_fewer_rows_than_features_explain_everything_unless_regularised():
    x, y = generator(0, "noise").normal(size=(20, 50)), np.arange(20) % 4
    assert h_score(x, y) == pytest.approx(3)
    assert regularized_h_score(x, y) < 1
