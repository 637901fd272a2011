"""Settings of the hardware of a training, and the precisions that it can use."""

from dataclasses import dataclass
from typing import Literal

from ..core.settings import NonNegativeFloat, NonNegativeInt, PositiveInt, Settings

Precision = Literal["auto", "fp32", "bf16", "fp16"]


@dataclass(frozen=True)
class TrainerConfig(Settings):
    """Settings of the hardware that training runs on, of loggers and of checkpoints.

    Attributes:
        device: device; ``auto`` selects a GPU if there is one.
        devices: number of GPUs per machine, each with a process of its own; on a CPU, number of processes.
        nodes: number of machines; start the command with torchrun on each of them, or with srun in a Slurm job.
        workers: number of data-loading processes per training process; by default chosen from the number of CPU cores.
        compile: compile the network with torch.compile; the first step then takes minutes.
        logger: loggers of the training curves: ``csv``, ``tensorboard`` or ``wandb``; by default none.
        checkpoint_minutes: maximum time between checkpoints in minutes; a checkpoint is also written after each epoch.
    """

    device: Literal["auto", "cpu", "cuda"] = "auto"
    devices: PositiveInt = 1
    nodes: PositiveInt = 1
    workers: NonNegativeInt | None = None
    compile: bool = False
    logger: tuple[str, ...] = ()
    checkpoint_minutes: NonNegativeFloat = 10.0
