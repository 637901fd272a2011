from dataclasses import fields, replace

import pytest

from transferkit.core.errors import UsageError
from transferkit.core.files import digest_of
from transferkit.core.preprocessing import Preprocessing

OTHER = {
    "resize": 300,
    "crop": 200,
    "fit": "squash",
    "interpolation": "area",
    "mean": (0.0, 0.0, 0.0),
    "std": (1.0, 1.0, 1.0),
}


@pytest.mark.parametrize("name", [field.name for field in fields(Preprocessing)])
def test_every_field_of_a_view_changes_its_digest(name):
    changed = replace(Preprocessing(), **{name: OTHER[name]})
    assert digest_of(changed.to_json()) != digest_of(Preprocessing().to_json())


def test_a_view_survives_json():
    assert digest_of(Preprocessing().to_json()) == "ced33e997dc83689a2bebe109fc956661619dea395c3d1baabab1548d49f30bd"


@pytest.mark.parametrize(("size", "resize"), [(224, 256), (112, 128), (64, 73), (1, 1)])  # 64 · 256 / 224 = 73.14
def test_another_size_keeps_the_proportion(size, resize):
    assert Preprocessing().at(size) == Preprocessing(resize=resize, crop=size)


def test_a_view_without_a_border_keeps_none():
    assert Preprocessing(resize=32, crop=32).at(17) == Preprocessing(resize=17, crop=17)


def test_a_crop_larger_than_the_resized_image_keeps_its_proportion_at_another_size():
    assert Preprocessing(resize=445, crop=512).at(256) == Preprocessing(resize=222, crop=256)
    assert Preprocessing(resize=1, crop=4).at(1) == Preprocessing(resize=1, crop=1)


@pytest.mark.parametrize(("resize", "crop"), [(256, 0), (256, -1), (0, 224)])
def test_sizes_below_one_pixel_are_refused(resize, crop):
    message = rf"^Preprocessing cannot resize to {resize} pixels and crop {crop}: both must be at least 1\.$"
    with pytest.raises(UsageError, match=message):
        Preprocessing(resize=resize, crop=crop)


@pytest.mark.parametrize(
    ("name", "allowed"),
    [("fit", "shorter, squash, border"), ("interpolation", "bilinear, bicubic, area")],
)
def test_an_unknown_fit_or_interpolation_is_refused(name, allowed):
    with pytest.raises(UsageError, match=rf"^Preprocessing has no {name} 'lanczos': choose from {allowed}\.$"):
        replace(Preprocessing(), **{name: "lanczos"})


def test_the_mean_of_a_border_is_a_colour():
    Preprocessing(mean=(123.0, 117.0, 104.0))  # another convention, which has no border to colour
    with pytest.raises(
        UsageError, match=r"^The mean \(123\.0, 0\.5, 0\.5\) is invalid for fit 'border', .*: give values in 0 … 1"
    ):
        Preprocessing(fit="border", mean=(123.0, 0.5, 0.5))


def test_only_a_border_is_padded_with_the_mean():
    assert Preprocessing(fit="border", mean=(0.5, 0.25, 1.0)).padding == (128, 64, 255)
    assert Preprocessing(mean=(0.5, 0.25, 1.0)).padding == (0, 0, 0)


def test_a_size_is_positive():
    with pytest.raises(UsageError, match=r"^--size 0 is too small: give 1 or more pixels\.$"):
        Preprocessing().at(0)
