"""The salient region's place, size, number and hue."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from tests.semantics.pictures import constant, discs, noise
from transferkit.semantics.measure import measure

REGIONS = ["salient_position", "salient_size", "salient_count", "salient_hue"]


@pytest.mark.parametrize("disc", [(0.5, 0.5, 0.3), (0.3, 0.62, 0.15), (0.71, 0.25, 0.2)])
@pytest.mark.parametrize("side", [32, 64, 96, 224])
def test_a_disc_has_its_place_and_its_size(disc, side):
    square, _ = discs(side, disc)
    measured = measure(square, REGIONS)
    assert_allclose(measured["salient_position"], disc[:2], atol=0.01)
    assert_allclose(measured["salient_size"], np.pi * disc[2] ** 2, rtol=0.06)
    assert_allclose(measured["salient_count"], np.log(2), rtol=1e-6)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_discs_are_counted(count):
    centres = [(0.25, 0.25), (0.75, 0.3), (0.3, 0.75), (0.72, 0.7)][:count]
    square, covered = discs(96, *((x, y, 0.12) for x, y in centres))
    measured = measure(square, REGIONS)
    assert_allclose(np.expm1(measured["salient_count"]), count, rtol=1e-5)
    assert_allclose(measured["salient_size"], covered.mean(), rtol=1e-5)
    assert_allclose(measured["salient_position"], np.mean(centres, axis=0), atol=0.01)


@pytest.mark.parametrize(("ink", "hue"), [((230, 20, 20), (1, 0)), ((20, 20, 230), (-0.5, -(3**0.5) / 2))])
def test_the_hue_is_that_of_the_disc_whatever_the_ground(ink, hue):
    square, _ = discs(64, (0.5, 0.5, 0.2), ink=ink, paper=(90, 160, 90))
    assert_allclose(measure(square, REGIONS)["salient_hue"], hue, atol=0.02)
    assert measure(square, ["hue"])["hue"] @ np.array(hue) < 0.5


def test_a_gray_disc_has_no_hue():
    square, _ = discs(64, (0.5, 0.5, 0.2), ink=(220, 220, 220), paper=(60, 60, 60))
    assert measure(square, REGIONS)["salient_hue"].tolist() == [0, 0]


@pytest.mark.parametrize("side", [8, 64, 224])
def test_where_nothing_stands_out(side):
    measured = measure(constant(side, (10, 200, 90)), REGIONS)
    assert {name: value.tolist() for name, value in measured.items()} == {
        "salient_position": [0.5, 0.5],
        "salient_size": [0],
        "salient_count": [0],
        "salient_hue": [0, 0],
    }


def test_noise_has_finite_numbers():
    for value in measure(noise(64), REGIONS).values():
        assert np.isfinite(value).all()
