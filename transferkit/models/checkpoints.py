"""Local checkpoints of any program, which are loaded only if they match the network completely."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from ..core.errors import CheckpointError, UsageError
from .architectures import Architecture, find_architecture
from .copies import chosen_copy
from .encoder import ENCODERS, Encoder, encoder_of
from .ending import Ending
from .layouts import CheckpointMatch, TargetNetwork, fits, tensors_within
from .options import join_options, split_options, with_options
from .renaming import PublishedNames
from .sources import trained_on_of
from .tracing import trace
from .weight_files import read_checkpoint

KEY = "weights_key"  # the option of a spec that names a copy of the weights
_MAX_SHOWN = 8


@ENCODERS.register("file")
def file_encoder(rest: str) -> Encoder:
    """Load ``file:PATH#ARCH``: the weights of ARCH in a checkpoint of any program.

    The checkpoint must contain all weights except the classifier, with the right shapes, and no others. Its
    classifier is kept if it has as many classes as that of ARCH; otherwise the network returns its features.
    ``?weights_key=NAME`` after ARCH selects one of several copies of the weights.

    Raises:
        UsageError: if ``#ARCH`` is missing, or the selected copy is not in the file.
        CheckpointError: if the file cannot be read safely, does not contain exactly these weights, or contains
            several copies and no convention selects one of them.
    """
    text, mark, arch = rest.rpartition("#")
    if not mark or not text or not arch:
        raise UsageError(f"file:{rest} does not say which network: write file:PATH#ARCH, as in x.pt#resnet50.")
    path = Path(text).expanduser().absolute()
    name, options = split_options(arch)
    key = options.pop(KEY, None)
    architecture = find_architecture(join_options(name, options))
    loaded = load_weights(path, architecture, None if key is None else str(key))
    spelled = architecture.short
    if key is not None:
        spelled = with_options(spelled, {KEY: key})
    encoder = encoder_of(
        loaded.module,
        name=f"file:{path}#{spelled}",
        preprocessing=loaded.architecture.preprocessing(),
        architecture=str(loaded.architecture),
        source=f"{path.name}, {loaded.fit.where}",
        note=_note(path, loaded),
    )
    return replace(encoder, trained_on=trained_on_of(path))


@dataclass(frozen=True, eq=False)
class LoadedNetwork:
    """A network with the weights of a checkpoint.

    Attributes:
        module: The network.
        architecture: The variant of the architecture that matches the checkpoint.
        fit: The loaded copy of the weights.
        others: Names of further copies that match.
    """

    module: nn.Module
    architecture: Architecture
    fit: CheckpointMatch
    others: tuple[str, ...]


def load_weights(path: Path, architecture: Architecture, key: str | None = None) -> LoadedNetwork:
    """Build the network and load the checkpoint's weights; raises the errors of ``file_encoder``."""
    checkpoint = read_checkpoint(path)
    names = [name for _, tensors in tensors_within(checkpoint) for name in tensors]
    nearest: list[CheckpointMatch] = []
    for candidate, network in _candidates(architecture, names):
        found = fits(checkpoint, network)
        if any(fit.whole for fit in found):
            fit, others = chosen_copy(found, path, key)
            _load(network, fit)
            return LoadedNetwork(network.module, candidate, fit, tuple(others))
        if found:
            nearest.append(chosen_copy(found, path, key)[0])
    if nearest:
        fit = min(nearest, key=lambda fit: fit.faults)
        raise CheckpointError(_complaint(path, architecture, fit))
    raise CheckpointError(f"{path} holds no weight of {architecture}. {_first_names(checkpoint, names)}")


def _candidates(architecture: Architecture, names: Sequence[str]) -> Iterator[tuple[Architecture, TargetNetwork]]:
    """Yield networks that the checkpoint may contain: ARCH, then ARCH without its classifier, then variants.

    A network of timm without its classifier is that of ``create_model(…, num_classes=0)``, which also lacks the
    modules around the classifier. If the checkpoint contains these modules, as transferkit's do, only the
    classifier is replaced by its input. The same applies to networks of torchvision, whose classifier may also
    have another width.
    """
    for variant in _variants(architecture, names):
        module = variant.build()
        published = PublishedNames(variant.library, variant.tagged, variant.options)
        encoder = encoder_of(module, name=str(variant), preprocessing=variant.preprocessing())
        if variant.library == "timm" and getattr(module, "num_classes", None):
            yield variant, TargetNetwork(module, published=published)
            headless = variant.build(classes=0)
            head = frozenset(module.state_dict()) - frozenset(headless.state_dict())
            classifier = trace(encoder).classifier
            around = frozenset(name for name in head if name.rpartition(".")[0] not in classifier)
            yield variant, TargetNetwork(headless, strange=around, ignored=head - around, published=published)
            yield variant, TargetNetwork(module, classifier, any_width=False, published=published)
            yield variant, TargetNetwork(headless, ignored=head, published=published)
        else:
            yield variant, TargetNetwork(module, trace(encoder).classifier, published=published)


def _variants(architecture: Architecture, names: Sequence[str]) -> Iterator[Architecture]:
    """Yield the architecture, and the variants of it that names in the checkpoint indicate."""
    yield architecture
    if architecture.library == "timm" and any(".fc_norm." in f".{name}" for name in names):
        yield architecture.having(global_pool="avg")  # fine-tuned masked autoencoders
    if architecture.name in ("googlenet", "inception_v3") and architecture.library == "torchvision":
        yield architecture.having(aux_logits=False)  # saved without the auxiliary classifiers


def _load(network: TargetNetwork, fit: CheckpointMatch) -> None:
    """Copy the weights; a classifier that the checkpoint does not contain is replaced by its input."""
    network.module.load_state_dict(fit.weights, strict=False)  # only optional weights may be missing
    heads = {name: network.module.get_submodule(name) for name in network.classifier}
    parts = {f"{name}.{part}" for name, head in heads.items() for part, _ in head.named_parameters()}
    if not parts <= {*fit.weights}:
        Ending(network.module, network.classifier).remove_classifier()


def _note(path: Path, loaded: LoadedNetwork) -> str:
    """Return a note for users about the loaded weights."""
    parts = [f"{path.name}: loaded the weights in {loaded.fit.where} as {loaded.architecture}."]
    if loaded.fit.resampled:
        parts.append("Their position embedding was resampled to the size of these images.")
    if loaded.others:
        names = ", ".join(loaded.others)
        parts.append(f"The file also holds {names}: choose with --weights-key NAME.")
    return " ".join(parts)


def _first_names(checkpoint: Mapping[Any, Any], names: Sequence[str]) -> str:
    if not names:
        return f"It holds no tensors, only {', '.join(map(str, list(checkpoint)[:_MAX_SHOWN])) or 'nothing'}."
    return f"It has {_listed(names)}."


def _complaint(path: Path, architecture: Architecture, fit: CheckpointMatch) -> str:
    parts = [f"{path} does not hold the weights of {architecture} (compared with {fit.where})."]
    for word, names in (
        ("Missing", fit.missing),
        ("Of another shape", fit.misshapen),
        ("Unexpected", fit.unexpected),
    ):
        if names:
            parts.append(f"{word}: {_listed(names)}.")
    advice = "Name the architecture it was trained with after #, including its constructor's options"
    return " ".join([*parts, f"{advice}, or give its weights the names of {architecture.library}."])


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MAX_SHOWN} more ({len(names)} in all)" if len(names) > _MAX_SHOWN else ""
    return ", ".join(names[:_MAX_SHOWN]) + more
