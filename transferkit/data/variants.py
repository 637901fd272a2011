"""Other looks at the same images: turned, cut to pieces, corrupted, augmented; each a view of its own.

A variant is named like ``rotate:90`` or ``blur:3``, and that name stands in the cache key. What is random in
it is drawn by its name and the number of the row: every encoder is shown the same.
"""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from ..core.errors import UsageError
from ..core.preprocessing import Preprocessing
from ..core.registry import Registry
from ..core.seeding import generator
from .augment import AugmentSettings, augment_cpu
from .resize_and_crop import frame

Pixels = NDArray[np.uint8]
Look = Callable[[Pixels, Preprocessing, int, np.random.Generator], Pixels]
"""From an image ``[h, w, 3]``, a view, the number behind the colon and a generator to ``[3, crop, crop]``."""

PLAIN = "test"
"""The name of the view without any change."""

GRID = 3
"""Patches a side: the middle one has eight neighbours [1].

[1] Doersch et al., Unsupervised visual representation learning by context prediction, ICCV 2015.
"""

CORRUPTIONS = ("noise", "blur", "contrast", "jpeg")
SEVERITIES = (1, 2, 3, 4, 5)
"""Strengths as in [2], made for squares of 224 pixels. The blur of a square of other size grows with the
square root of its side, which comes close to what [2] takes for 32 pixels.

[2] Hendrycks and Dietterich, Benchmarking neural network robustness to common corruptions and
    perturbations, ICLR 2019.
"""

_SIDE = 224
_NOISE = (0.08, 0.12, 0.18, 0.26, 0.38)  # deviation, of values in 0 … 1
_BLUR = (1.0, 2.0, 3.0, 4.0, 6.0)  # deviation, in pixels of 224
_CONTRAST = (0.4, 0.3, 0.2, 0.1, 0.05)  # what is left of it
_JPEG = (25, 18, 15, 10, 7)  # Pillow's quality


@dataclass(frozen=True)
class Kind:
    """One family of variants.

    Attributes:
        look: makes the square.
        numbers: that may stand behind the colon; none means any.
        meaning: for people.
    """

    look: Look
    numbers: Sequence[int]
    meaning: str


VARIANTS: Registry[Kind] = Registry("variant")


@dataclass(frozen=True)
class Variant:
    """How every image is changed before an encoder sees it.

    Attributes:
        name: ``test`` for not at all, else a kind and a number such as ``rotate:90``.

    Raises: UnknownNameError, UsageError: for a variant that does not exist, with those that do.
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

    def square(self, image: Pixels, view: Preprocessing, *, row: int) -> Pixels:
        """What is shown of ``image`` ``[h, w, 3]``, the row's, instead of the view: ``[3, crop, crop]``."""
        if self.name == PLAIN:
            return frame(image, view)
        kind, _, number = self.name.partition(":")
        rng = generator(0, "variant", kind, int(number), row)
        return VARIANTS[kind].look(image, view, int(number), rng)


def _registered(name: str, numbers: Sequence[int], meaning: str) -> Callable[[Look], Look]:
    def add(look: Look) -> Look:
        VARIANTS.register(name)(Kind(look, numbers, meaning))
        return look

    return add


@_registered("augment", (), "a random resized crop, perhaps mirrored; another for each number")
def _augmented(image: Pixels, view: Preprocessing, number: int, rng: np.random.Generator) -> Pixels:
    return augment_cpu(image, AugmentSettings(size=view.crop, jitter_prob=0, gray_prob=0, blur_prob=0), rng)


@_registered("rotate", (90, 180, 270), "turned to the left, in degrees")
def _rotated(image: Pixels, view: Preprocessing, number: int, rng: np.random.Generator) -> Pixels:
    return np.rot90(frame(image, view), number // 90, axes=(1, 2)).copy()


@_registered("patch", range(GRID**2), "one of nine patches, enlarged; row after row")
def _patch(image: Pixels, view: Preprocessing, number: int, rng: np.random.Generator) -> Pixels:
    """A patch leaves out a seventh of its width on each side, so that edges give no neighbour away."""
    from torchvision.transforms.v2 import functional as transforms  # seconds to load, and rarely needed

    square = torch.from_numpy(frame(image, view))
    cell = view.crop / GRID
    side = max(1, round(cell * 5 / 7))
    top, left = (min(round(place * cell + cell / 7), view.crop - side) for place in divmod(number, GRID))
    patch = square[:, top : top + side, left : left + side]
    return transforms.resize(patch, [view.crop, view.crop], antialias=True).numpy()


@_registered("noise", SEVERITIES, "Gaussian noise")
def _noisy(image: Pixels, view: Preprocessing, number: int, rng: np.random.Generator) -> Pixels:
    square = frame(image, view)
    noise = rng.normal(scale=255 * _NOISE[number - 1], size=square.shape)
    return np.rint(square + noise).clip(0, 255).astype(np.uint8)


@_registered("blur", SEVERITIES, "Gaussian blur")
def _blurred(image: Pixels, view: Preprocessing, number: int, rng: np.random.Generator) -> Pixels:
    from torchvision.transforms.v2 import functional as transforms

    sigma = _BLUR[number - 1] * (view.crop / _SIDE) ** 0.5
    radius = min(max(1, round(3 * sigma)), (view.crop - 1) // 2)  # what is mirrored lies in the image
    square = torch.from_numpy(frame(image, view))
    return transforms.gaussian_blur(square, [2 * radius + 1] * 2, [sigma] * 2).numpy()


@_registered("contrast", SEVERITIES, "less contrast, about the mean of each channel")
def _flattened(image: Pixels, view: Preprocessing, number: int, rng: np.random.Generator) -> Pixels:
    square = frame(image, view)
    mean = square.mean(axis=(1, 2), keepdims=True)
    return np.rint(mean + _CONTRAST[number - 1] * (square - mean)).astype(np.uint8)


@_registered("jpeg", SEVERITIES, "compressed as JPEG")
def _compressed(image: Pixels, view: Preprocessing, number: int, rng: np.random.Generator) -> Pixels:
    square = frame(image, view)
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(square.transpose(1, 2, 0))).save(file, "JPEG", quality=_JPEG[number - 1])
    return np.ascontiguousarray(np.asarray(Image.open(file)).transpose(2, 0, 1))
