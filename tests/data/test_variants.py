import io

import numpy as np
import pytest
from PIL import Image

from transferkit.core.errors import UnknownNameError, UsageError
from transferkit.core.preprocessing import Preprocessing
from transferkit.core.seeding import generator
from transferkit.data.corruptions import CORRUPTIONS, SEVERITIES
from transferkit.data.resize_and_crop import frame
from transferkit.data.variants import VARIANTS, Variant

VIEW = Preprocessing(resize=56, crop=48)


@pytest.fixture
def image():
    rng = generator(0, "variants")
    smooth = np.asarray(Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize((80, 60)))
    return np.ascontiguousarray(smooth)


def shown(name, image, row=0):
    return Variant(name).square(image, VIEW, row=row)


def names():
    for kind, variant in VARIANTS.items():
        yield from (f"{kind}:{number}" for number in (variant.numbers or (0, 7)))


@pytest.mark.parametrize("name", ["test", *names()])
def test_every_variant_is_a_square_of_bytes_and_always_the_same(name, image):
    square = shown(name, image)
    assert (square.dtype, square.shape) == (np.uint8, (3, 48, 48))
    assert square.flags.c_contiguous
    np.testing.assert_array_equal(square, shown(name, image))
    if name != "test":
        assert (square != frame(image, VIEW)).any()


def test_without_a_variant_it_is_the_view(image):
    np.testing.assert_array_equal(shown("test", image), frame(image, VIEW))


def test_four_quarter_turns_come_round(image):
    plain = frame(image, VIEW)
    assert shown("rotate:90", image)[0, 0, 0] == plain[0, 0, -1]  # to the left: the top right corner comes first
    twice = np.rot90(shown("rotate:90", image), axes=(1, 2))
    np.testing.assert_array_equal(twice, shown("rotate:180", image))
    np.testing.assert_array_equal(np.rot90(shown("rotate:270", image), axes=(1, 2)), plain)


def test_patches_lie_in_their_cells():
    image = np.zeros((48, 48, 3), np.uint8)
    for cell in range(9):
        row, column = divmod(cell, 3)
        image[row * 16 : row * 16 + 16, column * 16 : column * 16 + 16] = 20 * cell
    for cell in range(9):
        assert (Variant(f"patch:{cell}").square(image, Preprocessing(48, 48), row=0) == 20 * cell).all()


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_a_worse_corruption_is_farther_from_the_image(kind, image):
    plain = frame(image, VIEW).astype(float)
    far = [np.square(shown(f"{kind}:{severity}", image) - plain).mean() for severity in SEVERITIES]
    assert far == sorted(far)
    assert far[0] > 0
    assert far[-1] > 1.5 * far[0]


def test_noise_has_the_deviation_it_says_and_another_draw_for_each_row():
    gray = np.full((48, 48, 3), 128, np.uint8)
    noisy = Variant("noise:1").square(gray, Preprocessing(48, 48), row=0).astype(float)
    assert noisy.std() == pytest.approx(0.08 * 255, rel=0.05)
    assert noisy.mean() == pytest.approx(128, abs=1)
    assert (noisy != Variant("noise:1").square(gray, Preprocessing(48, 48), row=1)).any()
    other = Variant("noise:2").square(gray, Preprocessing(48, 48), row=0) - 128.0
    assert abs(np.corrcoef(noisy.ravel(), other.ravel())[0, 1]) < 0.1  # a severity is a draw of its own


def test_contrast_is_scaled_about_the_mean(image):
    plain, flat = frame(image, VIEW).astype(float), shown("contrast:3", image).astype(float)
    np.testing.assert_allclose(flat.mean((1, 2)), plain.mean((1, 2)), atol=0.5)
    np.testing.assert_allclose(flat.std((1, 2)), 0.2 * plain.std((1, 2)), rtol=0.05)


def test_a_blur_keeps_the_mean_and_follows_the_size(image):
    np.testing.assert_allclose(shown("blur:2", image).mean(), frame(image, VIEW).mean(), atol=2)
    dot = np.zeros((224, 224, 3), np.uint8)
    dot[112, 112] = 255
    spread = Variant("blur:1").square(dot, Preprocessing(224, 224), row=0)
    assert spread[0, 112, 112] == pytest.approx(255 / (2 * np.pi), rel=0.05)  # a Gaussian of deviation 1


def test_jpeg_is_what_a_file_of_that_quality_holds(image):
    file = io.BytesIO()
    Image.fromarray(frame(image, VIEW).transpose(1, 2, 0)).save(file, "JPEG", quality=15)
    np.testing.assert_array_equal(shown("jpeg:3", image), np.asarray(Image.open(file)).transpose(2, 0, 1))


def test_augmented_views_differ_by_number_and_row(image):
    first = shown("augment:0", image)
    assert (first != shown("augment:1", image)).any()
    assert (first != shown("augment:0", image, row=1)).any()


def test_a_single_pixel_has_every_variant():
    for name in names():
        square = Variant(name).square(np.full((1, 1, 3), 9, np.uint8), Preprocessing(1, 1), row=0)
        assert square.shape == (3, 1, 1)


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("rotat:90", UnknownNameError, "Did you mean 'rotate'"),
        ("rotate:45", UsageError, "rotate:90, rotate:180, rotate:270"),
        ("rotate", UsageError, "No variant named 'rotate'"),
        ("blur:6", UsageError, "blur:1, blur:2"),
        ("augment:x", UsageError, "augment:0, augment:1 and so on"),
        ("augment:-1", UsageError, "augment:0"),
        ("", UnknownNameError, "No variant named ''"),
    ],
)
def test_an_unknown_variant_lists_the_existing_ones(name, error, words):
    with pytest.raises(error, match=words):
        Variant(name)
