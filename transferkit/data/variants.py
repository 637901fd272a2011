"""Variants of the same images: rotated, cut into patches, corrupted or augmented.

A variant has a name such as ``rotate:90`` or ``blur:3``, which is part of the cache key. Its random numbers depend
only on that name and the row number, so that every encoder receives the same images.
"""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from ..core.errors import UsageError
from ..core.preprocessing import Preprocessing
from ..core.registry import Registry
from ..core.seeding import generator
from .augment import AugmentSettings, augment_cpu
from .corruptions import SEVERITIES
from .resize_and_crop import frame

Pixels = NDArray[np.uint8]
ImageTransform = Callable[[Pixels, Preprocessing, int, np.random.Generator], Pixels]
"""Function of an image ``[h, w, 3]``, its preprocessing, the variant's number and a random generator.

It returns ``[3, crop, crop]``.
"""

PLAIN = "test"
"""Name of the unchanged variant."""

GRID = 3
"""Patches per side: the middle patch has eight neighbours [1].

[1] Doersch et al., Unsupervised visual representation learning by context prediction, ICCV 2015.
"""

_SIDE = 224
_NOISE = (0.08, 0.12, 0.18, 0.26, 0.38)  # standard deviation, for values in 0 … 1
_BLUR = (1.0, 2.0, 3.0, 4.0, 6.0)  # standard deviation in pixels, for sides of 224
_CONTRAST = (0.4, 0.3, 0.2, 0.1, 0.05)  # remaining fraction of the contrast
_JPEG = (25, 18, 15, 10, 7)  # quality setting of Pillow


@dataclass(frozen=True)
class VariantFamily:
    """A family of variants that differ in their number.

    Attributes:
        transform: Function that makes the image of the variant.
        numbers: Allowed numbers after the colon; empty if any number is allowed.
        description: Description for users.
    """

    transform: ImageTransform
    numbers: Sequence[int]
    description: str


VARIANTS: Registry[VariantFamily] = Registry("variant")


@dataclass(frozen=True)
class Variant:
    """A change of every image before it is encoded.

    Attributes:
        name: ``test`` for no change, else a family and a number such as ``rotate:90``.

    Raises: UnknownNameError, UsageError: If the variant does not exist; the message lists the existing ones.
    """

    name: str = PLAIN

    def __post_init__(self) -> None:
        if self.name == PLAIN:
            return
        kind, _, digits = self.name.partition(":")
        known = VARIANTS[kind].numbers
        if not (digits.isascii() and digits.isdigit()) or (known and int(digits) not in known):
            choices = ", ".join(f"{kind}:{number}" for number in known) or f"{kind}:0, {kind}:1 and so on"
            raise UsageError(f"No variant named {self.name!r}. Choose from: {choices}.")

    def square(self, image: Pixels, preprocessing: Preprocessing, *, row: int) -> Pixels:
        """Make the variant of the preprocessed ``image`` ``[h, w, 3]`` of a row: ``[3, crop, crop]``."""
        if self.name == PLAIN:
            return frame(image, preprocessing)
        kind, _, number = self.name.partition(":")
        rng = generator(0, "variant", kind, int(number), row)
        return VARIANTS[kind].transform(image, preprocessing, int(number), rng)


def _registered(name: str, numbers: Sequence[int], description: str) -> Callable[[ImageTransform], ImageTransform]:
    def add(transform: ImageTransform) -> ImageTransform:
        VARIANTS.register(name)(VariantFamily(transform, numbers, description))
        return transform

    return add


@_registered("augment", (), "random resized crop and random flip; each number is another draw")
def _augmented(image: Pixels, preprocessing: Preprocessing, number: int, rng: np.random.Generator) -> Pixels:
    return augment_cpu(image, _crop_and_flip(preprocessing.crop), rng)


@cache  # one check of the settings for all images
def _crop_and_flip(size: int) -> AugmentSettings:
    return AugmentSettings(size=size, jitter_prob=0, gray_prob=0, blur_prob=0)


@_registered("rotate", (90, 180, 270), "counterclockwise rotation in degrees")
def _rotated(image: Pixels, preprocessing: Preprocessing, number: int, rng: np.random.Generator) -> Pixels:
    return np.rot90(frame(image, preprocessing), number // 90, axes=(1, 2)).copy()


@_registered("patch", range(GRID**2), "one of nine patches in row-major order, enlarged")
def _patch(image: Pixels, preprocessing: Preprocessing, number: int, rng: np.random.Generator) -> Pixels:
    """Cut out a patch without a seventh of its width on each side, so that edges do not reveal its position."""
    from torchvision.transforms.v2 import (
        functional as transforms,
    )  # imported here, because it takes seconds and is rarely needed

    square = torch.from_numpy(frame(image, preprocessing))
    cell = preprocessing.crop / GRID
    side = max(1, round(cell * 5 / 7))
    top, left = (min(round(index * cell + cell / 7), preprocessing.crop - side) for index in divmod(number, GRID))
    patch = square[:, top : top + side, left : left + side]
    return transforms.resize(patch, [preprocessing.crop, preprocessing.crop], antialias=True).numpy()


@_registered("noise", SEVERITIES, "Gaussian noise")
def _noisy(image: Pixels, preprocessing: Preprocessing, number: int, rng: np.random.Generator) -> Pixels:
    square = frame(image, preprocessing)
    noise = rng.normal(scale=255 * _NOISE[number - 1], size=square.shape)
    return np.rint(square + noise).clip(0, 255).astype(np.uint8)


@_registered("blur", SEVERITIES, "Gaussian blur")
def _blurred(image: Pixels, preprocessing: Preprocessing, number: int, rng: np.random.Generator) -> Pixels:
    from torchvision.transforms.v2 import functional as transforms

    sigma = _BLUR[number - 1] * (preprocessing.crop / _SIDE) ** 0.5
    radius = min(max(1, round(3 * sigma)), (preprocessing.crop - 1) // 2)  # the mirrored border lies within the image
    square = torch.from_numpy(frame(image, preprocessing))
    return transforms.gaussian_blur(square, [2 * radius + 1] * 2, [sigma] * 2).numpy()


@_registered("contrast", SEVERITIES, "reduced contrast around the mean of each channel")
def _flattened(image: Pixels, preprocessing: Preprocessing, number: int, rng: np.random.Generator) -> Pixels:
    square = frame(image, preprocessing)
    mean = square.mean(axis=(1, 2), keepdims=True)
    return np.rint(mean + _CONTRAST[number - 1] * (square - mean)).astype(np.uint8)


@_registered("jpeg", SEVERITIES, "JPEG compression")
def _compressed(image: Pixels, preprocessing: Preprocessing, number: int, rng: np.random.Generator) -> Pixels:
    square = frame(image, preprocessing)
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(square.transpose(1, 2, 0))).save(file, "JPEG", quality=_JPEG[number - 1])
    return np.ascontiguousarray(np.asarray(Image.open(file)).transpose(2, 0, 1))
