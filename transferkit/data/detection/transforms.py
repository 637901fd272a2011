"""Transforms of an image together with its boxes: horizontal flip, resize, and random scale.

The functions are pure. Images are uint8 ``[3, h, w]``; boxes are float32 ``[m, 4]``: left, top, right and bottom in
pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...core.errors import UsageError
from .boxed import ImageBoxes


def flipped_boxes(boxes: NDArray[np.floating], width: float) -> NDArray[np.floating]:
    """Flip boxes ``[m, 4]`` horizontally in an image of width ``width``."""
    return np.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], 1)


def resized_boxes(boxes: NDArray[np.floating], size: tuple[int, int], new: tuple[int, int]) -> NDArray[np.floating]:
    """Scale boxes ``[m, 4]`` to an image resized from ``size`` to ``new``, each height and width."""
    down, right = new[0] / size[0], new[1] / size[1]
    return boxes * np.array([right, down, right, down], boxes.dtype)


def flipped(image: Tensor, objects: ImageBoxes) -> tuple[Tensor, ImageBoxes]:
    """Flip an image ``[3, h, w]`` and its objects horizontally."""
    return image.flip(2), replace(objects, boxes=flipped_boxes(objects.boxes, image.shape[2]))


def resized(image: Tensor, objects: ImageBoxes, new: tuple[int, int]) -> tuple[Tensor, ImageBoxes]:
    """Resize an image ``[3, h, w]`` and its objects to the height and width ``new`` (antialiased bilinear)."""
    size = (image.shape[1], image.shape[2])
    if size == new:
        return image, objects
    last = image[None].contiguous(memory_format=torch.channels_last)  # faster, and correct for a single pixel
    pixels = torch.nn.functional.interpolate(last, new, mode="bilinear", antialias=True)[0]
    boxes = resized_boxes(objects.boxes, size, new)
    areas = (objects.areas * (new[0] * new[1] / (size[0] * size[1]))).astype(np.float32)
    return pixels, replace(objects, boxes=boxes, areas=areas)


def scaled_size(height: int, width: int, *, shorter: int, max_size: int) -> tuple[int, int]:
    """Compute height and width for a shorter side of ``shorter``, or less if the longer side would exceed ``max_size``.

    Both are rounded to whole pixels and are at least 1.
    """
    scale = min(shorter / min(height, width), max_size / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


@dataclass(frozen=True)
class TrainingView:
    """Random transform of the images in the training of a detector.

    Attributes:
        shorter: Lengths of the shorter side in pixels, one of which is drawn for each image.
        max_size: Maximum length of the longer side in pixels.
        flip_prob: Probability of a horizontal flip.

    Raises: UsageError: If a size or the probability is invalid.
    """

    shorter: tuple[int, ...] = (640, 672, 704, 736, 768, 800)
    max_size: int = 1333
    flip_prob: float = 0.5

    def __post_init__(self) -> None:
        if not self.shorter or min(self.shorter) < 1 or self.max_size < max(self.shorter):
            sides = ", ".join(map(str, self.shorter)) or "none"
            raise UsageError(
                f"The shorter side cannot be {sides} with a longer side of {self.max_size}. "
                "Give one or more numbers of pixels, none above the longer side."
            )
        if not 0 <= self.flip_prob <= 1:
            raise UsageError(f"The flip probability {self.flip_prob} is invalid. Give a number from 0 to 1.")

    def __call__(self, image: Tensor, objects: ImageBoxes, rng: np.random.Generator) -> tuple[Tensor, ImageBoxes]:
        """Resize an image ``[3, h, w]`` and its objects to a random scale, and flip them at random."""
        shorter = self.shorter[int(rng.integers(len(self.shorter)))]
        size = scaled_size(image.shape[1], image.shape[2], shorter=shorter, max_size=self.max_size)
        image, objects = resized(image, objects, size)
        return flipped(image, objects) if rng.random() < self.flip_prob else (image, objects)


def padded_batch(images: Sequence[Tensor]) -> Tensor:
    """Stack images ``[3, h, w]`` of several sizes to ``[b, 3, H, W]``, zero-padded on the right and below."""
    height, width = (max(image.shape[axis] for image in images) for axis in (1, 2))
    batch = torch.zeros(len(images), 3, height, width, dtype=images[0].dtype)
    for target, image in zip(batch, images, strict=True):
        target[:, : image.shape[1], : image.shape[2]] = image
    return batch
