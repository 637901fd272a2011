"""Resizing and cropping of images of any size to squares of 8-bit pixels."""

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ..core.errors import ShapeError
from ..core.preprocessing import Preprocessing

_MAX_ELONGATION = 4  # side relative to the crop above which only the source of the crop is resized


def frame(image: NDArray[np.uint8], preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """Resize an image, then crop its centre or pad around it.

    The geometry is that of torchvision and, for ``border``, of timm: the longer side is rounded down (``border``
    rounds the shorter one), and the corner of the crop is rounded half to even. ``area`` averages the source
    pixels whose centres an output pixel covers.

    Args:
        image: Image ``[h, w, 3]`` with at least one pixel.
        preprocessing: Preprocessing of the encoder; images are not normalized here.

    Returns: Contiguous pixels ``[3, crop, crop]``.
    Raises: ShapeError: If ``image`` has another type or shape.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise ShapeError(f"An image is uint8 [h, w, 3], not {image.dtype} {list(image.shape)}.")
    height, width = resized_shape(image.shape[0], image.shape[1], preprocessing)
    if preprocessing.interpolation == "area" or max(height, width) > _MAX_ELONGATION * preprocessing.crop:
        cropped = _resize_crop_only(image, height, width, preprocessing)
    else:
        cropped = _resize_then_crop(image, height, width, preprocessing)
    return (
        cropped
        if cropped.shape == (3, preprocessing.crop, preprocessing.crop)
        else _pad_to_square(cropped, preprocessing)
    )


def resized_shape(height: int, width: int, preprocessing: Preprocessing) -> tuple[int, int]:
    """Compute the height and width after the resize, before the crop."""
    if preprocessing.fit == "squash":
        return preprocessing.resize, preprocessing.resize
    if preprocessing.fit == "border":
        ratio = max(height / preprocessing.resize, width / preprocessing.resize)
        return max(1, round(height / ratio)), max(1, round(width / ratio))
    if height <= width:
        return preprocessing.resize, int(preprocessing.resize * width / height)
    return int(preprocessing.resize * height / width), preprocessing.resize


def _crop_range(side: int, crop: int) -> tuple[int, int]:
    """Compute the start and the length of the crop along one resized side."""
    return max(0, round((side - crop) / 2)), min(side, crop)


def _resize_then_crop(
    image: NDArray[np.uint8], height: int, width: int, preprocessing: Preprocessing
) -> NDArray[np.uint8]:
    """Resize the whole image with torch, which is four times as fast as Pillow, then crop it."""
    whole = torch.from_numpy(np.require(image, requirements=["C", "W"]))[
        None
    ]  # [1, h, w, 3]; permuting afterwards is faster
    pixels = whole.permute(0, 3, 1, 2)  # [1, 3, h, w]
    if (height, width) != image.shape[:2]:
        pixels = torch.nn.functional.interpolate(
            pixels, (height, width), mode=preprocessing.interpolation, antialias=True
        )
    (top, rows), (left, columns) = _crop_range(height, preprocessing.crop), _crop_range(width, preprocessing.crop)
    return np.ascontiguousarray(pixels[0, :, top : top + rows, left : left + columns].numpy())


def _resize_crop_only(
    image: NDArray[np.uint8], height: int, width: int, preprocessing: Preprocessing
) -> NDArray[np.uint8]:
    """Resize only the source pixels of the crop, with Pillow; results differ by at most one grey level."""
    (top, rows), (left, columns) = _crop_range(height, preprocessing.crop), _crop_range(width, preprocessing.crop)
    down, right = image.shape[0] / height, image.shape[1] / width  # source pixels per target pixel
    box = (left * right, top * down, (left + columns) * right, (top + rows) * down)
    source = Image.fromarray(np.ascontiguousarray(image))
    part = source.resize((columns, rows), _PILLOW[preprocessing.interpolation], box=box)
    return np.ascontiguousarray(np.asarray(part).transpose(2, 0, 1))


def _pad_to_square(part: NDArray[np.uint8], preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """Centre ``part`` ``[3, h, w]`` in a square of the padding colour."""
    square = np.empty((3, preprocessing.crop, preprocessing.crop), np.uint8)
    square[:] = np.array(preprocessing.padding, np.uint8)[:, None, None]
    top, left = (preprocessing.crop - part.shape[1]) // 2, (preprocessing.crop - part.shape[2]) // 2
    square[:, top : top + part.shape[1], left : left + part.shape[2]] = part
    return square


_PILLOW = {
    "area": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}


def normalised(images: Tensor, preprocessing: Preprocessing, *, white: float = 255) -> Tensor:
    """Normalize images: subtract the mean of each channel and divide by its standard deviation.

    Args:
        images: Images ``[b, 3, s, s]`` on the device of the encoder; black is 0.
        preprocessing: Preprocessing with the mean and standard deviation.
        white: Value of white in ``images``.

    Returns: Normalized images, float32 ``[b, 3, s, s]``, channels last in memory.
    """
    images = images.to(torch.float32, memory_format=torch.channels_last)
    mean = torch.tensor(preprocessing.mean, device=images.device).view(1, 3, 1, 1) * white
    std = torch.tensor(preprocessing.std, device=images.device).view(1, 3, 1, 1) * white
    return (images - mean) / std
