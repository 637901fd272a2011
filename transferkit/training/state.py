"""The training state: progress and history of a run, and the accumulation of its losses, which must be finite."""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..core.errors import ModelError
from ..core.json_dataclass import JsonDataclass

READ_EVERY = 10
"""Number of steps whose losses are read together: each read makes the host wait for the device."""


@dataclass(frozen=True, eq=False)
class StepLosses:
    """Losses of one step; the tensors stay on the device, so that the host does not wait for it.

    Attributes:
        number: index of the step in the run, starting from 0.
        readings: the loss ``total``, each term by its name, and ``gradient_norm`` if the weights were updated;
            each of shape ``[]``.
        reasons: row → error message, for images that could not be read.
    """

    number: int
    readings: dict[str, Tensor]
    reasons: dict[int, str]


@dataclass
class TrainingState(JsonDataclass):
    """Progress of a run, as plain values that each checkpoint stores.

    Attributes:
        step: index of the next step.
        history: one line per epoch: mean losses and gradient norm, k-NN accuracy if evaluated, seconds.
        sums: sum and count of each reading in the current epoch.
        seconds: duration of the current epoch so far.
        unreadable: number of unreadable images, for each of which another image was used.
    """

    step: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    sums: dict[str, tuple[float, int]] = field(default_factory=dict)
    seconds: float = 0.0
    unreadable: int = 0

    @property
    def best_is_last(self) -> bool:
        """True if the last epoch has the highest k-NN accuracy so far."""
        accuracies = [line["knn"] for line in self.history if "knn" in line]
        return bool(accuracies) and "knn" in self.history[-1] and accuracies[-1] == max(accuracies)

    def close_epoch(self, **extra: float) -> dict[str, float]:
        """Append the epoch's means to the history, reset the sums, and return the new line."""
        means = {name: total / count for name, (total, count) in self.sums.items()}
        line = {"epoch": len(self.history) + 1.0, **means, **extra, "seconds": self.seconds}
        self.history.append(line)
        self.sums, self.seconds = {}, 0.0
        return line


class NonFiniteGuard:
    """Accumulates the losses of an epoch in the training state, and raises an error at the first non-finite one.

    Losses stay on the device until ``READ_EVERY`` steps are pending, or ``read`` is called.

    Args:
        training_state: state that collects the sums.
        advice: last sentence of the error message.
    """

    def __init__(self, training_state: TrainingState, *, advice: str) -> None:
        self._training_state, self._advice = training_state, advice
        self._pending: list[StepLosses] = []

    def add(self, losses: StepLosses) -> dict[str, float]:
        """Add the losses of a step; return the newest readings if it is time to ``read``, else an empty dictionary.

        Raises: ModelError: see ``read``.
        """
        self._pending.append(losses)
        return self.read() if len(self._pending) == READ_EVERY else {}

    def read(self) -> dict[str, float]:
        """Read and accumulate the losses of the pending steps, and return the newest value of each reading.

        Raises: ModelError: if a loss or gradient norm is not finite, with the number of the first such step.
        """
        if not self._pending:
            return {}
        steps, self._pending = self._pending, []
        flat = [(step.number, name, value) for step in steps for name, value in step.readings.items()]
        values = torch.stack([value for *_, value in flat]).tolist()
        newest = {}
        for (number, name, _), value in zip(flat, values, strict=True):
            if not math.isfinite(value):
                raise ModelError(f"{_described(name)} is {value} at step {number}. {self._advice}")
            total, count = self._training_state.sums.get(name, (0.0, 0))
            self._training_state.sums[name] = (total + value, count + 1)
            newest[name] = value
        return newest


def _described(name: str) -> str:
    return "The gradient norm" if name == "gradient_norm" else f"The loss {name}"
