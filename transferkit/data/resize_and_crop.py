"""From an image of any size to the square of 8-bit pixels that a view asks for."""

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ..core.errors import ShapeError
from ..core.preprocessing import Preprocessing

_ELONGATED = 4  # times the crop: beyond, resizing the whole to keep its middle would be waste


def frame(image: NDArray[np.uint8], view: Preprocessing) -> NDArray[np.uint8]:
    """Resize, then crop the centre, or pad around it.

    The geometry is torchvision's and, for ``border``, timm's: the longer side is rounded down (``border``
    rounds the shorter one), the crop's corner to the nearest even half. ``area`` is the mean over the source
    pixels whose centres a pixel covers.

    Args:
        image: ``[h, w, 3]``, at least one pixel.
        view: what the encoder expects; images are not normalised here.

    Returns: ``[3, crop, crop]``, contiguous.
    Raises: ShapeError: if ``image`` is not that.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise ShapeError(f"An image is uint8 [h, w, 3], not {image.dtype} {list(image.shape)}.")
    height, width = resized_shape(image.shape[0], image.shape[1], view)
    if view.interpolation == "area" or max(height, width) > _ELONGATED * view.crop:
        middle = _middle_resized(image, height, width, view)
    else:
        middle = _resized_middle(image, height, width, view)
    return middle if middle.shape == (3, view.crop, view.crop) else _padded(middle, view)


def resized_shape(height: int, width: int, view: Preprocessing) -> tuple[int, int]:
    """Height and width after the resize, before the crop."""
    if view.fit == "squash":
        return view.resize, view.resize
    if view.fit == "border":
        ratio = max(height / view.resize, width / view.resize)
        return max(1, round(height / ratio)), max(1, round(width / ratio))
    if height <= width:
        return view.resize, int(view.resize * width / height)
    return int(view.resize * height / width), view.resize


def _kept(side: int, crop: int) -> tuple[int, int]:
    """Where the part of a resized side that is kept starts, and its length."""
    return max(0, round((side - crop) / 2)), min(side, crop)


def _resized_middle(image: NDArray[np.uint8], height: int, width: int, view: Preprocessing) -> NDArray[np.uint8]:
    """Resize all of it with torch, four times as fast as Pillow, then crop."""
    whole = torch.from_numpy(np.require(image, requirements=["C", "W"]))[None]  # before permuting: faster
    pixels = whole.permute(0, 3, 1, 2)  # [1, 3, h, w]
    if (height, width) != image.shape[:2]:
        pixels = torch.nn.functional.interpolate(pixels, (height, width), mode=view.interpolation, antialias=True)
    (top, rows), (left, columns) = _kept(height, view.crop), _kept(width, view.crop)
    return np.ascontiguousarray(pixels[0, :, top : top + rows, left : left + columns].numpy())


def _middle_resized(image: NDArray[np.uint8], height: int, width: int, view: Preprocessing) -> NDArray[np.uint8]:
    """The same to a grey level, computing only the crop: Pillow resizes the part of the source behind it."""
    (top, rows), (left, columns) = _kept(height, view.crop), _kept(width, view.crop)
    down, right = image.shape[0] / height, image.shape[1] / width  # source pixels per target pixel
    box = (left * right, top * down, (left + columns) * right, (top + rows) * down)
    source = Image.fromarray(np.ascontiguousarray(image))
    part = source.resize((columns, rows), _PILLOW[view.interpolation], box=box)
    return np.ascontiguousarray(np.asarray(part).transpose(2, 0, 1))


def _padded(part: NDArray[np.uint8], view: Preprocessing) -> NDArray[np.uint8]:
    """``part`` ``[3, h, w]`` in the middle of a square of the padding's colour."""
    square = np.empty((3, view.crop, view.crop), np.uint8)
    square[:] = np.array(view.padding, np.uint8)[:, None, None]
    top, left = (view.crop - part.shape[1]) // 2, (view.crop - part.shape[2]) // 2
    square[:, top : top + part.shape[1], left : left + part.shape[2]] = part
    return square


_PILLOW = {
    "area": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}


def normalised(images: Tensor, view: Preprocessing, *, white: float = 255) -> Tensor:
    """What an encoder is fed: each channel less its mean, by its deviation.

    Args:
        images: ``[b, 3, s, s]`` where the encoder is; black is 0.
        view: says which mean and deviation.
        white: the largest value of ``images``.

    Returns: ``[b, 3, s, s]`` float32, channels last in memory.
    """
    images = images.to(torch.float32, memory_format=torch.channels_last)
    mean = torch.tensor(view.mean, device=images.device).view(1, 3, 1, 1) * white
    std = torch.tensor(view.std, device=images.device).view(1, 3, 1, 1) * white
    return (images - mean) / std
