"""Patterns of brightness, and the halves of an image."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import ndimage
from skimage import feature

from tests.reference import semantics as reference
from tests.semantics.pictures import constant, grating, gray, noise, power_law, turned
from transferkit.semantics.measure import measure
from transferkit.semantics.scene import Scene

TEXTURE = ["lbp", "cooccurrence", "hog_summary", "symmetry"]


@pytest.mark.parametrize("side", [8, 17])
@pytest.mark.parametrize("make", [noise, lambda side, seed: power_law(side, -2.0, seed)])
def test_they_are_what_plain_loops_give(side, make):
    square = make(side, side)
    measured = measure(square, TEXTURE)
    assert_allclose(measured["lbp"], reference.lbp(Scene(square).levels), atol=1e-6)
    assert_allclose(measured["symmetry"], reference.symmetry(square), atol=1e-5)
    quarters = reference.orientation_histograms(square)
    assert_allclose(
        measured["hog_summary"].reshape(4, 8),
        quarters / np.linalg.norm(quarters, axis=1, keepdims=True),
        atol=1e-5,
    )


@pytest.mark.parametrize("slope", [0.0, -2.0])
def test_cooccurrence_is_that_of_scikit_image(slope):
    """The reference computes scikit-image's properties of the mean matrix of four directions."""
    square = power_law(48, slope)
    angles = np.arange(4) * np.pi / 4
    matrix = feature.graycomatrix(Scene(square).levels // 16, [1], angles, levels=16, symmetric=True, normed=True)
    matrix = matrix.mean(axis=3, keepdims=True)
    theirs = [feature.graycoprops(matrix, name).item() for name in ("contrast", "homogeneity", "energy", "correlation")]
    assert_allclose(measure(square, ["cooccurrence"])["cooccurrence"], theirs, rtol=1e-4, atol=1e-5)


def test_the_patterns_of_scikit_image_are_nearly_ours():
    """scikit-image interpolates the diagonal neighbours at a distance of 1."""
    square = power_law(96, -2.0)
    theirs = feature.local_binary_pattern(Scene(square).levels, 8, 1, method="uniform")
    counts = np.bincount(theirs.astype(int).ravel(), minlength=10)
    assert np.corrcoef(measure(square, ["lbp"])["lbp"], counts)[0, 1] > 0.9


def test_a_turn_changes_neither_patterns_nor_cooccurrence():
    square = noise(40)
    before, after = measure(square, TEXTURE), measure(turned(square), TEXTURE)
    assert_allclose(after["lbp"], before["lbp"], atol=1e-6)
    assert_allclose(after["cooccurrence"], before["cooccurrence"], rtol=1e-4)


def test_a_turn_carries_the_quarters_along():
    square = power_law(40, -2.0)
    before, after = (measure(s, ["hog_summary"])["hog_summary"].reshape(2, 2, 8) for s in (square, turned(square)))
    assert_allclose(after, np.roll(np.rot90(before), 4, axis=2), atol=1e-3)


def test_brightness_changes_no_pattern():
    square = noise(32) // 2
    assert_allclose(measure(square + np.uint8(90), ["lbp"])["lbp"], measure(square, ["lbp"])["lbp"])


def test_a_quarter_with_stripes_has_them_in_its_histogram():
    square = constant(96).copy()
    square[:, :48, 48:] = grating(48, 6, 0)
    quarters = measure(square, ["hog_summary"])["hog_summary"].reshape(4, 8)
    assert quarters[1].argmax() == 0
    assert_allclose(np.linalg.norm(quarters[1]), 1, rtol=1e-5)
    assert quarters[1, 0] > 0.97


def test_smoothness_shows_in_cooccurrence():
    rough, smooth = noise(64), ndimage.gaussian_filter(noise(64), (0, 2, 2))
    before, after = measure(rough, ["cooccurrence"]), measure(smooth, ["cooccurrence"])
    assert (np.sign(after["cooccurrence"] - before["cooccurrence"]) == [-1, 1, 1, 1]).all()
    assert abs(before["cooccurrence"][3]) < 0.05


def test_checks_of_single_pixels_are_foretold_by_half_their_neighbours():
    plane = np.indices((32, 32)).sum(0) % 2
    contrast, _, _, correlation = measure(gray(plane), ["cooccurrence"])["cooccurrence"]
    straight = 2 * 32 * 31 / (2 * 32 * 31 + 2 * 31 * 31)
    assert_allclose(contrast, 15**2 / 2, rtol=0.02)
    assert_allclose(correlation, 1 - 2 * straight, atol=0.02)


def test_an_image_that_is_its_mirror_image_has_symmetry_one():
    half = noise(64)[:, :, :32]
    square = np.concatenate([half, half[:, :, ::-1]], axis=2)
    assert_allclose(measure(square, ["symmetry"])["symmetry"], 1, rtol=1e-5)
    assert_allclose(measure(square[:, :, ::-1], ["symmetry"])["symmetry"], 1, rtol=1e-5)


def test_a_ramp_is_the_opposite_of_its_mirror_image():
    plane = np.tile(np.linspace(0, 1, 64), (64, 1))
    assert_allclose(measure(gray(plane), ["symmetry"])["symmetry"], -1, rtol=1e-5)
    assert_allclose(measure(gray(plane.T), ["symmetry"])["symmetry"], 1, rtol=1e-5)


def test_noise_has_no_symmetry():
    assert abs(measure(noise(96), ["symmetry"])["symmetry"][0]) < 0.05


def test_mirroring_leaves_the_symmetry_as_it_is():
    square = power_law(64, -2.0)
    assert_allclose(*(measure(s, ["symmetry"])["symmetry"] for s in (square, square[:, :, ::-1])), rtol=1e-4)


@pytest.mark.parametrize("side", [8, 96, 224])
def test_a_constant_image(side):
    measured = measure(constant(side, (200, 10, 30)), TEXTURE)
    assert measured["lbp"].tolist() == [0] * 8 + [1, 0]
    assert_allclose(measured["cooccurrence"], [0, 1, 1, 1], atol=1e-6)
    assert not measured["hog_summary"].any()
    assert measured["symmetry"] == 1
