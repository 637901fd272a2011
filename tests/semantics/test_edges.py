"""Edges, which way they run, how they bend, where they meet."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from skimage.feature import corner_shi_tomasi

from tests.reference import semantics as reference
from tests.semantics.pictures import constant, discs, grating, gray, half_turns, noise, places, turned
from transferkit.semantics.measure import measure
from transferkit.semantics.scene import Scene, smoothed

EDGES = [
    "edge_density",
    "orientation",
    "orientation_histogram",
    "curvature",
    "corner_density",
    "junction_density",
]


def turn_between(a, b):
    """Degrees between two orientations."""
    return abs((a - b + 90) % 180 - 90)


def count(square, name):
    """Return the number of corners or junctions."""
    return measure(square, [name])[name][0] * min(square.shape[1], 96) ** 2 / 1000


def checks(side, cells):
    x, y = places(side)
    return gray(0.2 + 0.6 * ((np.floor(x * cells) + np.floor(y * cells)) % 2))


@pytest.mark.parametrize("side", [8, 15, 24])
def test_orientation_is_what_plain_loops_give(side):
    square = noise(side, side)
    measured = measure(square, EDGES)
    assert turn_between(half_turns(measured["orientation"]), reference.orientation_degrees(square)) < 0.01
    sums = reference.orientation_histograms(square).sum(0)
    assert_allclose(measured["orientation_histogram"], sums / sums.sum(), atol=1e-5)


@pytest.mark.parametrize("degrees", [0, 10, 45, 80, 90, 120, 157.5, 175])
@pytest.mark.parametrize("side", [48, 96, 224])
def test_a_grating_runs_as_it_was_made(degrees, side):
    measured = measure(grating(side, 6, degrees), EDGES)
    assert_allclose(np.hypot(*measured["orientation"]), 1, rtol=1e-5)
    assert turn_between(half_turns(measured["orientation"]), degrees) < 1
    bins = measured["orientation_histogram"]
    assert bins.argmax() in {round(degrees / 22.5) % 8, int(degrees // 22.5) % 8}
    assert_allclose(bins.sum(), 1, rtol=1e-5)


def test_a_quarter_turn_turns_the_orientation_and_the_histogram():
    square = grating(64, 5, 25)
    before, after = measure(square, EDGES), measure(turned(square), EDGES)
    assert_allclose(after["orientation"], -before["orientation"], atol=1e-4)
    assert_allclose(after["orientation_histogram"], np.roll(before["orientation_histogram"], 4), atol=1e-3)


def test_a_mirror_image_leans_the_other_way():
    square = grating(64, 5, 25)
    before, after = (measure(s, ["orientation"])["orientation"] for s in (square, square[:, :, ::-1]))
    assert_allclose(after, before * [1, -1], atol=1e-4)


def test_a_disc_runs_every_way():
    square, _ = discs(96, (0.5, 0.5, 0.3))
    measured = measure(square, EDGES)
    assert measured["orientation"].tolist() == [0, 0]
    assert_allclose(measured["orientation_histogram"], 1 / 8, atol=0.04)


@pytest.mark.parametrize("radius", [0.15, 0.2, 0.3, 0.4])
@pytest.mark.parametrize("side", [96, 224])
def test_a_disc_bends_as_its_radius_says(radius, side):
    square, _ = discs(side, (0.5, 0.5, radius))
    assert_allclose(measure(square, ["curvature"])["curvature"], 1 / radius, rtol=0.12)


def test_straight_stripes_do_not_bend():
    assert measure(grating(96, 4, 30), ["curvature"])["curvature"] < 1


@pytest.mark.parametrize("radius", [0.15, 0.3, 0.4])
def test_edge_density_is_the_length_of_the_outline(radius):
    """A thin digital circle has 4√2 pixels per pixel of radius if joined at corners, and 8 if joined at sides."""
    square, _ = discs(96, (0.5, 0.5, radius))
    pixels = measure(square, ["edge_density"])["edge_density"] * 96**2
    assert 4 * np.sqrt(2) * radius * 96 < pixels < 8 * radius * 96


@pytest.mark.parametrize("cells", [2, 3, 4])
def test_checks_have_a_corner_and_a_junction_at_each_crossing(cells):
    square = checks(96, cells)
    assert count(square, "corner_density") == pytest.approx((cells - 1) ** 2)
    assert count(square, "junction_density") == pytest.approx((cells - 1) ** 2, abs=1)


def test_a_square_has_four_corners_and_no_junction():
    square = constant(96, (30, 30, 30)).copy()
    square[:, 30:70, 20:60] = 200
    assert count(square, "corner_density") == pytest.approx(4)
    assert count(square, "junction_density") == 0


def test_three_areas_meet_at_one_junction():
    x, y = places(96)
    plane = np.where(y < 0.5, 0.1, np.where(x < 0.5, 0.5, 0.9))
    assert count(gray(plane), "junction_density") == pytest.approx(1)


@pytest.mark.parametrize("name", ["corner_density", "junction_density"])
@pytest.mark.parametrize("radius", [0.1, 0.25, 0.4])
def test_a_disc_has_none(name, radius):
    square, _ = discs(96, (0.45, 0.5, radius))
    assert measure(square, [name])[name] == 0


def test_corner_strength_is_that_of_scikit_image():
    """scikit-image uses Sobel's differences and Scene uses Scharr's, which nearly agree on a smooth image."""
    plane = smoothed(np.random.default_rng(0).random((64, 64)).astype(np.float32), 3.0) * 4
    scene = Scene(gray(plane - plane.min()))
    xx, xy, yy = smoothed(scene.products, 1.0)
    ours = (xx + yy - np.sqrt((xx - yy) ** 2 + 4 * xy * xy)) / 2
    theirs = corner_shi_tomasi(scene.reduced.astype(float), sigma=1.0)[1:-1, 1:-1]
    inside = (slice(4, -4), slice(4, -4))
    assert np.corrcoef(ours[inside].ravel(), theirs[inside].ravel())[0, 1] > 0.99


@pytest.mark.parametrize("side", [8, 96, 224])
def test_a_constant_image_has_no_edges(side):
    for name, value in measure(constant(side), EDGES).items():
        assert not value.any(), name


def test_faint_noise_is_no_edge():
    plane = 0.5 + np.random.default_rng(0).normal(0, 0.01, (96, 96))
    measured = measure(gray(plane), EDGES)
    assert measured["edge_density"] == measured["corner_density"] == measured["junction_density"] == 0
