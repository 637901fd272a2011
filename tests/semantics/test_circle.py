"""Angles as points on the circle."""

import numpy as np
from numpy.testing import assert_allclose

from transferkit.semantics.circle import direction


def test_a_direction_has_length_one():
    assert_allclose(direction(3, 4, 7), [0.6, 0.8])


def test_scale_is_of_no_account():
    assert_allclose(direction(3e-6, -4e-6, 7e-6), direction(3, -4, 7))


def test_vectors_that_cancel_have_no_direction():
    assert direction(1e-5, 0, 1).tolist() == [0, 0]
    assert direction(1e-3, 0, 1).tolist() == [1, 0]


def test_nothing_has_no_direction():
    assert np.array_equal(direction(0, 0, 0), [0, 0])
