import numpy as np
import pytest

from tests.reference import transferability as reference
from transferkit.analysis.transferability.bhattacharyya import DIRECTIONS, bhattacharyya_score
from transferkit.core.seeding import generator


def example(n=60, d=5, c=4, apart=1.0):
    rng = generator(0, "gbc", n, d)
    y = rng.permutation(np.arange(n) % c)
    return rng.normal(size=(n, d)) * rng.uniform(0.5, 3, size=d) + apart * rng.normal(size=(c, d))[y], y


@pytest.mark.parametrize("gaussian", ["spherical", "diagonal"])
@pytest.mark.parametrize("d", [5, 2])
def test_agrees_with_the_general_form_by_determinants(gaussian, d):
    x, y = example(d=d)
    expected = reference.gbc(x, y.tolist(), gaussian)
    assert bhattacharyya_score(x, y, gaussian=gaussian) == pytest.approx(expected, rel=1e-7)


def test_classes_of_one_distribution_overlap_wholly_and_far_ones_not_at_all():
    x, _ = example()
    twice, y = np.concatenate([x, x]), np.repeat([0, 1], 60)
    assert bhattacharyya_score(twice, y) == pytest.approx(-2)
    assert bhattacharyya_score(twice + 1e3 * y[:, None], y) == pytest.approx(0, abs=1e-12)


def test_no_more_directions_than_64_take_part():
    rng = generator(0, "many")
    y = np.arange(300) % 2
    x = rng.normal(size=(300, 100)) + 0.3 * y[:, None]
    first = (x - x.mean(0)) @ np.linalg.svd(x - x.mean(0), full_matrices=False)[2].T[:, :DIRECTIONS]
    assert DIRECTIONS == 64
    assert bhattacharyya_score(x, y) == pytest.approx(reference.gbc(first, y.tolist(), "spherical"), rel=1e-6)


def test_constant_features_overlap_wholly():
    assert bhattacharyya_score(np.full((6, 3), 0.1), np.arange(6) % 3) == -6


def test_points_do_not_overlap():
    y = np.arange(30) % 3
    assert bhattacharyya_score(np.eye(3)[y], y) == pytest.approx(0, abs=1e-12)
