from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFont

from transferkit.core.errors import ShapeError, UnreadableImageError, UsageError
from transferkit.data.dataset import Dataset, Split
from transferkit.reports.contact_sheet import (
    ContactRow,
    contact_sheet,
    dataset_sheet,
    evenly_spaced,
    printable,
    shortened,
    thumbnail,
    write_dataset_sheet,
)


class Shades:
    """Row r is grey of value r; some cannot be decoded."""

    def __init__(self, broken=()):
        self.broken, self.read = broken, []

    def image(self, row):
        self.read.append(row)
        if row in self.broken:
            raise UnreadableImageError("broken")
        return np.full((20, 30, 3), row % 256, np.uint8)


def dataset(classes, per_class, reader):
    n = classes * per_class
    labels = np.repeat(np.arange(classes), per_class)
    split = Split(
        "many",
        "train",
        tuple(map(str, range(n))),
        labels,
        tuple(f"class {c}" for c in range(classes)),
        "0",
        reader,
    )
    return Dataset("many", {"train": split})


def test_images_lie_in_their_rows_and_columns():
    red, blue = (np.full((8, 8, 3), colour, np.uint8) for colour in ((255, 0, 0), (0, 0, 255)))
    sheet = contact_sheet([ContactRow("a", [red, blue]), ContactRow("b", [blue, red, red])], columns=2, side=40)
    assert sheet.size == (200 + 2 * 44, 4 + 2 * 44)
    centres = [[sheet.getpixel((200 + x * 44 + 20, 4 + y * 44 + 20)) for x in range(2)] for y in range(2)]
    assert centres == [[(255, 0, 0), (0, 0, 255)], [(0, 0, 255), (255, 0, 0)]]


def test_a_thumbnail_shows_the_whole_image():
    wide = np.zeros((10, 40, 3), np.uint8)
    wide[:, :20] = 255
    pixels = np.asarray(thumbnail(wide, 40))
    assert (pixels[15:25, :20] == 255).all()
    assert (pixels[15:25, 20:] == 0).all()
    assert (pixels[:15] == 0xE6).all()


def test_an_image_that_cannot_be_decoded_is_a_cross():
    assert np.asarray(thumbnail(None, 20))[10, 10].tolist() != [0xE6] * 3


def test_long_names_keep_both_ends():
    font = ImageFont.load_default(13)
    name = "Corn_(maize)___Cercospora_leaf_spot Gray_leaf_spot"
    short = shortened(name, font, 150)
    assert font.getlength(short) <= 150 < font.getlength(name)
    start, end = short.split("…")
    assert name.startswith(start)
    assert name.endswith(end)
    assert min(len(start), len(end)) > 5
    assert shortened("cat", font, 150) == "cat"
    assert shortened(name, font, 1) == "…"


def test_characters_that_the_font_lacks_are_replaced_by_code_points():
    assert printable("Käse 猫\n\U0001f600") == r"Käse \u732b\n\U0001f600"


def test_evenly_spaced_numbers_include_both_ends():
    assert evenly_spaced(1000, 4) == [0, 333, 666, 999]
    assert evenly_spaced(3, 10) == [0, 1, 2]
    assert evenly_spaced(0, 5) == []


def test_a_thousand_classes_show_a_hundred():
    reader = Shades()
    sheet = dataset_sheet(dataset(1000, 3, reader), columns=2)
    assert sheet.height == 26 + 100 * 76
    assert len(reader.read) == 200  # no image is decoded that is not shown
    assert reader.read[:2] == [0, 2]
    assert reader.read[-1] == 2999


def test_broken_images_do_not_stop_the_sheet():
    sheet = dataset_sheet(dataset(2, 3, Shades(broken=(0,))), columns=3)
    assert sheet.getpixel((200 + 36, 26 + 36)) != (0, 0, 0)


def test_it_is_written_as_png(tmp_path):
    write_dataset_sheet(dataset(2, 3, Shades()), tmp_path / "new/a.png")
    with Image.open(tmp_path / "new/a.png") as image:
        assert image.format == "PNG"
    with pytest.raises(UsageError, match=r"a.jpg ends in '.jpg', .* Write to a.png"):
        write_dataset_sheet(dataset(2, 3, Shades()), Path("a.jpg"))


def test_a_sheet_without_rows_or_columns_is_refused():
    with pytest.raises(ShapeError, match="0 rows and 3 columns make no contact sheet"):
        contact_sheet([], columns=3)
    with pytest.raises(ShapeError, match="1 rows and 0 columns"):
        contact_sheet([ContactRow("a", [])], columns=0)
