from dataclasses import fields, replace

import pytest

from transferkit.core.errors import UsageError
from transferkit.core.files import digest_of
from transferkit.core.views import View

OTHER = {
    "resize": 300,
    "crop": 200,
    "fit": "squash",
    "interpolation": "area",
    "mean": (0.0, 0.0, 0.0),
    "std": (1.0, 1.0, 1.0),
}


@pytest.mark.parametrize("name", [field.name for field in fields(View)])
def test_every_field_of_a_view_changes_its_digest(name):
    changed = replace(View(), **{name: OTHER[name]})
    assert digest_of(changed.to_json()) != digest_of(View().to_json())


def test_a_view_survives_json():
    assert digest_of(View().to_json()) == "ced33e997dc83689a2bebe109fc956661619dea395c3d1baabab1548d49f30bd"


@pytest.mark.parametrize(
    ("size", "resize"), [(224, 256), (112, 128), (64, 73), (1, 1)]
)  # 64 · 256 / 224 = 73.14
def test_another_size_keeps_the_proportion(size, resize):
    assert View().at(size) == View(resize=resize, crop=size)


def test_a_view_without_a_border_keeps_none():
    assert View(resize=32, crop=32).at(17) == View(resize=17, crop=17)


@pytest.mark.parametrize("crop", [0, -1, 257])
def test_a_crop_lies_inside(crop):
    with pytest.raises(UsageError, match=rf"^A view cannot crop {crop} pixels out of 256\.$"):
        View(crop=crop)


def test_a_size_is_positive():
    with pytest.raises(UsageError, match=r"^--size 0 is not a number of pixels: give 1 or more\.$"):
        View().at(0)
