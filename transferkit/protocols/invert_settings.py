"""Settings of the inversion protocol; importing them does not import torch, so that help pages are fast."""

from dataclasses import dataclass
from typing import Annotated

from ..core.settings import Limits, PositiveInt, Settings

MIN_SIZE = 16
"""Minimum size in pixels per side: with less, few layers have a map, and SSIM's window does not fit."""


INVERSION = "inversion"
"""Protocol of the records of feature inversion."""


@dataclass(frozen=True)
class InvertSettings(Settings):
    """Settings of the inversion of layers: the images to reconstruct, and from which layers.

    Attributes:
        layers: layers to invert: ``stages`` or ``all``, of those with feature maps or tokens, or module names with
            wildcards, such as layer*.
        num_images: number of images, evenly spaced over the split.
        split: split of the images: ``train``, ``val`` or ``test``.
        size: input size of every model in pixels per side.
        device: device, such as cpu, cuda or cuda:1; ``auto`` selects a GPU if there is one.
    """

    layers: tuple[str, ...] = ("stages",)
    num_images: PositiveInt = 4
    split: str = "test"
    size: Annotated[int, Limits(MIN_SIZE)] = 64
    device: str = "auto"


FULL = InvertSettings(size=224)
"""Settings with the image size of the published method; its prior of depth 6 needs 128 pixels or more."""
