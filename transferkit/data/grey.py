"""Conversion of grey values of more than 8 bits to 0 … 255.

The file type declares the scale. Signed, 32-bit and floating-point grey has no declared scale: the scale follows
from the values, and ambiguous values raise an error. ``observed_greys`` records the scales of many images,
because one image does not determine the scale of its data set.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..core.errors import UnreadableImageError

_BITS_PER_SAMPLE, _PHOTOMETRIC = 258, 262  # TIFF tags
_DARK = 2**14  # a lower maximum of 16-bit grey suggests that its values have 14 bits or fewer


@dataclass(frozen=True)
class Grey:
    """Scale of the grey values of one image.

    Attributes:
        declared: Whether the file type declares the value of white.
        largest: Largest value of the image.
        white: Value that became 255.
    """

    declared: bool
    largest: float
    white: float


_OBSERVED: ContextVar[list[Grey] | None] = ContextVar("observed greys", default=None)


@contextmanager
def observed_greys() -> Iterator[list[Grey]]:
    """Record the scale of each image with grey of more than 8 bits that is decoded inside the block."""
    found: list[Grey] = []
    token = _OBSERVED.set(found)
    try:
        yield found
    finally:
        _OBSERVED.reset(token)


def grey_bytes(image: Image.Image) -> NDArray[np.uint8]:
    """Convert an image of mode ``I``, ``I;16`` or ``F`` to values ``[h, w]`` rounded to 0 … 255.

    Args:
        image: Image as opened, not transposed or converted. Pixels of its transparent value become white.

    Raises: UnreadableImageError: If no scale is declared, and the values fit no scale or two.
    """
    values = np.asarray(image)
    low, high = float(values.min()), float(values.max())
    declared = _declared_white(image)
    white = _white_of(values, low, high) if declared is None else declared
    if (found := _OBSERVED.get()) is not None:
        found.append(Grey(declared is not None, high, white))
    grey = np.rint((values * (255 / white)).clip(0, 255)).astype(np.uint8)
    if _tags(image).get(_PHOTOMETRIC) == 0 and image.mode.startswith("I;16"):
        grey = 255 - grey  # white is 0; Pillow handles this only for 8-bit files
    if (transparent := image.info.get("transparency")) is not None:
        grey[values == transparent] = 255
    return grey


def _declared_white(image: Image.Image) -> float | None:
    """Return the value of white that the file type declares, or None.

    Pillow scales PGM files to 65535, regardless of their own maximum.
    """
    if image.mode.startswith("I;16"):
        return 4095 if _tags(image).get(_BITS_PER_SAMPLE) == (12,) else 65535
    return 65535 if image.mode == "I" and image.format == "PPM" else None


def _tags(image: Image.Image) -> Mapping[int, Any]:
    """Return the tags of a TIFF file; other files have none."""
    tags: Mapping[int, Any] = getattr(image, "tag_v2", {})
    return tags


def _white_of(values: NDArray, low: float, high: float) -> float:
    """Infer the value of white without a declared scale: the range of integers is 0 … 255 or 0 … 65535.

    The range of floating-point values may also be 0 … 1. Values that would be almost black on one scale and white on
    the smaller one are rejected: floating-point values that are only 0 and 1, and values slightly above a scale.
    """
    floating = np.issubdtype(values.dtype, np.floating)
    scales = (1, 255, 65535) if floating else (255, 65535)
    span = f"its grey values span {low:.6g} … {high:.6g}"
    if not 0 <= low <= high <= 65535:  # also rejects NaN
        allowed = ", ".join(f"0 … {white}" for white in scales)
        raise UnreadableImageError(f"{span}, which is within none of {allowed}: save it as 8 or 16 bits")
    at = next(at for at, white in enumerate(scales) if high <= white)
    if at and high < 2 * scales[at - 1]:
        raise UnreadableImageError(
            f"{span}, slightly more than 0 … {scales[at - 1]} and almost black on 0 … {scales[at]}: "
            "save it as 8 or 16 bits"
        )
    if scales[at] == high == 1 and not ((values > 0) & (values < 1)).any():
        raise UnreadableImageError(
            "its floating-point grey values are only 0 and 1, white on 0 … 1 and almost black on 0 … 255: "
            "save it as 8 or 16 bits"
        )
    return scales[at]


def grey_warnings(greys: Mapping[str, Grey]) -> Iterator[str]:
    """Yield a sentence for each suspicious property of the grey values of a split.

    Args:
        greys: Image id → scale, for images with grey of more than 8 bits.
    """
    largest = [one.largest for one in greys.values() if one.white == 65535]
    if largest and 0 < max(largest) < _DARK:
        yield (
            f"{len(largest)} grey images on the scale 0 … 65535 reach at most {max(largest):.6g}: they are "
            "dark for the network. If their white is lower, as in 12-bit data, scale them to 65535 first."
        )
    scales: dict[float, list[str]] = {}
    for name, one in sorted(greys.items()):
        if not one.declared and one.largest:  # black is black on any scale
            scales.setdefault(one.white, []).append(name)
    if len(scales) > 1:
        parts = ", ".join(
            f"{len(names)} as 0 … {white:g} (such as {names[0]})" for white, names in sorted(scales.items())
        )
        yield (
            f"images of signed, 32-bit or floating-point grey were read on different scales: {parts}. If all "
            "have one scale, save them as 8 or 16 bits."
        )
