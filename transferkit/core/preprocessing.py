"""Parameters of the image preprocessing of an encoder."""

from dataclasses import dataclass, replace
from typing import Literal, get_args

from .errors import UsageError
from .json_dataclass import JsonDataclass

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

Fit = Literal["shorter", "squash", "border"]
Interpolation = Literal["bilinear", "bicubic", "area"]


@dataclass(frozen=True)
class Preprocessing(JsonDataclass):
    """Resize, centre crop and normalisation; a frozen value, so that it can be part of a cache key.

    Attributes:
        resize: size in pixels of the shorter side (``fit="shorter"``), of both sides (``"squash"``) or of the
            longer side (``"border"``).
        crop: size in pixels per side of the central square. If the resized image is smaller, it is padded, with
            the colour ``mean`` for ``"border"`` and with black otherwise.
        fit: side that is resized; only ``squash`` changes the aspect ratio.
        interpolation: ``area`` is the mean over the source pixels; ``bilinear`` and ``bicubic`` are antialiased.
        mean, std: mean and standard deviation per channel, for values in 0 … 1.

    Raises: UsageError: if a size is below 1, the fit or interpolation is unknown, or the mean of a border is not
        a colour.
    """

    resize: int = 256
    crop: int = 224
    fit: Fit = "shorter"
    interpolation: Interpolation = "bicubic"
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    def __post_init__(self) -> None:
        if min(self.crop, self.resize) < 1:
            raise UsageError(
                f"Preprocessing cannot resize to {self.resize} pixels and crop {self.crop}: both must be at least 1."
            )
        for name, allowed in (("fit", get_args(Fit)), ("interpolation", get_args(Interpolation))):
            if (value := getattr(self, name)) not in allowed:
                raise UsageError(f"Preprocessing has no {name} {value!r}: choose from {', '.join(allowed)}.")

        if self.fit == "border" and not all(0 <= value <= 1 for value in self.mean):
            raise UsageError(
                f"The mean {self.mean} is invalid for fit 'border', which pads with this colour: give values in 0 … 1."
            )

    @property
    def padding(self) -> tuple[int, int, int]:
        """8-bit colour of the padding."""
        red, green, blue = self.mean if self.fit == "border" else (0.0, 0.0, 0.0)
        return round(255 * red), round(255 * green), round(255 * blue)

    def at(self, size: int) -> "Preprocessing":
        """Return the same preprocessing for a crop of ``size`` pixels per side, with a proportional resize."""
        if size < 1:
            raise UsageError(f"--size {size} is too small: give 1 or more pixels.")
        return replace(self, crop=size, resize=max(1, round(size * self.resize / self.crop)))
