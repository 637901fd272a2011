"""Changes of an image that its boxes follow: mirrored, resized, at one of several scales.

Pure functions. Images are uint8 ``[3, h, w]``, boxes float32 ``[m, 4]`` left, top, right, bottom in pixels.
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
    """The boxes ``[m, 4]`` in the image mirrored left to right, whose width is ``width``."""
    return np.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], 1)


def resized_boxes(boxes: NDArray[np.floating], size: tuple[int, int], new: tuple[int, int]) -> NDArray[np.floating]:
    """The boxes ``[m, 4]`` in the image resized from ``size`` to ``new``, each height and width."""
    down, right = new[0] / size[0], new[1] / size[1]
    return boxes * np.array([right, down, right, down], boxes.dtype)


def flipped(image: Tensor, objects: ImageBoxes) -> tuple[Tensor, ImageBoxes]:
    """Image ``[3, h, w]`` and objects mirrored left to right."""
    return image.flip(2), replace(objects, boxes=flipped_boxes(objects.boxes, image.shape[2]))


def resized(image: Tensor, objects: ImageBoxes, new: tuple[int, int]) -> tuple[Tensor, ImageBoxes]:
    """Image ``[3, h, w]`` and objects at the height and width ``new``; antialiased, bilinear."""
    size = (image.shape[1], image.shape[2])
    if size == new:
        return image, objects
    last = image[None].contiguous(memory_format=torch.channels_last)  # faster, and right for a single pixel
    pixels = torch.nn.functional.interpolate(last, new, mode="bilinear", antialias=True)[0]
    boxes = resized_boxes(objects.boxes, size, new)
    areas = (objects.areas * (new[0] * new[1] / (size[0] * size[1]))).astype(np.float32)
    return pixels, replace(objects, boxes=boxes, areas=areas)


def scaled_size(height: int, width: int, *, shorter: int, max_size: int) -> tuple[int, int]:
    """Height and width with a shorter side of ``shorter``, or less where the other would pass ``max_size``.

    Both are rounded to whole pixels, and neither is below 1.
    """
    scale = min(shorter / min(height, width), max_size / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


@dataclass(frozen=True)
class TrainingView:
    """How an image is changed while a detector is trained.

    Attributes:
        shorter: pixels of the shorter side, one of which is drawn for each image.
        max_size: pixels that the longer side may have.
        flip_prob: probability of mirroring.

    Raises: UsageError: if a size or the probability cannot be meant.
    """

    shorter: tuple[int, ...] = (640, 672, 704, 736, 768, 800)
    max_size: int = 1333
    flip_prob: float = 0.5

    def __post_init__(self) -> None:
        if not self.shorter or min(self.shorter) < 1 or self.max_size < max(self.shorter):
            sides = ", ".join(map(str, self.shorter)) or "none"
            raise UsageError(
                f"The shorter side cannot be {sides} with {self.max_size} for the longer one: "
                "give one or more numbers of pixels, none above the longer side's."
            )
        if not 0 <= self.flip_prob <= 1:
            raise UsageError(f"A probability of mirroring of {self.flip_prob} is not in 0 … 1.")

    def __call__(self, image: Tensor, objects: ImageBoxes, rng: np.random.Generator) -> tuple[Tensor, ImageBoxes]:
        """Image ``[3, h, w]`` and objects, at a drawn scale and perhaps mirrored."""
        shorter = self.shorter[int(rng.integers(len(self.shorter)))]
        size = scaled_size(image.shape[1], image.shape[2], shorter=shorter, max_size=self.max_size)
        image, objects = resized(image, objects, size)
        return flipped(image, objects) if rng.random() < self.flip_prob else (image, objects)


def padded_batch(images: Sequence[Tensor]) -> Tensor:
    """Images ``[3, h, w]`` of several sizes as ``[b, 3, H, W]``, filled with zeros to the right and below."""
    height, width = (max(image.shape[axis] for image in images) for axis in (1, 2))
    batch = torch.zeros(len(images), 3, height, width, dtype=images[0].dtype)
    for place, image in zip(batch, images, strict=True):
        place[:, : image.shape[1], : image.shape[2]] = image
    return batch
