"""Settings of the robustness analysis; importing them does not import torch, so that help pages are fast."""

from dataclasses import dataclass
from typing import Annotated

from ...core.settings import OneOf, PositiveInt, Settings
from ...data.corruptions import CORRUPTIONS, SEVERITIES


@dataclass(frozen=True)
class RobustnessSettings(Settings):
    """Settings of the robustness analysis: the corruptions of the test images, and the probe.

    Attributes:
        corruptions: corruptions of the test images: ``noise``, ``blur``, ``contrast`` or ``jpeg``.
        severities: severities of the corruptions, from 1 to 5; the unchanged images are always scored too, as severity
            0.
        penalties: number of L2 penalties of the linear probe, of which validation selects one.
    """

    corruptions: tuple[Annotated[str, OneOf(CORRUPTIONS)], ...] = CORRUPTIONS
    severities: tuple[Annotated[int, OneOf(SEVERITIES)], ...] = SEVERITIES
    penalties: PositiveInt = 12
