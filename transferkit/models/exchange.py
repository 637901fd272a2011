"""Weights out of the workspace and into it, in the layouts of torchvision and timm."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ..core.errors import CheckpointError, UsageError
from ..core.files import appearing
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
class Exported:
    """What an export wrote.

    Attributes:
        path: the file.
        architecture: what it loads into, such as ``torchvision:resnet18``.
        tensors: how many it holds.
        classes: rows of its classifier.
        classifier: ``trained``, or ``zeros`` where the model has none and one was added.
    """

    path: str
    architecture: str
    tensors: int
    classes: int
    classifier: Literal["trained", "zeros"]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def export_weights(spec: str, path: Path, *, style: Style | None = None, runs: Path | None = None) -> Exported:
    """Write a model's weights so that its library loads them with no key missing and none left over.

    A model without a classifier is given one of zeros: as many classes as it was trained on, else as its
    library gives it.

    Args:
        spec: of the model.
        path: where to, ending in ``.safetensors``, ``.pt`` or ``.pth``.
        style: whose names the weights get; the library's that built the network unless given.
        runs: the workspace's folder of runs.

    Raises:
        UsageError: for another ending, a folder, or a model that is no network of a library.
        CheckpointError: if the other library has no such network, or names its weights otherwise.
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
    """A model's weights, with the classifier it was trained with, its architecture, classes and sources."""
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
    """The network of the same name in the library ``style``."""
    if style is None or style == architecture.library:
        return architecture
    return find_architecture(f"{style}:{architecture.name}")


def _rows(held: Mapping[str, Tensor], classifier: Sequence[str]) -> int:
    """Classes of a classifier whose last matrix, of the names given, is ``[c, d]``."""
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
    """Write the weights; a safetensors file also keeps the data sets that they were trained on."""
    with appearing(path) as part:
        if path.suffix == ".safetensors":
            save_file(dict(weights), part, metadata=trained_on_header(trained_on))
        else:
            torch.save(dict(weights), part)


def import_weights(spec: str, *, run: Run, size: int | None = None, reporter: Reporter = SILENT) -> Encoder:
    """Copy the weights of a checkpoint into the workspace, where ``run:NAME`` is their name.

    Args:
        spec: ``file:PATH#ARCH``, of a checkpoint that any program wrote.
        run: where to; it must not exist.
        size: pixels of the square that the encoder is shown; what its library trains it for unless given.
        reporter: receives a note about what was loaded.

    Raises:
        UsageError: if the run exists.
        CheckpointError: if the file does not hold exactly these weights.
    """
    if run.begun:
        raise UsageError(f"There is a run {run.name} already. Give another --name.")
    encoder = load_encoder(spec, reporter=reporter).at(size)
    with appearing(run.newest) as part:
        save_file({name: value.contiguous() for name, value in encoder.module.state_dict().items()}, part)
    source = f"imported: {encoder.source}"
    run.describe(Description(encoder.architecture, encoder.view, source=source, trained_on=encoder.trained_on))
    return load_encoder(f"run:{run.name}", runs=run.folder.parent)
