"""Settings of the hardware of a training, and the precisions that it can use."""

from dataclasses import dataclass
from typing import Literal

from ..core.errors import UsageError

Precision = Literal["auto", "fp32", "bf16", "fp16"]


def out_of_range(name: str, value: float, limits: str) -> str:
    """Return the message about a setting whose value is too small or too large."""
    return f"--{name.replace('_', '-')} {value} is out of range: give a number of {limits}."


@dataclass(frozen=True)
class TrainerConfig:
    """Settings of the hardware that training runs on, of loggers and of checkpoints.

    Attributes:
        device: device: ``auto`` (a GPU where there is one), ``cpu`` or ``cuda``.
        devices: number of processes per machine, one per GPU.
        nodes: number of machines.
        workers: number of data-loading processes per training process; by default chosen from the number of CPU cores.
        compile: compile the network with torch.compile; the first step then takes minutes.
        logger: loggers of the training curves: ``csv``, ``tensorboard``, ``wandb``, or several.
        checkpoint_minutes: maximum time between checkpoints in minutes; a checkpoint is also written after each epoch.
    """

    device: Literal["auto", "cpu", "cuda"] = "auto"
    devices: int = 1
    nodes: int = 1
    workers: int | None = None
    compile: bool = False
    logger: tuple[str, ...] = ()
    checkpoint_minutes: float = 10.0

    def __post_init__(self) -> None:
        if self.device not in ("auto", "cpu", "cuda"):
            raise UsageError(f"--device {self.device!r} is unknown. Choose from: auto, cpu, cuda.")
        for name, lowest in (("devices", 1), ("nodes", 1), ("workers", 0), ("checkpoint_minutes", 0)):
            value = getattr(self, name)
            if value is not None and not value >= lowest:
                raise UsageError(out_of_range(name, value, f"{lowest} or more"))
