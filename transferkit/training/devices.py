"""Set-up of Lightning Fabric: devices, precision, processes, loggers."""

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

from ..core.devices import Compute, choose_compute
from ..core.errors import MissingExtraError, UsageError
from ..core.registry import unknown_name
from ..losses.collectives import ALONE, Collectives
from ..training.settings import Precision, TrainerConfig

_MIXED: dict[str, Literal["bf16-mixed", "16-mixed"]] = {"bf16": "bf16-mixed", "fp16": "16-mixed"}
LOGGERS = ("csv", "tensorboard", "wandb")


def chosen_precision(precision: Precision, device: str) -> Precision:
    """Return the precision to use: ``fp32``, ``bf16`` or ``fp16``.

    Raises: UsageError: for fp16 without a GPU, or if the requested GPU does not exist.
    """
    if precision != "fp16":
        return choose_compute(device, precision).precision
    if choose_compute(device).device.type != "cuda":
        raise UsageError("--precision fp16 needs a GPU. Use bf16 or fp32 on a CPU.")
    return precision


def launched_fabric(trainer_config: TrainerConfig, *, precision: str, folder: Path) -> Fabric:
    """Return Fabric with its processes running; ``torchrun`` may have started them already.

    Args:
        trainer_config: devices and loggers.
        precision: ``fp32``, ``bf16`` or ``fp16``.
        folder: folder of the run, where loggers write.

    Raises: UsageError: if more GPUs are requested than exist.
    """
    cuda = choose_compute(trainer_config.device).device.type == "cuda"
    if cuda and trainer_config.devices > torch.cuda.device_count():
        available = torch.cuda.device_count()
        raise UsageError(
            f"--devices {trainer_config.devices} is more than the {available} GPUs of this machine. "
            f"Give {available} or fewer."
        )
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
    """Mixed precision by torch's autocast that leaves inputs as they are, so that box coordinates stay float32."""

    def convert_input(self, data: Any) -> Any:
        """Return ``data`` unchanged."""
        return data


def _data_parallel() -> DDPStrategy:
    """Return DDP without synchronised running statistics; torch 2.13 renamed the option."""
    known = inspect.signature(DistributedDataParallel).parameters
    name = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"
    option: dict[str, Any] = {name: False}
    return DDPStrategy(**option)


@contextmanager
def _only_warnings() -> Iterator[None]:
    """Silence Lightning's log messages below warnings, because they only repeat the request."""
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
    """Return the Lightning logger of that name.

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

    with _wandb_login_errors():
        rank_zero_only(wandb.login)()
    return WandbLogger(name=folder.name, project="transferkit", save_dir=folder)


@contextmanager
def _wandb_login_errors() -> Iterator[None]:
    """Turn errors of Weights & Biases into a UsageError that says how to log in.

    Raises: UsageError: if Weights & Biases refuses.
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
    """Open the loggers ``names`` of ``fabric``, and flush and close them at the end, also after an error.

    Raises: UsageError: if Weights & Biases refuses.
    """
    loggers: dict[str, Any] = {}
    if fabric.is_global_zero:
        loggers = dict(zip(names, fabric.loggers, strict=True))
    if "wandb" in loggers:  # other loggers open their files with the first line
        with _wandb_login_errors():
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
    """Return the collective operations that the losses use."""
    if fabric.world_size == 1:
        return ALONE

    def gather(x: torch.Tensor) -> torch.Tensor:
        parts = [torch.empty_like(x) for _ in range(fabric.world_size)]
        torch.distributed.all_gather(parts, x.contiguous())
        return torch.cat(parts)

    return Collectives(fabric.global_rank, fabric.world_size, gather)


def compute_of(fabric: Fabric, precision: str) -> Compute:
    """Return the device and precision for frozen features."""
    return Compute(fabric.device, "fp32" if precision == "fp32" else "bf16")
