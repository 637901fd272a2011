"""How an image becomes the square an encoder sees."""

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from .errors import UsageError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class View:
    """Resize, centre crop, normalise; a value, so that it can stand in a cache key.

    Attributes:
        resize: pixels of the shorter side (``fit="shorter"``) or of both sides (``fit="squash"``).
        crop: pixels of the central square that is kept; at most ``resize``.
        fit: whether the aspect ratio is kept before the crop.
        interpolation: ``area`` is a plain mean over the source pixels; the others are antialiased.
        mean, std: per channel, for values in 0 … 1.
    """

    resize: int = 256
    crop: int = 224
    fit: Literal["shorter", "squash"] = "shorter"
    interpolation: Literal["bilinear", "bicubic", "area"] = "bicubic"
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    def __post_init__(self) -> None:
        if not 1 <= self.crop <= self.resize:
            raise UsageError(f"A view cannot crop {self.crop} pixels out of {self.resize}.")

    def at(self, size: int) -> "View":
        """The same view for a square of ``size`` pixels, resized in proportion."""
        if size < 1:
            raise UsageError(f"--size {size} is not a number of pixels: give 1 or more.")
        return replace(self, crop=size, resize=max(size, round(size * self.resize / self.crop)))

    def to_json(self) -> dict[str, Any]:
        """Plain values, for keys and records."""
        return {**asdict(self), "mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def of_json(cls, value: dict[str, Any]) -> "View":
        """The reverse of ``to_json``.

        Raises: TypeError, KeyError: if ``value`` is nothing of the kind.
        """
        return cls(**{**value, "mean": tuple(value["mean"]), "std": tuple(value["std"])})
