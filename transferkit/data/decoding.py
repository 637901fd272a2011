"""From bytes to upright 8-bit RGB, whatever the file holds; or the reason why not.

Pillow opens every file and judges it. The pixels of plain JPEGs come from torchvision's decoder, which is
faster, on machines where both decoders give the same pixels; everywhere else, and of all other files, they
are Pillow's. So the pixels do not tell which decoder was at work.
"""

import os
import warnings
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from ..core.errors import UnreadableImageError
from .grey import grey_bytes

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

    EXIF rotation is applied. What is transparent shows white. Grey of more than 8 bits is scaled, not
    clipped, as of ``grey``. CMYK, palettes and grey become RGB.

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
            if _is_plain_jpeg(image) and _decoders_agree():
                place = file.tell()
                file.seek(0)
                try:
                    return _jpeg_pixels(file.read())
                except RuntimeError:
                    file.seek(place)  # Pillow says what is wrong with it, or shows what can be shown
            image.load()
            shown = rgb(image)  # first, as an image that was turned has lost its file's type
            return np.array(shown if (turn := _turn(image)) is None else shown.transpose(turn))


def _is_plain_jpeg(image: Image.Image) -> bool:
    """Whether the file holds the usual three channels and lies as it is shown, by its header."""
    plain = image.format == "JPEG" and image.mode == "RGB" and "adobe" not in image.info
    return plain and _turn(image) is None


def _turn(image: Image.Image) -> Image.Transpose | None:
    """What EXIF says; metadata that cannot be read says nothing."""
    try:
        return _UPRIGHT.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # as above
        return None


def _jpeg_pixels(data: bytes) -> NDArray[np.uint8]:
    """``[h, w, 3]``, by torchvision.

    Raises: RuntimeError: if it cannot.
    """
    import torch  # here, as listing data sets reads no image
    from torchvision.io import ImageReadMode, decode_jpeg

    pixels = decode_jpeg(torch.frombuffer(bytearray(data), dtype=torch.uint8), mode=ImageReadMode.RGB)
    return np.ascontiguousarray(pixels.permute(1, 2, 0).numpy())


@cache
def _decoders_agree() -> bool:
    """Whether both decoders give the same pixels here: of each kind of subsampling, and progressive.

    They do where they are built on the same library. Some builds of torchvision have another, or none, and
    releases after 0.29 may lack the decoder.
    """
    noise = np.random.default_rng(0).integers(0, 256, (37, 43, 3), dtype=np.uint8)
    picture = Image.fromarray(noise).resize((215, 185), Image.Resampling.BICUBIC)
    for subsampling in ("4:4:4", "4:2:2", "4:2:0"):
        for progressive in (False, True):
            file = BytesIO()
            picture.save(file, "JPEG", quality=90, subsampling=subsampling, progressive=progressive)
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", DeprecationWarning)  # see above
                    pixels = _jpeg_pixels(file.getvalue())
            except (ImportError, AttributeError, RuntimeError):
                return False
            if not np.array_equal(pixels, np.asarray(Image.open(file))):
                return False
    return True


def rgb(image: Image.Image) -> Image.Image:
    """Any mode of Pillow's as 8-bit RGB.

    Raises: UnreadableImageError: for grey values whose scale cannot be told, as of ``grey``.
    """
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(grey_bytes(image)).convert("RGB")
    if image.has_transparency_data:
        image = _eight_bit_key(image).convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def _eight_bit_key(image: Image.Image) -> Image.Image:
    """The image whose transparent colour, if it is of 16 bits, has the 8 that Pillow keeps of a pixel."""
    key = image.info.get("transparency")
    if image.mode == "RGB" and isinstance(key, tuple) and max(key) > 255:
        image = image.copy()
        image.info["transparency"] = tuple(value >> 8 for value in key)
    return image
