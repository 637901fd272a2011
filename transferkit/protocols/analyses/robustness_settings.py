"""What is asked of robustness; apart from how it is answered, which takes seconds to load."""

from dataclasses import asdict, dataclass
from typing import Any

from ...core.errors import UsageError
from ...core.registry import unknown_name
from ...data.variants import CORRUPTIONS, SEVERITIES


@dataclass(frozen=True)
class RobustnessSettings:
    """What the test images suffer.

    Attributes:
        corruptions: kinds: ``noise``, ``blur``, ``contrast``, ``jpeg``.
        severities: strengths, 1 to 5; the clean images are always scored too, as severity 0.
        penalties: how many L2 penalties of the linear probe are tried.
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
                raise UsageError(f"--severities {severity} is none: give some of 1, 2, 3, 4, 5.")
        if self.penalties < 1:
            raise UsageError(f"--penalties {self.penalties} is too few: give 1 or more.")

    def to_json(self) -> dict[str, Any]:
        """Plain values, for records."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}
