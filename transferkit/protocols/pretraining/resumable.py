"""Checkpoint of a training whose only output is its result; it is removed once the result is recorded."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric
from torch import nn

from ...core.errors import CheckpointError
from ...core.files import require_space
from .checkpoint import load_tensors, restore_training, save_tensors, training_tensors
from .state import TrainingState


@dataclass(frozen=True, eq=False)
class Resumable:
    """Checkpoint of a training on this process.

    Attributes:
        module: the trained module.
        optimizer: its optimizer.
        fabric: launched Fabric; only rank 0 writes.
        folder: folder of the checkpoint.
        identity: all values that determine the weights; a checkpoint with other values is refused.
    """

    module: nn.Module
    optimizer: torch.optim.Optimizer
    fabric: Fabric
    folder: Path
    identity: Mapping[str, Any]

    @property
    def file(self) -> Path:
        """The checkpoint file."""
        return self.folder / "training.safetensors"

    def save(self, training_state: TrainingState) -> None:
        """Write the checkpoint, on rank 0 only.

        Raises: DiskSpaceError: if the disk is full; the previous checkpoint stays intact.
        """
        if not self.fabric.is_global_zero:
            return
        state = {
            "identity": dict(self.identity),
            "standing": training_state.to_json(),
            "scaler": self.fabric.strategy.precision.state_dict(),
        }
        save_tensors(self.file, training_tensors(self.module, self.optimizer), state)

    def restored(self) -> TrainingState:
        """Load the checkpoint into module and optimizer, and return its state; a new state without a checkpoint.

        Raises:
            CheckpointError: if the checkpoint is damaged, or belongs to another training.
            DiskSpaceError: if the disk has too little space for checkpoints.
        """
        if not self.file.exists():
            size = sum(tensor.nbytes for tensor in training_tensors(self.module, self.optimizer).values())
            require_space(self.folder, 4 * size)
            return TrainingState()
        tensors, state = load_tensors(self.file)
        if state.get("identity") != self.identity:
            raise CheckpointError(f"{self.file} was written with other settings. Remove {self.folder}.")
        restore_training(tensors, self.module, self.optimizer, where=self.file)
        self.fabric.strategy.precision.load_state_dict(state["scaler"])
        return TrainingState(**state["standing"])

    def remove_checkpoint(self) -> None:
        """Remove the checkpoint, once the result is recorded."""
        if self.fabric.is_global_zero:
            self.file.unlink(missing_ok=True)
            with suppress(OSError):
                self.folder.rmdir()
