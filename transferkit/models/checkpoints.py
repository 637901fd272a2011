"""Local checkpoints: read without running what is in them, and loaded whole or not at all."""

import argparse
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PosixPath, PurePosixPath
from typing import Any

import torch
from torch import nn

from ..core.errors import CheckpointError, UsageError
from .architectures import find_architecture
from .encoder import ENCODERS, Encoder, encoder_of
from .layouts import Fit, best_fit, tensors_within
from .tracing import trace

_HARMLESS: list[Any] = [
    argparse.Namespace,
    PosixPath,
    PurePosixPath,
]  # settings that programs leave beside the weights
_SHOWN = 8


@ENCODERS.register("file")
def file_encoder(rest: str) -> Encoder:
    """``file:PATH#ARCH``: the weights of ARCH in a checkpoint, whichever program wrote it.

    Everything but the classifier must be there, with the right shapes, and nothing else. The checkpoint's
    classifier is kept if it has as many classes as ARCH's, else the network ends in its features.

    Raises:
        UsageError: without ``#ARCH``.
        CheckpointError: if the file cannot be read safely, or does not hold exactly these weights.
    """
    text, mark, arch = rest.rpartition("#")
    if not mark or not text or not arch:
        raise UsageError(
            f"file:{rest} does not say which network: write file:PATH#ARCH, as in x.pt#resnet50."
        )
    path = Path(text).expanduser().absolute()
    architecture = find_architecture(arch)
    checkpoint = read_checkpoint(path)
    module = architecture.build()
    view = architecture.view(module)
    classifier = trace(encoder_of(module, name=str(architecture), view=view)).classifier
    fit = best_fit(checkpoint, module, classifier)
    if fit is None:
        raise CheckpointError(f"{path} holds no weight of {architecture}. {_first_names(checkpoint)}")
    if not fit.whole:
        raise CheckpointError(_complaint(path, str(architecture), fit))
    _load(module, fit, classifier)
    return encoder_of(
        module,
        name=f"file:{path}#{architecture.short}",
        view=view,
        architecture=str(architecture),
        source=f"{path.name}, {fit.where}",
    )


def read_checkpoint(path: Path) -> Mapping[Any, Any]:
    """What a safetensors file or a checkpoint of torch holds; no code in it is run.

    Raises: CheckpointError: if there is no such file, it is damaged, or it holds more than tensors and
        plain values.
    """
    if not path.is_file():
        raise CheckpointError(f"There is no file {path}.")
    held = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    if not isinstance(held, Mapping):
        raise CheckpointError(f"{path} holds a {type(held).__name__}, not a dictionary of weights.")
    return held


def _read_safetensors(path: Path) -> Mapping[Any, Any]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise CheckpointError(f"{path} is no safetensors file, or a damaged one ({error}).") from error


def _read_torch(path: Path) -> object:
    try:
        with torch.serialization.safe_globals(_HARMLESS):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what a damaged pickle raises depends on the damage
        if found := re.search(r"GLOBAL (\S+)", str(error)):
            raise CheckpointError(
                f"{path} holds Python objects ({found[1]}) that would run code when read, and was not read. "
                "Where you trust it, save its weights alone with safetensors.torch.save_file, and use those."
            ) from error
        reason = (str(error).splitlines() or [""])[0].partition(". ")[0]
        raise CheckpointError(
            f"{path} is no checkpoint, or a damaged one ({type(error).__name__}: {reason}). Fetch it again."
        ) from error


def _load(module: nn.Module, fit: Fit, classifier: Sequence[str]) -> None:
    """Copy the weights in; a classifier that the checkpoint does not have makes way for its input."""
    module.load_state_dict(fit.weights, strict=False)  # what may lack is the classifier; the fit is whole
    for name in classifier:
        if not {f"{name}.{part}" for part, _ in module.get_submodule(name).named_parameters()} <= {
            *fit.weights
        }:
            module.set_submodule(name, nn.Identity())


def _first_names(checkpoint: Mapping[Any, Any]) -> str:
    names = [name for _, tensors in tensors_within(checkpoint) for name in tensors]
    if not names:
        return f"It holds no tensors, only {', '.join(map(str, list(checkpoint)[:_SHOWN])) or 'nothing'}."
    return f"It has {_listed(names)}."


def _complaint(path: Path, architecture: str, fit: Fit) -> str:
    parts = [f"{path} does not hold the weights of {architecture} (compared with {fit.where})."]
    for word, names in (
        ("Missing", fit.missing),
        ("Of another shape", fit.misshapen),
        ("Unexpected", fit.unexpected),
    ):
        if names:
            parts.append(f"{word}: {_listed(names)}.")
    return " ".join([*parts, "Name the architecture it was trained with behind #."])


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more ({len(names)} in all)" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
