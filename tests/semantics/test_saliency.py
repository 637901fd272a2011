"""Saliency: pixels that differ from the border."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.spatial.distance import cdist

from tests.semantics.pictures import constant, discs, noise
from transferkit.semantics.saliency import border_distance, salient_regions


def planes(square):
    return square.astype(np.float32) / 255


@pytest.mark.parametrize("radius", [0.1, 0.2, 0.35])
@pytest.mark.parametrize("side", [48, 64, 96])
def test_a_disc_on_a_plain_ground_is_found_exactly(radius, side):
    square, covered = discs(side, (0.45, 0.55, radius))
    mask, count = salient_regions(planes(square))
    assert count == 1
    assert np.array_equal(mask, covered)


def test_the_distance_is_that_of_mahalanobis():
    square = noise(24)
    found = border_distance(planes(square))
    colours = planes(square).astype(float)
    border = [colours[:, i, j] for i in range(24) for j in range(24) if not (1 <= i < 23 and 1 <= j < 23)]
    inverse = np.linalg.inv(np.cov(np.array(border).T, bias=True) + 0.03**2 * np.eye(3))
    rows = colours.reshape(3, -1).T
    expected = cdist(rows, [np.mean(border, axis=0)], "mahalanobis", VI=inverse)
    assert_allclose(found.ravel(), expected.ravel(), rtol=1e-3)


def test_it_finds_a_disc_of_equal_brightness_by_its_colour():
    square, covered = discs(64, (0.5, 0.4, 0.2), ink=(200, 80, 80), paper=(50, 124, 80))
    assert np.array_equal(salient_regions(planes(square))[0], covered)


def test_it_finds_a_disc_in_noise():
    square, covered = discs(96, (0.4, 0.6, 0.2))
    shaken = np.clip(square + np.random.default_rng(0).normal(0, 15, square.shape), 0, 255).astype(np.uint8)
    mask, count = salient_regions(planes(shaken))
    assert count == 1
    assert (mask != covered).mean() < 0.01


def test_specks_are_no_regions():
    square, covered = discs(96, (0.5, 0.5, 0.2))
    square[:, 20:23, 20:23] = 255
    mask, count = salient_regions(planes(square))
    assert count == 1
    assert np.array_equal(mask, covered)


@pytest.mark.parametrize("colour", [(0, 0, 0), (128, 128, 128), (255, 0, 0)])
@pytest.mark.parametrize("side", [8, 64])
def test_nothing_stands_out_of_a_constant_image(colour, side):
    mask, count = salient_regions(planes(constant(side, colour)))
    assert count == 0
    assert not mask.any()


def test_a_faint_disc_does_not_stand_out():
    square, _ = discs(64, (0.5, 0.5, 0.2), ink=(104, 100, 100), paper=(100, 100, 100))
    assert salient_regions(planes(square))[1] == 0


def test_a_mirror_image_has_the_mirrored_region():
    square, _ = discs(64, (0.3, 0.6, 0.2), (0.7, 0.3, 0.1))
    mask, _ = salient_regions(planes(square))
    assert np.array_equal(salient_regions(planes(square[:, :, ::-1]))[0], mask[:, ::-1])
