"""Export and import of weights in the layouts of torchvision and timm."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ..core.errors import CheckpointError, UsageError
from ..core.files import atomic_path
from ..core.json_dataclass import JsonDataclass
from ..core.progress import SILENT, Reporter
from .architectures import Architecture, find_architecture
from .catalog import load_encoder
from .encoder import Encoder
from .runs import Description, Run, run_weights
from .sources import trained_on_header
from .tracing import trace
from .weight_files import read_checkpoint

Style = Literal["torchvision", "timm"]

SUFFIXES = (".safetensors", ".pt", ".pth")


@dataclass(frozen=True)
class Exported(JsonDataclass):
    """The result of an export.

    Attributes:
        path: Path of the file.
        architecture: Network that can load the file, such as ``torchvision:resnet18``.
        tensors: Number of tensors in the file.
        classes: Number of classes of the classifier.
        classifier: ``trained``, or ``zeros`` if the model has no classifier and one was added.
    """

    path: str
    architecture: str
    tensors: int
    classes: int
    classifier: Literal["trained", "zeros"]


def export_weights(spec: str, path: Path, *, style: Style | None = None, runs: Path | None = None) -> Exported:
    """Write a model's weights so that its library loads them without missing or unexpected keys.

    A model without a classifier gets a classifier of zeros, with the number of classes that it was trained on, or
    otherwise that of its library.

    Args:
        spec: spec of the model.
        path: path of the file, which ends in ``.safetensors``, ``.pt`` or ``.pth``.
        style: library whose names the weights get; by default, the library that built the network.
        runs: the workspace's folder of runs.

    Raises:
        UsageError: for another suffix, a folder, or a model that is no network of a library.
        CheckpointError: if the other library has no such network, or other names of its weights.
    """
    if path.suffix not in SUFFIXES:
        raise UsageError(f"{path} must end in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}.")
    if path.is_dir():
        raise UsageError(f"{path} is a folder. Name a file.")
    held, built, classes, trained_on = _held(spec, runs)
    architecture = _in_style(built, style)
    reference = load_encoder(f"random:{architecture}")
    classifier = trace(reference).classifier
    heads = {name: reference.module.get_submodule(name) for name in classifier}
    wanted = [f"{name}.{part}" for name, head in heads.items() for part in head.state_dict()]
    trained = all(name in held for name in wanted)
    if trained and classifier:
        classes = _rows(held, wanted)
    network = architecture.build(classes=classes)
    for name in () if trained else classifier:
        held |= _zeros(name, network.get_submodule(name))
    _require_fit(network, held, spec=spec, architecture=architecture)
    _write(path, {name: held[name].contiguous() for name in network.state_dict()}, trained_on)
    made = _rows(held, wanted) if classifier else 0
    return Exported(str(path), str(architecture), len(held), made, "trained" if trained else "zeros")


def _held(spec: str, runs: Path | None) -> tuple[dict[str, Tensor], Architecture, int | None, tuple[str, ...]]:
    """Return a model's weights with its classifier, its architecture, number of classes, and training data sets."""
    if spec.partition(":")[0] in ("latest", "run"):
        path, description = run_weights(spec, runs)
        held = {str(name): value for name, value in read_checkpoint(path).items()}
        architecture = find_architecture(description.architecture)
        return held, architecture, len(description.classes) or None, description.trained_on
    encoder = load_encoder(spec, runs=runs)
    if encoder.architecture.partition(":")[0] not in ("torchvision", "timm"):
        raise UsageError(f"{spec} is no network of torchvision or timm, and has no layout to be exported in.")
    architecture = find_architecture(encoder.architecture)
    return dict(encoder.module.state_dict()), architecture, None, encoder.trained_on


def _in_style(architecture: Architecture, style: Style | None) -> Architecture:
    """Return the network of the same name in the library ``style``."""
    if style is None or style == architecture.library:
        return architecture
    return find_architecture(f"{style}:{architecture.name}")


def _rows(held: Mapping[str, Tensor], classifier: Sequence[str]) -> int:
    """Return the number of classes ``c`` of a classifier whose last matrix is ``[c, d]``."""
    return [len(held[name]) for name in classifier if held[name].ndim > 1][-1]


def _zeros(name: str, classifier: nn.Module) -> dict[str, Tensor]:
    return {f"{name}.{part}": torch.zeros_like(value) for part, value in classifier.state_dict().items()}


def _require_fit(network: nn.Module, held: Mapping[str, Tensor], *, spec: str, architecture: Architecture) -> None:
    ours = {name: value.shape for name, value in network.state_dict().items()}
    theirs = {name: value.shape for name, value in held.items()}
    if strangers := sorted(name for name in {**ours, **theirs} if ours.get(name) != theirs.get(name)):
        raise CheckpointError(
            f"{spec} does not fit {architecture}: {', '.join(strangers[:8])} "
            f"({len(strangers)} in all) are missing, left over or of another shape. Leave out --style."
        )


def _write(path: Path, weights: Mapping[str, Tensor], trained_on: Sequence[str]) -> None:
    """Write the weights; a safetensors file also contains the data sets that they were trained on."""
    with atomic_path(path) as part:
        if path.suffix == ".safetensors":
            save_file(dict(weights), part, metadata=trained_on_header(trained_on))
        else:
            torch.save(dict(weights), part)


def import_weights(spec: str, *, run: Run, size: int | None = None, reporter: Reporter = SILENT) -> Encoder:
    """Copy the weights of a checkpoint into the workspace as ``run:NAME``.

    Args:
        spec: ``file:PATH#ARCH``, the spec of a checkpoint of any program.
        run: the new run, which must not exist.
        size: pixels per side of the encoder's images; by default, the size of its library.
        reporter: receives a note about the loaded weights.

    Raises:
        UsageError: if the run exists.
        CheckpointError: if the file does not contain exactly these weights.
    """
    if run.begun:
        raise UsageError(f"There is a run {run.name} already. Give another --name.")
    encoder = load_encoder(spec, reporter=reporter).at(size)
    with atomic_path(run.newest) as part:
        save_file({name: value.contiguous() for name, value in encoder.module.state_dict().items()}, part)
    source = f"imported: {encoder.source}"
    run.describe(Description(encoder.architecture, encoder.preprocessing, source=source, trained_on=encoder.trained_on))
    return load_encoder(f"run:{run.name}", runs=run.folder.parent)
