"""Checkpoints of trainings: one file, written atomically and without code, and restoring it.

A safetensors file has the tensors of the network, its heads, the momentum encoder, the queue and the optimizer; all
other values are JSON in its header.
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ..core.errors import CheckpointError
from ..core.files import atomic_path, require_space
from ..models.sources import trained_on_header
from .state import TrainingState

_STATE = "transferkit training state"
_MODULE, _OPTIMIZER = "module.", "optimizer."


def save_tensors(
    path: Path, tensors: Mapping[str, Tensor], state: Mapping[str, Any], *, trained_on: Sequence[str] = ()
) -> None:
    """Write tensors and their JSON state.

    Args:
        path: file to write.
        tensors: tensors by name.
        state: plain values.
        trained_on: specs of the data sets that weights were trained on, for ``file:PATH#ARCH``.

    Raises: DiskSpaceError: if the disk is full; an existing file stays intact.
    """
    header = trained_on_header(trained_on)
    if state or not header:  # write one key if possible: safetensors writes several keys in random order
        header[_STATE] = json.dumps(state, sort_keys=True, allow_nan=False)
    copies = {
        name: tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }
    with atomic_path(path) as part:
        try:
            save_file(copies, part, metadata=header)
        except SafetensorError as error:  # it hides the operating system's error
            raise _as_os_error(error) from error


def _as_os_error(error: SafetensorError) -> OSError:
    """Return the operating system's error in a message such as ``… No space left on device (os error 28)``."""
    _, _, tail = str(error).rpartition("os error ")
    number = int(digits) if (digits := tail.split(")")[0]).isdigit() else 5
    return OSError(number, str(error))


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a file of ``save_tensors``.

    Returns: The tensors by name, and the state.

    Raises: CheckpointError: if the file is damaged or has no training state.
    """
    try:
        with safe_open(path, framework="pt") as file:
            state = json.loads((file.metadata() or {})[_STATE])
            return {name: file.get_tensor(name) for name in file.keys()}, state  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        reason = "it has no training state" if isinstance(error, KeyError) else str(error)
        raise CheckpointError(
            f"{path} is damaged, or no checkpoint of a run ({reason}). "
            "Restart the run with --no-resume, or train another one with --name."
        ) from error


def training_tensors(module: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return all tensors that training changes, by name."""
    tensors = {_MODULE + name: value for name, value in module.state_dict().items()}
    for index, values in optimizer.state_dict()["state"].items():
        for name, value in values.items():
            if value is not None:
                tensors[f"{_OPTIMIZER}{index}.{name}"] = torch.as_tensor(value)
    return tensors


def restore_training(
    tensors: Mapping[str, Tensor], module: nn.Module, optimizer: torch.optim.Optimizer, *, where: Path
) -> None:
    """Load the tensors of ``training_tensors``, in the memory layout of the weights.

    Raises: CheckpointError: if the tensors belong to another network.
    """
    own = {name.removeprefix(_MODULE): t for name, t in tensors.items() if name.startswith(_MODULE)}
    try:
        module.load_state_dict(own)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise CheckpointError(
            f"{where} is a checkpoint of another network ({reason}). "
            "Restart the run with --no-resume, or train another one with --name."
        ) from error
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith(_OPTIMIZER):
            index, _, part = name.removeprefix(_OPTIMIZER).partition(".")
            like = parameters[int(index)]
            laid_out = torch.empty_like(like).copy_(tensor) if tensor.shape == like.shape else tensor
            state.setdefault(int(index), {})[part] = laid_out
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


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
            require_space(self.folder, 4 * size, remedy="or name another --workspace")
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
