"""How an image becomes the square an encoder sees."""

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

from .errors import UsageError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

Fit = Literal["shorter", "squash", "border"]
Interpolation = Literal["bilinear", "bicubic", "area"]


@dataclass(frozen=True)
class Preprocessing:
    """Resize, centre crop, normalise; a value, so that it can stand in a cache key.

    Attributes:
        resize: pixels of the shorter side (``fit="shorter"``), of both sides (``"squash"``) or of the longer
            side (``"border"``).
        crop: pixels per side of the central square that is kept. What the resized image lacks of it is
            padded: with the colour ``mean`` for ``"border"``, with black for the others.
        fit: ``squash`` changes the aspect ratio, the others keep it.
        interpolation: ``area`` is a plain mean over the source pixels; the others are antialiased.
        mean, std: per channel, for values in 0 … 1.

    Raises: UsageError: for sizes below 1, for an unknown fit or interpolation, and for a border whose mean is
        no colour.
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
                f"A view cannot resize to {self.resize} pixels and keep {self.crop}: both must be at least 1."
            )
        for name, allowed in (("fit", get_args(Fit)), ("interpolation", get_args(Interpolation))):
            if (value := getattr(self, name)) not in allowed:
                raise UsageError(f"A view has no {name} {value!r}: choose from {', '.join(allowed)}.")

        if self.fit == "border" and not all(0 <= value <= 1 for value in self.mean):
            raise UsageError(
                f"A view with a border has the mean {self.mean}, which is the border's colour: give values in 0 … 1."
            )

    @property
    def padding(self) -> tuple[int, int, int]:
        """The 8-bit colour of what is padded."""
        red, green, blue = self.mean if self.fit == "border" else (0.0, 0.0, 0.0)
        return round(255 * red), round(255 * green), round(255 * blue)

    def at(self, size: int) -> "Preprocessing":
        """The same view for a square of ``size`` pixels, resized in proportion."""
        if size < 1:
            raise UsageError(f"--size {size} is not a number of pixels: give 1 or more.")
        return replace(self, crop=size, resize=max(1, round(size * self.resize / self.crop)))

    def to_json(self) -> dict[str, Any]:
        """Plain values, for keys and records."""
        return {**asdict(self), "mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def of_json(cls, value: dict[str, Any]) -> "Preprocessing":
        """The reverse of ``to_json``.

        Raises: TypeError, KeyError: if ``value`` is nothing of the kind.
        """
        return cls(**{**value, "mean": tuple(value["mean"]), "std": tuple(value["std"])})
