"""The scene, from which several targets are computed."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from skimage.color import rgb2gray
from skimage.filters import scharr_h, scharr_v

from tests.reference import semantics as reference
from tests.reference.area_mean import area_mean
from tests.semantics.pictures import constant, noise
from transferkit.core.errors import ShapeError
from transferkit.semantics.measure import measure
from transferkit.semantics.scene import Scene, area_weights, bytes_of, smoothed
from transferkit.semantics.target import TARGETS


def test_luma_is_that_of_scikit_image():
    square = noise(32)
    assert_allclose(Scene(square).gray, rgb2gray(square, channel_axis=0), atol=1e-6)


def test_the_gradient_is_that_of_scikit_image():
    """scikit-image takes the difference over two pixels, and Scene the difference per pixel."""
    scene = Scene(noise(32))
    x, y = scene.gradient
    assert_allclose(x, scharr_v(scene.reduced)[1:-1, 1:-1] / 2, atol=1e-6)
    assert_allclose(y, scharr_h(scene.reduced)[1:-1, 1:-1] / 2, atol=1e-6)


def test_the_gradient_is_what_plain_loops_give():
    square = noise(9)
    x, y = Scene(square).gradient
    expected = reference.scharr(square)
    assert_allclose(x.ravel(), [one[2] for one in expected], atol=1e-6)
    assert_allclose(y.ravel(), [-one[3] for one in expected], atol=1e-6)


@pytest.mark.parametrize(("side", "reduced"), [(12, 8), (9, 8), (16, 8), (23, 9)])
def test_reduction_is_the_mean_over_areas(side, reduced):
    square, weights = noise(side), area_weights(side, reduced)
    exact = area_mean(square.transpose(1, 2, 0), reduced).transpose(2, 0, 1)
    assert np.abs(weights @ square @ weights.T - exact).max() < 0.501  # the exact one is rounded


@pytest.mark.parametrize("side", [97, 192, 224])
def test_large_images_are_reduced_to_96_pixels(side):
    square = noise(side)
    weights = area_weights(side, 96).astype(float)
    assert_allclose(Scene(square).colours, weights @ (square / 255) @ weights.T, atol=1e-5)


@pytest.mark.parametrize(("side", "reduced"), [(224, 96), (97, 96), (96, 96), (192, 96)])
def test_area_weights_share_out_every_pixel(side, reduced):
    weights = area_weights(side, reduced)
    assert_allclose(weights.sum(1), 1, rtol=1e-5)
    assert_allclose(weights.sum(0), reduced / side, rtol=1e-4)


def test_a_small_image_is_not_reduced():
    square = noise(96)
    assert np.array_equal(bytes_of(Scene(square).colours), square)


def test_smoothing_treats_each_plane_alone():
    planes = np.random.default_rng(0).random((3, 20, 20)).astype(np.float32)
    assert_allclose(smoothed(planes, 1.0)[1], smoothed(planes[1], 1.0), rtol=1e-5)


def test_shared_results_are_computed_once():
    scene = Scene(noise(32))
    assert scene.power is scene.power
    assert scene.edges is scene.edges


@pytest.mark.parametrize(
    ("square", "words"),
    [
        (np.zeros((3, 8, 8), np.float32), r"not float32 \[3, 8, 8\]: resize and crop first\.$"),
        (np.zeros((3, 8, 9), np.uint8), r"^A scene is uint8 \[3, s, s\], not uint8 \[3, 8, 9\]"),
        (np.zeros((8, 8, 3), np.uint8), r"not uint8 \[8, 8, 3\]"),
        (np.zeros((8, 8), np.uint8), r"not uint8 \[8, 8\]"),
        (np.zeros((3, 7, 7), np.uint8), r"^A scene of 7 pixels per side is too small: give 8 or more\.$"),
    ],
)
def test_what_is_no_scene(square, words):
    with pytest.raises(ShapeError, match=words):
        Scene(square)


IMAGES = {
    "black": constant(32, (0, 0, 0)),
    "white": constant(32, (255, 255, 255)),
    "gray": constant(224),
    "red": constant(64, (255, 0, 0)),
    "tiny": noise(8),
    "odd": noise(9),
    "prime": noise(61),
    "noise": noise(224),
    "gray noise": np.repeat(noise(40)[:1], 3, axis=0),
    "one pixel": np.eye(1, 3 * 64 * 64, 2000, dtype=np.uint8).reshape(3, 64, 64) * np.uint8(255),
    "not contiguous": noise(32)[:, ::-1, ::-1],
    "read only": np.broadcast_to(noise(32)[:1], (3, 32, 32)),
}


@pytest.mark.parametrize("name", IMAGES)
def test_every_target_of_every_image_is_finite(name):
    measured = measure(IMAGES[name])
    for target in TARGETS.values():
        value = measured[target.name]
        assert (value.shape, value.dtype) == ((target.dimension,), np.float32)
        assert np.isfinite(value).all(), target.name
        if target.kind == "circular":
            assert np.hypot(*value) == pytest.approx(1, rel=1e-5) or not value.any()
