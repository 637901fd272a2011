"""Settings of the inversion protocol: values without the machinery, so that help pages need not load it."""

from dataclasses import asdict, dataclass
from typing import Any

from ..core.errors import UsageError

SMALLEST = 16
"""Pixels of a side; below, hardly any layer has a map, and structural similarity has no window."""


@dataclass(frozen=True)
class InvertSettings:
    """Which images are looked for, behind which layers.

    Attributes:
        layers: ``stages``, ``all`` or module-name patterns; of ``stages`` and ``all`` those layers that have
            a map or tokens.
        num_images: how many, evenly spaced over the split.
        split: whose images: ``train``, ``val`` or ``test``.
        size: pixels of the square that every model sees.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1`` …
    """

    layers: tuple[str, ...] = ("stages",)
    num_images: int = 4
    split: str = "test"
    size: int = 64
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.num_images < 1:
            raise UsageError(f"--num-images {self.num_images} is too small: give 1 or more.")
        if self.size < SMALLEST:
            raise UsageError(f"--size {self.size} is too small: give {SMALLEST} pixels or more.")

    def to_json(self) -> dict[str, Any]:
        """Plain values, for records."""
        return {**asdict(self), "layers": list(self.layers)}


FULL = InvertSettings(size=224)
"""The squares of the published method, which its prior of depth 6 needs 128 pixels or more for."""
