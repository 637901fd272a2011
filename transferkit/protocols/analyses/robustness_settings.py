"""Settings of the robustness analysis; importing them does not import torch, so that help pages are fast."""

from dataclasses import asdict, dataclass
from typing import Any

from ...core.errors import UsageError
from ...core.registry import unknown_name
from ...data.corruptions import CORRUPTIONS, SEVERITIES


@dataclass(frozen=True)
class RobustnessSettings:
    """Settings of the robustness analysis: the corruptions of the test images, and the probe.

    Attributes:
        corruptions: corruptions of the test images: ``noise``, ``blur``, ``contrast``, ``jpeg``.
        severities: severities of the corruptions, from 1 to 5; clean images are always scored too, as severity 0.
        penalties: number of L2 penalties of the linear probe to compare.
    """

    corruptions: tuple[str, ...] = CORRUPTIONS
    severities: tuple[int, ...] = SEVERITIES
    penalties: int = 12

    def __post_init__(self) -> None:
        for name in self.corruptions:
            if name not in CORRUPTIONS:
                raise unknown_name("corruption", name, list(CORRUPTIONS))
        for severity in self.severities:
            if severity not in SEVERITIES:
                raise UsageError(f"--severities {severity} is invalid. Choose from: 1, 2, 3, 4, 5.")
        if self.penalties < 1:
            raise UsageError(f"--penalties {self.penalties} is too few: give 1 or more.")

    def to_json(self) -> dict[str, Any]:
        """Return the settings as plain values, for records."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}
