import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.decomposition import PCA

from transferkit.analysis.transferability.directions import principal_components
from transferkit.core.seeding import generator


@pytest.mark.parametrize(("n", "d"), [(50, 8), (8, 50)])
def test_agrees_with_scikit_learn_up_to_signs_and_one_unit(n, d):
    x = generator(0, "pca", n, d).normal(size=(n, d)) * np.linspace(1, 3, d) + 7
    z, variances = principal_components(x)
    k = min(n - 1, d)
    unit = np.abs(x - x.mean(0)).max()
    expected = PCA(k).fit_transform(x) / unit
    assert z.shape == (n, k)
    assert_allclose(np.abs(z), np.abs(expected), atol=1e-9)
    assert_allclose(variances, expected.var(axis=0), rtol=1e-9)


@pytest.mark.parametrize(("energy", "k"), [(0.5, 1), (0.8, 2), (0.81, 3), (1.0, 4)])
def test_the_fewest_components_that_reach_the_energy_are_kept(energy, k):
    """The four orthogonal columns have 50 %, 30 %, 10 % and 10 % of the variance."""
    h = np.array([[1, 1], [1, -1]])
    x = np.kron(np.kron(h, h), h)[:, 1:5] * np.sqrt([5, 3, 1, 1])
    assert principal_components(x, energy=energy)[0].shape == (8, k)
    assert principal_components(x, energy=energy, most=2)[0].shape == (8, min(k, 2))


def test_constants_have_one_component_of_zeros():
    z, variances = principal_components(np.full((5, 3), 0.1))
    assert (z.tolist(), variances.tolist()) == ([[0.0]] * 5, [0.0])
