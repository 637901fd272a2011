"""A contact sheet: some images of each class, a row a class, its name beside them.

Drawn with Pillow, so that no extra is needed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ..core.errors import ShapeError, UnreadableImageError, UsageError
from ..core.files import appearing
from ..core.labels import members
from ..core.wording import counted
from ..data.dataset import Dataset, Split

_GAP = 4  # pixels between two thumbnails
_SIZE = 13  # of letters, in pixels
_LABEL = 200  # pixels for a class's name


MOST_ROWS = 100
"""Classes on the sheet of a data set; of more, these many at equal distances."""


@dataclass(frozen=True, eq=False)
class ContactRow:
    """One row of the sheet.

    Attributes:
        name: of the class.
        images: uint8 ``[h, w, 3]`` each; None for one that cannot be decoded.
        note: below the name, such as how many images there are.
    """

    name: str
    images: Sequence[NDArray[np.uint8] | None]
    note: str = ""


def contact_sheet(rows: Sequence[ContactRow], *, columns: int, side: int = 72, heading: str = "") -> Image.Image:
    """Thumbnails in rows, each whole on its square; what cannot be decoded is crossed out.

    Args:
        rows: from the top.
        columns: images a row, at most; the rest of a row's images is left out.
        side: pixels of a thumbnail's square.
        heading: above the rows.

    Raises: ShapeError: without rows or columns.
    """
    if not rows or columns < 1:
        raise ShapeError(f"A contact sheet needs rows and columns, not {len(rows)} and {columns}.")
    font = ImageFont.load_default(_SIZE)
    top = 2 * _SIZE if heading else _GAP
    width = max(_LABEL + columns * (side + _GAP), _GAP + int(font.getlength(spelled(heading))) + _GAP)
    sheet = Image.new("RGB", (width, top + len(rows) * (side + _GAP)), "white")
    pen = ImageDraw.Draw(sheet)
    pen.text((_GAP, _GAP), spelled(heading), "black", font)
    for number, row in enumerate(rows):
        y = top + number * (side + _GAP)
        pen.text((_GAP, y + side // 2 - _SIZE), fitted(row.name, font, _LABEL - 3 * _GAP), "black", font)
        pen.text((_GAP, y + side // 2 + 2), fitted(row.note, font, _LABEL - 3 * _GAP), "#666666", font)
        for column, image in enumerate(row.images[:columns]):
            sheet.paste(thumbnail(image, side), (_LABEL + column * (side + _GAP), y))
    return sheet


def thumbnail(image: NDArray[np.uint8] | None, side: int) -> Image.Image:
    """An image whole on a grey square; a cross for None."""
    square = Image.new("RGB", (side, side), "#e6e6e6")
    if image is None:
        pen = ImageDraw.Draw(square)
        pen.line((0, 0, side - 1, side - 1), "#d55e00", 2)
        pen.line((0, side - 1, side - 1, 0), "#d55e00", 2)
        return square
    height, width = image.shape[:2]
    scale = side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    way = Image.Resampling.NEAREST if scale >= 2 else Image.Resampling.BICUBIC
    small = Image.fromarray(np.ascontiguousarray(image)).resize(size, way)
    square.paste(small, ((side - size[0]) // 2, (side - size[1]) // 2))
    return square


def fitted(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: float) -> str:
    """``text`` as the font can write it, shortened in its middle to ``width`` pixels: ends tell."""
    text = spelled(text)
    if font.getlength(text) <= width:
        return text
    for kept in range(len(text) - 1, 0, -1):
        short = f"{text[: (kept + 1) // 2]}…{text[len(text) - kept // 2 :]}"
        if font.getlength(short) <= width:
            return short
    return "…"


def spelled(text: str) -> str:
    r"""What the built-in font lacks, by its number: it has Latin letters.

    >>> spelled("Käse 猫")
    'Käse \\u732b'
    """
    return "".join(
        letter if (letter.isprintable() and ord(letter) < 0x180) or letter == "…" else _escaped(letter)
        for letter in text
    )


def _escaped(letter: str) -> str:
    return letter.encode("unicode_escape").decode("ascii")


def evenly(total: int, most: int) -> list[int]:
    """``most`` numbers of ``0 … total-1`` at equal distances, or all of them.

    >>> evenly(10, 3), evenly(2, 3)
    ([0, 4, 9], [0, 1])
    """
    return sorted({int(place) for place in np.linspace(0, total - 1, min(total, most))})


def dataset_sheet(dataset: Dataset, *, columns: int = 10, most_rows: int = MOST_ROWS) -> Image.Image:
    """A row for each class with images of its train, or of its first split, at equal distances.

    Args:
        dataset: any with classes.
        columns: images a row.
        most_rows: classes; the heading says how many were left out.
    """
    split = dataset.splits.get("train") or next(iter(dataset.splits.values()))
    places = evenly(len(split.classes), most_rows)
    rows = []
    for label in places:
        of_it = members(split.labels, label)
        chosen = [int(of_it[place]) for place in evenly(len(of_it), columns)]
        note = f"{len(of_it)} in {split.name}"
        rows.append(ContactRow(split.classes[label], [_image(split, row) for row in chosen], note))
    shown = "" if len(places) == len(split.classes) else f"{len(places)} of "
    images = f"{counted(len(split), 'image')} in {split.name}"
    heading = f"{dataset.spec}: {shown}{len(split.classes)} classes, {images}"
    return contact_sheet(rows, columns=columns, heading=heading)


def write_dataset_sheet(dataset: Dataset, path: Path) -> None:
    """Write ``dataset_sheet`` as PNG.

    Raises: UsageError: if the path ends otherwise.
    """
    if path.suffix.lower() != ".png":
        raise UsageError(f"{path} is no PNG by its name. Write it to {path.with_suffix('.png')}.")
    sheet = dataset_sheet(dataset)
    with appearing(path) as part:
        sheet.save(part, "PNG")


def _image(split: Split, row: int) -> NDArray[np.uint8] | None:
    try:
        return split.reader.image(row)
    except UnreadableImageError:
        return None
