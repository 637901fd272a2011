import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.transforms import InterpolationMode, v2

from tests.reference import resizing
from transferkit.core.errors import ShapeError
from transferkit.core.preprocessing import Preprocessing
from transferkit.data import resize_and_crop
from transferkit.data.resize_and_crop import frame, resized_shape

KERNELS = {"bilinear": resizing.triangle, "bicubic": resizing.cubic}
SHAPES = [(60, 80), (80, 60), (33, 33), (20, 31), (32, 200), (200, 32), (1, 1), (1, 90), (90, 1), (3, 500)]


def picture(height, width):
    """Noise, without the extremes at which intermediate results are clipped."""
    return np.random.default_rng(0).integers(64, 192, (height, width, 3), dtype=np.uint8)


def torchvision_frame(image, view):
    """Resize and CenterCrop, as everyone writes them; torchvision's resize keeps 8 bits."""
    size = [view.resize] if view.fit == "shorter" else [view.resize, view.resize]
    mode = InterpolationMode(view.interpolation)
    transform = v2.Compose([v2.Resize(size, mode, antialias=True), v2.CenterCrop(view.crop)])
    return transform(torch.from_numpy(image).permute(2, 0, 1)).numpy()


def largest_difference(a, b):
    return np.abs(a.astype(float) - b.astype(float)).max()


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("fit", ["shorter", "squash"])
@pytest.mark.parametrize("shape", SHAPES)
def test_torchvision_agrees(shape, fit, interpolation):
    for resize, crop in ((40, 32), (32, 32), (41, 32), (64, 17)):
        view = Preprocessing(resize, crop, fit, interpolation)
        framed = frame(picture(*shape), view)
        assert largest_difference(framed, torchvision_frame(picture(*shape), view)) <= 2


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("shape", [(60, 80), (20, 31), (1, 1), (5, 90)])
def test_the_definition_agrees(shape, interpolation):
    view = Preprocessing(40, 33, "shorter", interpolation)
    height, width = resized_shape(*shape, view)
    whole = resizing.resized(picture(*shape), height, width, KERNELS[interpolation])
    top, left = round((height - 33) / 2), round((width - 33) / 2)
    expected = whole[top : top + 33, left : left + 33].transpose(2, 0, 1)
    assert largest_difference(frame(picture(*shape), view), expected) <= 1


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_both_ways_agree(shape, interpolation):
    view = Preprocessing(40, 32, "shorter", interpolation)
    height, width = resized_shape(*shape, view)
    first = resize_and_crop._resize_then_crop(picture(*shape), height, width, view)
    other = resize_and_crop._resize_crop_only(picture(*shape), height, width, view)
    assert largest_difference(first, other) <= 2


def test_area_is_the_mean_of_blocks():
    image = picture(64, 96)
    framed = frame(image, Preprocessing(32, 32, "squash", "area"))
    assert largest_difference(framed, resizing.area(image, 32, 32).transpose(2, 0, 1)) <= 1
    framed = frame(image, Preprocessing(16, 12, "shorter", "area"))
    expected = resizing.area(image, 16, 24)[2:14, 6:18].transpose(2, 0, 1)
    assert largest_difference(framed, expected) <= 1


def test_known_answers():
    image = np.zeros((4, 6, 3), dtype=np.uint8)
    image[:, 2:4] = (10, 20, 30)
    framed = frame(image, Preprocessing(4, 2))
    assert framed.tolist() == [[[10, 10]] * 2, [[20, 20]] * 2, [[30, 30]] * 2]
    framed = frame(image, Preprocessing(2, 2, "squash", "area"))
    assert framed[0].tolist() == [[3, 3], [3, 3]]  # a third of 10


@given(st.integers(1, 70), st.integers(1, 70), st.integers(1, 40), st.integers(0, 30), st.integers(0, 255))
def test_one_colour_stays_that_colour(height, width, crop, border, value):
    image = np.full((height, width, 3), value, dtype=np.uint8)
    for interpolation in ("bilinear", "bicubic", "area"):
        framed = frame(image, Preprocessing(crop + border, crop, "shorter", interpolation))
        assert framed.shape == (3, crop, crop)
        assert framed.flags.c_contiguous
        assert (framed == value).all()


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "area"])
def test_mirrored_images_are_framed_mirrored(interpolation):
    view = Preprocessing(24, 24, "squash", interpolation)
    image = picture(60, 48)
    assert largest_difference(frame(image[:, ::-1], view), frame(image, view)[:, :, ::-1]) <= 1


def test_sharp_edges_do_not_wrap_around():
    image = np.zeros((64, 64, 3), dtype=np.uint8)
    image[:, 32:] = 255
    framed = frame(image, Preprocessing(224, 224, "shorter", "bicubic"))
    assert framed[:, :, :100].max() == 0
    assert framed[:, :, 124:].min() == 255


def test_an_image_of_the_right_size_is_only_cropped():
    image = picture(32, 32)
    for interpolation in ("bilinear", "bicubic", "area"):
        assert (frame(image, Preprocessing(32, 32, "shorter", interpolation)) == image.transpose(2, 0, 1)).all()
        cropped = frame(image, Preprocessing(32, 20, "shorter", interpolation))
        assert (cropped == image[6:26, 6:26].transpose(2, 0, 1)).all()


def test_a_line_of_pixels_takes_no_memory():
    """Resizing all of it would make an image of 224 × 896 000 pixels: 600 MB."""
    resource = pytest.importorskip("resource")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for shape in ((1, 4000), (4000, 1)):
        assert frame(picture(*shape), Preprocessing(224, 224)).shape == (3, 224, 224)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB


def test_views_of_arrays_and_arrays_that_are_read_only():
    image = picture(50, 40)
    read_only = image.copy()
    read_only.flags.writeable = False
    turned = np.rot90(np.rot90(image, 1).copy(), -1)
    for interpolation in ("bicubic", "area"):
        view = Preprocessing(24, 20, "shorter", interpolation)
        assert (frame(read_only, view) == frame(image, view)).all()
        assert (frame(turned, view) == frame(image, view)).all()


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4, 3)),
        np.zeros((4, 4), np.uint8),
        np.zeros((3, 4, 4), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_other_arrays_are_refused(image):
    with pytest.raises(ShapeError, match=r"uint8 \[h, w, 3\], not"):
        frame(image, Preprocessing(4, 4))
