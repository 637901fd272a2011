"""Read a file of weights without executing code in it."""

import argparse
import datetime
import json
import re
from collections.abc import Mapping
from pathlib import Path, PosixPath, PurePath, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
import torch

from ..core.errors import CheckpointError

_NUMPY_CORE = getattr(np, "_core", None) or np.core  # its name changed in NumPy 2

_SAFE_TYPES: list[Any] = [  # plain values that programs save with weights; reading them executes no code
    argparse.Namespace,
    PosixPath,
    PurePath,
    PurePosixPath,
    (PureWindowsPath, "pathlib.WindowsPath"),
    PureWindowsPath,
    (lambda *_: {}, "collections.defaultdict"),  # torch fills no other kind of dictionary
    *((kind, f"builtins.{kind.__name__}") for kind in (dict, list, set, int, float, str, bool, tuple)),
    datetime.date,
    datetime.datetime,
    datetime.timedelta,
    datetime.timezone,
    np.ndarray,
    np.dtype,
    *(kind for name, kind in vars(np.dtypes).items() if name.endswith("DType")),
    *(
        (getattr(_NUMPY_CORE.multiarray, name), f"numpy.{core}.multiarray.{name}")
        for name in ("scalar", "_reconstruct")
        for core in ("core", "_core")
    ),
]
_INDEX = ".index.json"


def read_checkpoint(path: Path) -> Mapping[Any, Any]:
    """Read a safetensors file or a checkpoint of torch without executing code in it.

    ``NAME.index.json``, which lists the parts of weights that are saved in several files, is read as one file.

    Raises: CheckpointError: if the file is missing or damaged, or contains more than tensors and plain values.
    """
    if path.is_dir():
        raise CheckpointError(f"{path} is a folder, not a checkpoint. Name the file of weights in it.")
    if not path.is_file():
        raise CheckpointError(f"There is no file {path}.")
    if path.name.endswith(_INDEX):
        return _read_parts(path)
    held = _read_safetensors(path) if _is_safetensors(path) else _read_torch(path)
    if not isinstance(held, Mapping):
        raise CheckpointError(f"{path} holds a {type(held).__name__}, not a dictionary of weights.")
    return held


def _is_safetensors(path: Path) -> bool:
    """Return whether the first bytes are the length of a JSON header and its start, independently of the name.

    A file with another start that is not torch's is classified by its name. A length may begin with the same byte
    as a pickle, but the first bytes of a pickle, read as a length, are longer than any file.
    """
    with path.open("rb") as file:
        start = file.read(9)
    if start[8:] == b"{" and int.from_bytes(start[:8], "little") <= path.stat().st_size - 8:
        return True
    return path.suffix == ".safetensors" and not start.startswith((b"PK\x03\x04", b"\x80"))


def _read_parts(path: Path) -> dict[str, Any]:
    try:
        names = sorted(set(json.loads(path.read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise CheckpointError(
            f"{path} is not an index of weight files: it has no weight_map. Name the weights themselves."
        ) from error
    held: dict[str, Any] = {}
    for name in names:
        part = path.parent / str(name)
        if part.parent != path.parent:
            raise CheckpointError(f"{path} names the file {name}, which is not beside it, and was not read.")
        held |= read_checkpoint(part)
    return held


def _read_safetensors(path: Path) -> Mapping[Any, Any]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise CheckpointError(f"{path} is no safetensors file, or a damaged one ({error}). Fetch it again.") from error


def _read_torch(path: Path) -> object:
    try:
        with torch.serialization.safe_globals(_SAFE_TYPES), path.open("rb") as file:
            return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # what a damaged pickle raises depends on the damage
        if found := re.search(r"GLOBAL (\S+)|class (\S+) ", str(error)):
            raise CheckpointError(
                f"{path} holds Python objects ({found[1] or found[2]}) whose code would run when they are "
                "read, and was not read. Where you trust it, save its weights alone with "
                "safetensors.torch.save_file, and use those."
            ) from error
        reason = (str(error).splitlines() or [""])[0].partition(". ")[0]
        raise CheckpointError(
            f"{path} is no checkpoint, or a damaged one ({type(error).__name__}: {reason}). Fetch it again."
        ) from error
