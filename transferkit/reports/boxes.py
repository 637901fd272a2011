"""Images with ground-truth or detected boxes, drawn on one sheet with Pillow, which needs no extra."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ..core.errors import ShapeError
from ..core.files import atomic_path
from .figures import COLOURS

_GAP = 6  # pixels between two tiles
_LINE_HEIGHT = 14  # pixels of the title below a tile


@dataclass(frozen=True, eq=False)
class Boxed:
    """One image and its boxes.

    Attributes:
        image: uint8 ``[h, w, 3]``.
        boxes: ``[m, 4]`` left, top, right, bottom in pixels of the image.
        labels: ``[m]`` indices into the sheet's class names.
        scores: ``[m]`` confidences of detected boxes in 0 … 1; None for ground truth.
        faint: ``[m]`` True for boxes drawn with thin lines, such as difficult objects and crowds; None if no box is.
        title: Text below the image.
    """

    image: NDArray[np.uint8]
    boxes: NDArray[np.floating]
    labels: NDArray[np.integer]
    scores: NDArray[np.floating] | None = None
    faint: NDArray[np.bool_] | None = None
    title: str = ""


def boxes_sheet(pictures: Sequence[Boxed], classes: Sequence[str], *, columns: int = 4, side: int = 256) -> Image.Image:
    """Draw images with their boxes in rows; each class has one colour on the whole sheet.

    Args:
        pictures: at least one image, in the order in which they are drawn.
        classes: ``[c]`` names, written at the boxes.
        columns: maximum number of images per row.
        side: pixels per side of the square that each image is fitted into.

    Raises: ShapeError: if there is no picture, or the shapes of an image, its boxes and its labels do not match.
    """
    if not pictures:
        raise ShapeError("A sheet needs at least 1 picture, not 0.")
    columns = min(columns, len(pictures))
    rows = math.ceil(len(pictures) / columns)
    size = (columns * (side + _GAP) + _GAP, rows * (side + _LINE_HEIGHT + _GAP) + _GAP)
    sheet = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(sheet)
    for index, picture in enumerate(pictures):
        row, column = divmod(index, columns)
        corner = (_GAP + column * (side + _GAP), _GAP + row * (side + _LINE_HEIGHT + _GAP))
        sheet.paste(boxed_image(picture, classes, side=side), corner)
        pen.text((corner[0], corner[1] + side + 1), picture.title, "black", ImageFont.load_default(10))
    return sheet


def boxed_image(picture: Boxed, classes: Sequence[str], *, side: int) -> Image.Image:
    """Draw one image, fitted into a square of ``side`` pixels, with its boxes.

    Raises: ShapeError: if the shapes of image, boxes and labels do not match.
    """
    m = len(picture.labels)
    if picture.image.ndim != 3 or picture.boxes.shape != (m, 4):
        raise ShapeError(
            f"{m} labels need an image [h, w, 3] and boxes [{m}, 4], "
            f"not {list(picture.image.shape)} and {list(picture.boxes.shape)}."
        )
    height, width = picture.image.shape[:2]
    scale = side / max(height, width)
    fitted = (max(1, round(width * scale)), max(1, round(height * scale)))
    tile = Image.new("RGB", (side, side), "#dddddd")
    tile.paste(Image.fromarray(np.ascontiguousarray(picture.image)).resize(fitted), (0, 0))
    pen = ImageDraw.Draw(tile)
    for index in range(m):
        label = int(picture.labels[index])
        colour = COLOURS[label % len(COLOURS)]
        faint = picture.faint is not None and bool(picture.faint[index])
        box = (picture.boxes[index] * scale).round().tolist()
        right, bottom = max(box[0], box[2] - 1), max(box[1], box[3] - 1)
        pen.rectangle((box[0], box[1], right, bottom), outline=colour, width=1 if faint else 3)
        text = classes[label] if picture.scores is None else f"{classes[label]} {picture.scores[index]:.2f}"
        _write(pen, text, (box[0], box[1]), colour)
    return tile


def _write(pen: ImageDraw.ImageDraw, text: str, corner: tuple[float, float], colour: str) -> None:
    """Write white text on the box's colour, above its top left corner if it fits there, otherwise inside the box."""
    font = ImageFont.load_default(10)
    left, top, right, bottom = pen.textbbox((0, 0), text, font)
    height = bottom - top + 3
    y = corner[1] - height if corner[1] >= height else corner[1]
    pen.rectangle((corner[0], y, corner[0] + right - left + 4, y + height), fill=colour)
    pen.text((corner[0] + 2, y + 1 - top), text, "white", font)


def write_sheet(sheet: Image.Image, path: Path) -> None:
    """Write a sheet as PNG."""
    with atomic_path(path) as part:
        sheet.save(part, "PNG")
