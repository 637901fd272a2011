"""Contact sheets: one row per class with its name and sample images, drawn with Pillow, which needs no extra."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ..core.errors import ShapeError, UnreadableImageError, UsageError
from ..core.files import atomic_path
from ..core.labels import members
from ..core.wording import counted
from ..data.dataset import Dataset, Split

_GAP = 4  # pixels between two thumbnails
_FONT_SIZE = 13  # pixels
_LABEL_WIDTH = 200  # pixels for a class's name

MAX_ROWS = 100
"""Maximum number of classes on the sheet of a data set; of more classes, an evenly spaced selection is shown."""


@dataclass(frozen=True, eq=False)
class ContactRow:
    """One row of the sheet.

    Attributes:
        name: Name of the class.
        images: uint8 ``[h, w, 3]`` each; None for an image that cannot be decoded.
        note: Text below the name, such as the number of images.
    """

    name: str
    images: Sequence[NDArray[np.uint8] | None]
    note: str = ""


def contact_sheet(rows: Sequence[ContactRow], *, columns: int, side: int = 72, heading: str = "") -> Image.Image:
    """Draw rows of thumbnails, each a whole image on a square; an image that cannot be decoded is a cross.

    Args:
        rows: rows from top to bottom.
        columns: maximum number of images per row; further images of a row are not drawn.
        side: pixels per side of a thumbnail's square.
        heading: text above the rows.

    Raises: ShapeError: if there are no rows or no columns.
    """
    if not rows or columns < 1:
        raise ShapeError(f"{len(rows)} rows and {columns} columns make no contact sheet: give at least 1 of each.")
    font = ImageFont.load_default(_FONT_SIZE)
    top = 2 * _FONT_SIZE if heading else _GAP
    width = max(_LABEL_WIDTH + columns * (side + _GAP), _GAP + int(font.getlength(printable(heading))) + _GAP)
    sheet = Image.new("RGB", (width, top + len(rows) * (side + _GAP)), "white")
    pen = ImageDraw.Draw(sheet)
    pen.text((_GAP, _GAP), printable(heading), "black", font)
    for index, row in enumerate(rows):
        y = top + index * (side + _GAP)
        pen.text((_GAP, y + side // 2 - _FONT_SIZE), shortened(row.name, font, _LABEL_WIDTH - 3 * _GAP), "black", font)
        pen.text((_GAP, y + side // 2 + 2), shortened(row.note, font, _LABEL_WIDTH - 3 * _GAP), "#666666", font)
        for column, image in enumerate(row.images[:columns]):
            sheet.paste(thumbnail(image, side), (_LABEL_WIDTH + column * (side + _GAP), y))
    return sheet


def thumbnail(image: NDArray[np.uint8] | None, side: int) -> Image.Image:
    """Draw a whole image on a grey square, or a cross for None."""
    square = Image.new("RGB", (side, side), "#e6e6e6")
    if image is None:
        pen = ImageDraw.Draw(square)
        pen.line((0, 0, side - 1, side - 1), "#d55e00", 2)
        pen.line((0, side - 1, side - 1, 0), "#d55e00", 2)
        return square
    height, width = image.shape[:2]
    scale = side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    resampling = Image.Resampling.NEAREST if scale >= 2 else Image.Resampling.BICUBIC
    small = Image.fromarray(np.ascontiguousarray(image)).resize(size, resampling)
    square.paste(small, ((side - size[0]) // 2, (side - size[1]) // 2))
    return square


def shortened(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: float) -> str:
    """Make ``text`` printable and shorten its middle to ``width`` pixels; beginning and end distinguish names."""
    text = printable(text)
    if font.getlength(text) <= width:
        return text
    for kept in range(len(text) - 1, 0, -1):
        short = f"{text[: (kept + 1) // 2]}…{text[len(text) - kept // 2 :]}"
        if font.getlength(short) <= width:
            return short
    return "…"


def printable(text: str) -> str:
    r"""Replace characters that the built-in Latin font lacks by their code points.

    >>> printable("Käse 猫")
    'Käse \\u732b'
    """
    return "".join(
        character if (character.isprintable() and ord(character) < 0x180) or character == "…" else _escaped(character)
        for character in text
    )


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def evenly_spaced(total: int, count: int) -> list[int]:
    """Return ``count`` evenly spaced integers in ``0 … total-1``, or all of them if there are fewer.

    >>> evenly_spaced(10, 3), evenly_spaced(2, 3)
    ([0, 4, 9], [0, 1])
    """
    return sorted({int(index) for index in np.linspace(0, total - 1, min(total, count))})


def dataset_sheet(dataset: Dataset, *, columns: int = 10, max_rows: int = MAX_ROWS) -> Image.Image:
    """Draw one row per class with evenly spaced images of the train split, or of the first split without one.

    Args:
        dataset: a data set with classes.
        columns: images per row.
        max_rows: maximum number of classes; the heading reports how many of all are shown.
    """
    split = dataset.splits.get("train") or next(iter(dataset.splits.values()))
    labels = evenly_spaced(len(split.classes), max_rows)
    rows = []
    for label in labels:
        class_rows = members(split.labels, label)
        chosen = [int(class_rows[index]) for index in evenly_spaced(len(class_rows), columns)]
        note = f"{len(class_rows)} in {split.name}"
        rows.append(ContactRow(split.classes[label], [_image(split, row) for row in chosen], note))
    shown = "" if len(labels) == len(split.classes) else f"{len(labels)} of "
    images = f"{counted(len(split), 'image')} in {split.name}"
    heading = f"{dataset.spec}: {shown}{len(split.classes)} classes, {images}"
    return contact_sheet(rows, columns=columns, heading=heading)


def write_dataset_sheet(dataset: Dataset, path: Path) -> None:
    """Write ``dataset_sheet`` as PNG.

    Raises: UsageError: if the path does not end in ``.png``.
    """
    if path.suffix.lower() != ".png":
        raise UsageError(
            f"{path} ends in {path.suffix!r}, but a contact sheet is a PNG file. Write to {path.with_suffix('.png')}."
        )
    sheet = dataset_sheet(dataset)
    with atomic_path(path) as part:
        sheet.save(part, "PNG")


def _image(split: Split, row: int) -> NDArray[np.uint8] | None:
    try:
        return split.reader.image(row)
    except UnreadableImageError:
        return None
