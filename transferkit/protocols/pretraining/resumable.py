"""A training that leaves nothing but its result: where it stopped is kept until that is recorded."""

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
    """Where a training on this process is kept, and what of.

    Attributes:
        module: whose weights move.
        optimizer: moves them.
        fabric: launched; only the process that speaks writes.
        folder: of the checkpoint.
        identity: everything that the weights depend on; another training's checkpoint is refused.
    """

    module: nn.Module
    optimizer: torch.optim.Optimizer
    fabric: Fabric
    folder: Path
    identity: Mapping[str, Any]

    @property
    def file(self) -> Path:
        """Everything that training needs to go on."""
        return self.folder / "training.safetensors"

    def save(self, training_state: TrainingState) -> None:
        """Keep everything.

        Raises: DiskSpaceError: if there is no room; what was kept before is intact.
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
        """Where it stopped, with weights and optimizer as they were then; the beginning if it never did.

        Raises:
            CheckpointError: if the checkpoint is damaged, or that of another training.
            DiskSpaceError: if there is no room for what will be written.
        """
        if not self.file.exists():
            size = sum(tensor.nbytes for tensor in training_tensors(self.module, self.optimizer).values())
            require_space(self.folder, 4 * size)
            return TrainingState()
        tensors, state = load_tensors(self.file)
        if state.get("identity") != self.identity:
            raise CheckpointError(f"{self.file} is of other settings. Remove {self.folder}.")
        restore_training(tensors, self.module, self.optimizer, where=self.file)
        self.fabric.strategy.precision.load_state_dict(state["scaler"])
        return TrainingState(**state["standing"])

    def remove_checkpoint(self) -> None:
        """Remove the checkpoint of a training whose result is recorded."""
        if self.fabric.is_global_zero:
            self.file.unlink(missing_ok=True)
            with suppress(OSError):
                self.folder.rmdir()
