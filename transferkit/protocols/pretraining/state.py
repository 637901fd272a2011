"""How far a run has come, and whether what it showed is sound."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from ...core.errors import ModelError
from .trainer import Step

_EVERY = 10  # steps between two looks at the losses, for each makes the host wait for the device


@dataclass
class TrainingState:
    """How far a run has come; plain values, kept in every checkpoint.

    Attributes:
        step: the next one to take.
        history: one line per epoch: mean losses and gradient norm, k-NN accuracy when it was watched, seconds.
        sums: of the readings of the epoch under way, and how many were added up.
        seconds: of the epoch under way.
        unreadable: how often an image could not be read, and another was shown in its place.
    """

    step: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    sums: dict[str, tuple[float, int]] = field(default_factory=dict)
    seconds: float = 0.0
    unreadable: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)

    @property
    def best_is_last(self) -> bool:
        """Whether no earlier epoch had a better k-NN accuracy than the last one had."""
        watched = [line["knn"] for line in self.history if "knn" in line]
        return bool(watched) and "knn" in self.history[-1] and watched[-1] == max(watched)

    def close_epoch(self, **extra: float) -> dict[str, float]:
        """Turn the sums into a line of the history, and begin the next."""
        means = {name: total / count for name, (total, count) in self.sums.items()}
        line = {"epoch": len(self.history) + 1.0, **means, **extra, "seconds": self.seconds}
        self.history.append(line)
        self.sums, self.seconds = {}, 0.0
        return line


class NonFiniteGuard:
    """Reads the losses of several steps at once, adds them up, and stops at one that is not finite.

    Args:
        training_state: where the losses are added up.
        advice: how the message ends.
    """

    def __init__(self, training_state: TrainingState, *, advice: str) -> None:
        self._standing, self._advice = training_state, advice
        self._pending: list[Step] = []

    def add(self, step: Step) -> dict[str, float]:
        """Take note of a step; now and then the newest readings, else nothing.

        Raises: ModelError: if a loss is not finite, naming the step.
        """
        self._pending.append(step)
        return self.read() if len(self._pending) == _EVERY else {}

    def read(self) -> dict[str, float]:
        """Look at what has gathered; the newest value of each reading."""
        if not self._pending:
            return {}
        steps, self._pending = self._pending, []
        flat = [(step.number, name, value) for step in steps for name, value in step.readings.items()]
        values = torch.stack([value for *_, value in flat]).tolist()
        newest = {}
        for (number, name, _), value in zip(flat, values, strict=True):
            if not math.isfinite(value):
                raise ModelError(f"{_said(name)} is {value} at step {number}. {self._advice}")
            total, count = self._standing.sums.get(name, (0.0, 0))
            self._standing.sums[name] = (total + value, count + 1)
            newest[name] = value
        return newest


def _said(name: str) -> str:
    return "The norm of the gradient" if name == "gradient_norm" else f"The loss {name}"
