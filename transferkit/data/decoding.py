"""Decoding of image files to upright 8-bit RGB.

Pillow opens and checks every file. torchvision decodes plain JPEGs, because it is faster, on machines where
both decoders give the same pixels; Pillow decodes everything else. The pixels therefore do not depend on the
decoder.
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

MAX_PIXELS = 2**27
"""Maximum number of pixels that the header of an image may declare: 400 MB once decoded."""

_JPEG = {".jpg", ".jpeg", ".jpe", ".jfif"}
_NETPBM = {".pbm", ".pgm", ".pnm", ".ppm"}
IMAGE_EXTENSIONS = frozenset({".bmp", ".gif", ".jp2", ".png", ".tif", ".tiff", ".webp"} | _JPEG | _NETPBM)

_FORMATS = ("JPEG", "PNG", "GIF", "BMP", "PPM", "TIFF", "WEBP", "JPEG2000")  # formats that cannot run a program
_ORIENTATION = 0x0112  # EXIF tag
_TRANSPOSE_OF_ORIENTATION = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode(source: Path | bytes) -> NDArray[np.uint8]:
    """Decode the first frame of an image, upright and on a white background.

    EXIF rotation is applied, and transparent pixels become white. Grey values of more than 8 bits are scaled, not
    clipped, by the rules of ``grey``. CMYK, palette and grey images become RGB.

    Args:
        source: Path of a file, or its bytes.

    Returns: Writable pixels ``[h, w, 3]``.
    Raises: UnreadableImageError: If the file is absent, empty, truncated or not an image, or declares more than
        ``MAX_PIXELS`` pixels; the message is a short reason, the same on every run.
    """
    try:
        if isinstance(source, bytes):
            return _decode(BytesIO(source), len(source))
        with source.open("rb") as file:
            return _decode(file, os.fstat(file.fileno()).st_size)
    except (UnreadableImageError, MemoryError):
        raise
    except Exception as error:  # parsers raise many types of errors on broken files
        raise unreadable(error) from error


def unreadable(error: Exception) -> UnreadableImageError:
    """Convert an error; the new message contains neither the file name nor a memory address."""
    if isinstance(error, UnidentifiedImageError):
        return UnreadableImageError("not an image of a known format")
    if isinstance(error, Image.DecompressionBombError):
        return UnreadableImageError(_TOO_LARGE)
    if isinstance(error, OSError) and error.strerror:
        return UnreadableImageError(error.strerror)
    return UnreadableImageError(str(error) or type(error).__name__)


_TOO_LARGE = f"it declares more than {MAX_PIXELS} pixels, the maximum that is decoded"


def _decode(file: IO[bytes], size_bytes: int) -> NDArray[np.uint8]:
    if not size_bytes:
        raise UnreadableImageError("the file is empty")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about odd metadata, and about sizes that are checked here
        with Image.open(file, formats=_FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise UnreadableImageError(_TOO_LARGE)
            if _is_plain_jpeg(image) and _decoders_agree():
                position = file.tell()
                file.seek(0)
                try:
                    return _jpeg_pixels(file.read())
                except RuntimeError:
                    file.seek(position)  # Pillow reports the error or decodes what it can
            image.load()
            upright = rgb(image)  # first, as a transposed image has lost its format
            return np.array(upright if (transpose := _exif_transpose(image)) is None else upright.transpose(transpose))


def _is_plain_jpeg(image: Image.Image) -> bool:
    """Return whether the header declares three plain channels and no rotation."""
    plain = image.format == "JPEG" and image.mode == "RGB" and "adobe" not in image.info
    return plain and _exif_transpose(image) is None


def _exif_transpose(image: Image.Image) -> Image.Transpose | None:
    """Return the EXIF rotation, or None if there is none or the metadata cannot be read."""
    try:
        return _TRANSPOSE_OF_ORIENTATION.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # parsers raise many types of errors on broken metadata
        return None


def _jpeg_pixels(data: bytes) -> NDArray[np.uint8]:
    """Decode a JPEG with torchvision to ``[h, w, 3]``.

    Raises: RuntimeError: If torchvision cannot decode it.
    """
    import torch  # here, as listing data sets does not decode images
    from torchvision.io import ImageReadMode, decode_jpeg

    pixels = decode_jpeg(torch.frombuffer(bytearray(data), dtype=torch.uint8), mode=ImageReadMode.RGB)
    return np.ascontiguousarray(pixels.permute(1, 2, 0).numpy())


@cache
def _decoders_agree() -> bool:
    """Return whether both decoders give the same pixels on this machine.

    The check covers each kind of chroma subsampling, baseline and progressive. Both decoders agree if they are
    built on the same library; some builds of torchvision use another library or lack the decoder.
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
    """Convert an image of any Pillow mode to 8-bit RGB.

    Raises: UnreadableImageError: If the scale of its grey values is ambiguous, see ``grey``.
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
    """Reduce a 16-bit transparent colour to 8 bits, as Pillow reduces the pixels."""
    key = image.info.get("transparency")
    if image.mode == "RGB" and isinstance(key, tuple) and max(key) > 255:
        image = image.copy()
        image.info["transparency"] = tuple(value >> 8 for value in key)
    return image
