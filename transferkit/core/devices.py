"""Choice of the device and of the precision of matrix products, and the free memory."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import torch

from .errors import UsageError

Precision = Literal["fp32", "bf16"]
PrecisionChoice = Literal["auto", "fp32", "bf16"]


@dataclass(frozen=True)
class Compute:
    """A device and the precision of its matrix products."""

    device: torch.device
    precision: Precision

    def autocast(self) -> torch.autocast:
        """Return the autocast context of a forward pass; it does nothing at ``fp32``."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")


def choose_compute(device: str = "auto", precision: str = "auto") -> Compute:
    """Return the device and precision for the given names.

    Args:
        device: ``auto`` (CUDA if available, else the CPU), or a torch device such as ``cuda:1``.
        precision: ``fp32``, ``bf16`` or ``auto``, which is bf16 if the processor supports it in hardware, else fp32.

    Raises: UsageError: if the device is absent or the precision unknown.
    """
    if precision not in get_args(PrecisionChoice):
        raise UsageError(f"No precision named {precision!r}. Choose from: {', '.join(get_args(PrecisionChoice))}.")
    chosen = _device(device)
    if precision == "auto":
        return Compute(chosen, "bf16" if has_fast_bf16(chosen) else "fp32")
    return Compute(chosen, "bf16" if precision == "bf16" else "fp32")


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        first = str(error).splitlines()[0]
        raise UsageError(f"--device {name} is not available: {first} Use cpu or auto.") from error
    return device


def has_fast_bf16(device: torch.device) -> bool:
    """Return whether the device computes bf16 products in hardware, which is faster than fp32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    return bool(device.type == "cpu" and torch.cpu._is_avx512_bf16_supported())


def free_memory_bytes() -> int:
    """Return the memory that is available without swapping; half of all memory if the system does not report it."""
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
