import numpy as np
import pytest

from tests.reference import separation as reference
from transferkit.analysis.spectrum import effective_rank, eigenvalues, spectrum_decay
from transferkit.core.errors import NonFiniteError, ShapeError
from transferkit.core.seeding import generator


def features(n, d, decay=0.5):
    rng = generator(0, "spectrum", n, d)
    return rng.normal(size=(n, d)) * np.arange(1, d + 1) ** -decay + 0.3


@pytest.mark.parametrize(("n", "d"), [(60, 12), (12, 60), (20, 20)])
def test_effective_rank_agrees_with_the_reference(n, d):
    x = features(n, d)
    assert effective_rank(x) == pytest.approx(reference.effective_rank(x), rel=1e-9)


@pytest.mark.parametrize(("n", "d", "last"), [(300, 150, 100), (60, 40, 40), (40, 90, 39)])
def test_decay_agrees_with_the_reference(n, d, last):
    x = features(n, d)
    assert spectrum_decay(x) == pytest.approx(reference.spectrum_decay(x, 4, last), rel=1e-6)


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0])
def test_a_power_law_is_found(alpha):
    """Columns of a Hadamard matrix are centred and orthogonal: the spectrum is exactly the one put in."""
    h = np.array([[1.0]])
    while len(h) < 128:
        h = np.block([[h, h], [h, -h]])
    x = h[:, 1:] * np.arange(1, 128) ** (-alpha / 2)
    assert spectrum_decay(x) == pytest.approx(alpha)


@pytest.mark.parametrize("rank", [1, 3, 8])
def test_equal_directions_are_counted(rank):
    x = np.linalg.qr(generator(0, "turn").normal(size=(20, 8)))[0][:, :rank] @ np.eye(8)[:rank]
    assert effective_rank(x) == pytest.approx(rank)


def test_rotation_scale_and_duplication_do_not_matter():
    x = features(60, 30)
    turn = np.linalg.qr(generator(0, "turn").normal(size=(30, 30)))[0]
    changed = np.repeat(1e-3 * x @ turn, 2, axis=0)
    assert effective_rank(changed) == pytest.approx(effective_rank(x))
    assert spectrum_decay(changed) == pytest.approx(spectrum_decay(x))


def test_shift_does_not_matter_to_the_decay():
    x = features(60, 30)
    assert spectrum_decay(x + 7) == pytest.approx(spectrum_decay(x))


def test_constant_features_have_one_direction_and_no_decay():
    assert effective_rank(np.full((50, 20), 3.7)) == pytest.approx(1)
    assert spectrum_decay(np.full((50, 20), 3.0)) is None
    assert effective_rank(np.zeros((50, 20))) is None


def test_few_directions_have_no_decay():
    assert spectrum_decay(features(100, 12)) is None
    assert spectrum_decay(features(100, 13)) is not None


def test_constant_columns_do_not_count():
    x = features(60, 30)
    assert spectrum_decay(np.hstack([x, np.ones((60, 5))])) == pytest.approx(spectrum_decay(x))


def test_eigenvalues_descend_and_rounding_is_zero():
    x = features(40, 3) @ features(3, 20)
    values = eigenvalues(x)
    assert (values[:3] > 0).all()
    assert (np.diff(values) <= 0).all()
    assert not values[3:].any()
    assert values.sum() == pytest.approx((x**2).sum())


@pytest.mark.parametrize("function", [effective_rank, spectrum_decay])
def test_what_is_no_finite_matrix_is_refused(function):
    with pytest.raises(ShapeError, match=r"not \[3\]"):
        function(np.ones(3))
    with pytest.raises(NonFiniteError, match="first in row 0"):
        function([[np.inf]])


@pytest.mark.parametrize("function", [effective_rank, spectrum_decay])
def test_half_precision_is_computed_in_full(function):
    x = features(60, 30).astype(np.float16)
    assert function(x) == function(x.astype(np.float64))
