"""From bytes to upright 8-bit RGB, whatever the file holds; or the reason why not."""

import os
import warnings
from io import BytesIO
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from ..core.errors import UnreadableImageError

MOST_PIXELS = 2**27
"""Of one image, as its header claims them: 400 MB once decoded."""

_JPEG = {".jpg", ".jpeg", ".jpe", ".jfif"}
_NETPBM = {".pbm", ".pgm", ".pnm", ".ppm"}
IMAGE_EXTENSIONS = frozenset({".bmp", ".gif", ".jp2", ".png", ".tif", ".tiff", ".webp"} | _JPEG | _NETPBM)

_FORMATS = ("JPEG", "PNG", "GIF", "BMP", "PPM", "TIFF", "WEBP", "JPEG2000")  # none that runs a program
_ORIENTATION = 0x0112  # of EXIF
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode(source: Path | bytes) -> NDArray[np.uint8]:
    """The first frame of an image, upright, as a viewer on a white page would show it.

    EXIF rotation is applied. What is transparent shows white. 16-bit grey is scaled, not clipped, and
    so is floating-point grey in 0 … 1. CMYK, palettes and grey become RGB.

    Args:
        source: a file, or its bytes.

    Returns: ``[h, w, 3]``, writable.
    Raises: UnreadableImageError: if it is absent, empty, truncated, no image, or claims more than
        ``MOST_PIXELS``; the message is a short reason, the same on every run.
    """
    try:
        if isinstance(source, bytes):
            return _decode(BytesIO(source), len(source))
        with source.open("rb") as file:
            return _decode(file, os.fstat(file.fileno()).st_size)
    except (UnreadableImageError, MemoryError):
        raise
    except Exception as error:  # parsers of broken files raise whatever they stumble over
        raise unreadable(error) from error


def unreadable(error: Exception) -> UnreadableImageError:
    """The same error with a reason that names neither the file nor a place in memory."""
    if isinstance(error, UnidentifiedImageError):
        return UnreadableImageError("not an image of a known format")
    if isinstance(error, Image.DecompressionBombError):
        return UnreadableImageError(_TOO_LARGE)
    if isinstance(error, OSError) and error.strerror:
        return UnreadableImageError(error.strerror)
    return UnreadableImageError(str(error) or type(error).__name__)


_TOO_LARGE = f"it claims more than {MOST_PIXELS} pixels, the most that are decoded"


def _decode(file: IO[bytes], size_bytes: int) -> NDArray[np.uint8]:
    if not size_bytes:
        raise UnreadableImageError("the file is empty")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of odd metadata, and of sizes that are judged here
        with Image.open(file, formats=_FORMATS) as image:
            if image.width * image.height > MOST_PIXELS:
                raise UnreadableImageError(_TOO_LARGE)
            image.load()
            return np.array(rgb(_upright(image)))


def _upright(image: Image.Image) -> Image.Image:
    """Turned as EXIF says; metadata that cannot be read says nothing."""
    try:
        orientation = image.getexif().get(_ORIENTATION)
    except Exception:  # as above
        return image
    return image.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else image


def rgb(image: Image.Image) -> Image.Image:
    """Any mode of Pillow's as 8-bit RGB.

    Raises: UnreadableImageError: for floating-point grey neither in 0 … 1 nor in 0 … 255.
    """
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I"):
        return _grey(np.asarray(image) / 257)
    if image.mode == "F":
        return _grey(_scaled(np.asarray(image)))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def _grey(values: NDArray[np.floating]) -> Image.Image:
    """``[h, w]`` in 0 … 255, rounded."""
    return Image.fromarray(np.rint(values.clip(0, 255)).astype(np.uint8)).convert("RGB")


def _scaled(values: NDArray[np.floating]) -> NDArray[np.floating]:
    """To 0 … 255, from what people mean by floating-point grey: 0 … 1, else 0 … 255."""
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= 255):  # NaN is refused too
        raise UnreadableImageError(f"its values span {low:.4g} … {high:.4g}, neither 0 … 1 nor 0 … 255")
    return values * 255 if high <= 1 else values
