"""Lightning Fabric, set up: devices, precision, processes, loggers."""

import inspect
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.fabric import Fabric
from lightning.fabric.loggers import CSVLogger, TensorBoardLogger
from lightning.fabric.plugins import MixedPrecision
from lightning.fabric.strategies import DDPStrategy
from torch.nn.parallel import DistributedDataParallel

from ...core.devices import Compute, choose_compute
from ...core.errors import MissingExtraError, UsageError
from ...core.registry import unknown_name
from ...losses.collectives import ALONE, Collectives
from .settings import Precision, TrainerConfig

_MIXED: dict[str, Literal["bf16-mixed", "16-mixed"]] = {"bf16": "bf16-mixed", "fp16": "16-mixed"}
LOGGERS = ("csv", "tensorboard", "wandb")


def chosen_precision(precision: Precision, device: str) -> Precision:
    """``fp32``, ``bf16`` or ``fp16``.

    Raises: UsageError: for fp16 without a GPU, and for a GPU that is not there.
    """
    if precision != "fp16":
        return choose_compute(device, precision).precision
    if choose_compute(device).device.type != "cuda":
        raise UsageError("--precision fp16 needs a GPU. Use bf16 or fp32 on a CPU.")
    return precision


def launched_fabric(trainer_config: TrainerConfig, *, precision: str, folder: Path) -> Fabric:
    """Fabric on the asked devices, with its processes running; ``torchrun`` may have started them already.

    Args:
        trainer_config: says which devices and loggers.
        precision: ``fp32``, ``bf16`` or ``fp16``.
        folder: of the run, where loggers write.

    Raises: UsageError: for more GPUs than there are.
    """
    cuda = choose_compute(trainer_config.device).device.type == "cuda"
    if cuda and trainer_config.devices > torch.cuda.device_count():
        there = torch.cuda.device_count()
        raise UsageError(f"--devices {trainer_config.devices} is more than the {there} GPUs of this machine.")
    alone = trainer_config.devices * trainer_config.nodes == 1 and not torch.distributed.is_torchelastic_launched()
    with _only_warnings():
        fabric = Fabric(
            accelerator="cuda" if cuda else "cpu",
            devices=trainer_config.devices,
            num_nodes=trainer_config.nodes,
            plugins=[_Autocast(_MIXED[precision], "cuda" if cuda else "cpu")] if precision in _MIXED else None,
            strategy="auto" if alone else _data_parallel(),
            loggers=[_logger(name, folder) for name in trainer_config.logger],
        )
        fabric.launch()
    return fabric


class _Autocast(MixedPrecision):
    """Rounds what torch's autocast rounds, and no more: the corners of boxes stay float32."""

    def convert_input(self, data: Any) -> Any:
        """``data``, as it is."""
        return data


def _data_parallel() -> DDPStrategy:
    """Running statistics stay each process's own; torch 2.13 gave the option another name."""
    known = inspect.signature(DistributedDataParallel).parameters
    name = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"
    option: dict[str, Any] = {name: False}
    return DDPStrategy(**option)


@contextmanager
def _only_warnings() -> Iterator[None]:
    """Lightning tells what it was asked for; whoever asked knows."""
    logs = [logging.getLogger(f"lightning.{part}") for part in ("fabric", "pytorch")]
    before = [log.level for log in logs]
    for log in logs:
        log.setLevel(logging.WARNING)
    try:
        yield
    finally:
        for log, level in zip(logs, before, strict=True):
            log.setLevel(level)


def _logger(name: str, folder: Path) -> Any:
    """One of Lightning's loggers.

    Raises: UnknownNameError, MissingExtraError.
    """
    try:
        if name == "csv":
            return CSVLogger(root_dir=folder, name="csv")
        if name == "tensorboard":
            return TensorBoardLogger(root_dir=folder, name="tensorboard")
        if name == "wandb":
            return _wandb_logger(folder)
    except ModuleNotFoundError as error:
        raise MissingExtraError(name, extra="loggers", purpose=f"for --logger {name}") from error
    raise unknown_name("logger", name, list(LOGGERS))


def _wandb_logger(folder: Path) -> Any:
    import wandb
    from lightning.fabric.utilities import rank_zero_only
    from lightning.pytorch.loggers import WandbLogger

    with _logging_in():
        rank_zero_only(wandb.login)()
    return WandbLogger(name=folder.name, project="transferkit", save_dir=folder)


@contextmanager
def _logging_in() -> Iterator[None]:
    """Weights & Biases, asked for its leave.

    Raises: UsageError: if it refuses.
    """
    from wandb.errors import Error

    try:
        yield
    except Error as error:
        raise UsageError(
            f"--logger wandb cannot log in ({str(error).splitlines()[0]}). Run wandb login, or set WANDB_MODE=offline."
        ) from error


@contextmanager
def open_loggers(fabric: Fabric, names: tuple[str, ...]) -> Iterator[None]:
    """The loggers ``names`` of ``fabric`` write inside, and then hand over what they still hold.

    One that sends from a process of its own is told that the run ended, however it ended.

    Raises: UsageError: if Weights & Biases refuses.
    """
    loggers: dict[str, Any] = {}
    if fabric.is_global_zero:
        loggers = dict(zip(names, fabric.loggers, strict=True))
    if "wandb" in loggers:  # the others open their files with the first line
        with _logging_in():
            _ = loggers["wandb"].experiment
    try:
        yield
    finally:
        for logger in loggers.values():
            logger.finalize("finished")
            finish = getattr(getattr(logger, "experiment", None), "finish", None)
            if finish is not None:
                finish()


def collectives_of(fabric: Fabric) -> Collectives:
    """The losses' view of the other processes."""
    if fabric.world_size == 1:
        return ALONE

    def gather(x: torch.Tensor) -> torch.Tensor:
        parts = [torch.empty_like(x) for _ in range(fabric.world_size)]
        torch.distributed.all_gather(parts, x.contiguous())
        return torch.cat(parts)

    return Collectives(fabric.global_rank, fabric.world_size, gather)


def compute_of(fabric: Fabric, precision: str) -> Compute:
    """What frozen features are computed with."""
    return Compute(fabric.device, "fp32" if precision == "fp32" else "bf16")
