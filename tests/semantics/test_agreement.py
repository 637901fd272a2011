"""Agreement of measured targets with recorded factors."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from tests.reference.semantics import circular_correlation
from transferkit.core.errors import ShapeError
from transferkit.mini import objects
from transferkit.mini.canvas import quantised
from transferkit.semantics.agreement import agreement
from transferkit.semantics.measure import measure_batch


def points(radians):
    return np.stack([np.cos(radians), np.sin(radians)], axis=1)


def test_pearsons_coefficient():
    x, y = np.random.default_rng(0).normal(size=(2, 30))
    assert_allclose(agreement(x, y), np.corrcoef(x, y)[0, 1])
    assert_allclose(agreement(x[:, None], 3 - 2 * x), -1)


def test_angles_against_the_sum_over_pairs():
    rng = np.random.default_rng(0)
    a = rng.uniform(0, 7, 20)
    b = a + rng.normal(0, 0.8, 20)
    assert_allclose(agreement(points(a), b, period=2 * np.pi), circular_correlation(a, b))


def test_a_constant_turn_changes_nothing():
    a = np.random.default_rng(0).uniform(0, 2 * np.pi, 40)
    assert_allclose(agreement(points(a), (a / (2 * np.pi) + 0.3) % 1, period=1.0), 1)
    assert_allclose(agreement(points(a), -a, period=2 * np.pi), -1)


def test_an_orientation_has_half_the_period():
    a = np.random.default_rng(0).uniform(0, np.pi, 40)
    assert_allclose(agreement(points(2 * a), a + np.pi, period=np.pi), 1)


def test_unrelated_angles_have_none():
    a, b = np.random.default_rng(0).uniform(0, 2 * np.pi, (2, 2000))
    assert abs(agreement(points(a), b, period=2 * np.pi)) < 0.05


def test_rows_without_an_angle_are_left_out():
    a = np.random.default_rng(0).uniform(0, 2 * np.pi, 10)
    estimated = np.concatenate([points(a), np.zeros((3, 2))])
    assert_allclose(agreement(estimated, np.append(a, [1, 2, 3]), period=2 * np.pi), 1)


def test_what_never_varies_agrees_with_nothing():
    x = np.arange(5.0)
    assert agreement(np.full(5, 0.1), x) == 0
    assert agreement(x, np.full(5, 0.1)) == 0
    assert agreement(np.tile([0.6, 0.8], (5, 1)), x, period=7.0) == 0


@pytest.mark.parametrize(
    ("estimated", "factor", "period", "words"),
    [
        (
            np.zeros(3),
            np.zeros(4),
            None,
            r"^Estimates \[3, 1\] and a factor \[4\] do not match: give \[n, 1\]",
        ),
        (np.zeros((3, 2)), np.zeros(3), None, r"Estimates \[3, 2\]"),
        (np.zeros((3, 1)), np.zeros(3), 1.0, r"give \[n, 2\] and \[n\]\.$"),
        (np.zeros((3, 2)), np.zeros(3), 1.0, r"^A correlation needs two rows or more, not 0\.$"),
        (np.zeros(1), np.zeros(1), None, r"two rows or more, not 1\.$"),
    ],
)
def test_rows_that_do_not_match(estimated, factor, period, words):
    with pytest.raises(ShapeError, match=words):
        agreement(estimated, factor, period=period)


@pytest.fixture(scope="module")
def drawn():
    """Targets and factors of 128 drawn objects of all shapes."""
    kinds = list(objects.SHAPES) * 8
    pictures = [objects.draw(kind, np.random.default_rng(row)) for row, kind in enumerate(kinds)]
    squares = np.stack([quantised(canvas).transpose(2, 0, 1) for canvas, _ in pictures])
    names = ["salient_position", "salient_size", "salient_hue"]
    factors = {name: np.array([one[name] for _, one in pictures]) for name in pictures[0][1]}
    return measure_batch(squares, names), factors


def test_drawn_objects_are_found_where_they_were_drawn(drawn):
    targets, factors = drawn
    for column, name in enumerate(["position_x", "position_y"]):
        assert agreement(targets["salient_position"][:, column], factors[name]) > 0.75


def test_drawn_objects_are_as_large_as_they_were_drawn(drawn):
    targets, factors = drawn
    assert agreement(np.sqrt(targets["salient_size"]), factors["size"]) > 0.45


def test_drawn_objects_have_the_hue_they_were_drawn_with(drawn):
    """Only plain objects are compared, since other textures mix in a second colour."""
    targets, factors = drawn
    plain = factors["texture"] == objects.TEXTURES.index("plain")
    assert plain.sum() > 10
    assert agreement(targets["salient_hue"][plain], factors["hue"][plain], period=1.0) > 0.8
