"""Local checkpoints, whichever program wrote them: loaded whole or not at all."""

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
_SHOWN = 8


@ENCODERS.register("file")
def file_encoder(rest: str) -> Encoder:
    """``file:PATH#ARCH``: the weights of ARCH in a checkpoint, whichever program wrote it.

    Everything but the classifier must be there, with the right shapes, and nothing else. The checkpoint's
    classifier is kept if it has as many classes as ARCH's, else the network ends in its features.
    ``?weights_key=NAME`` behind ARCH chooses one of several copies of the weights.

    Raises:
        UsageError: without ``#ARCH``, or for a copy that is not in the file.
        CheckpointError: if the file cannot be read safely, does not hold exactly these weights, or holds
            several copies without a convention for which is meant.
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
        view=loaded.architecture.view(),
        architecture=str(loaded.architecture),
        source=f"{path.name}, {loaded.fit.where}",
        note=_note(path, loaded),
    )
    return replace(encoder, trained_on=trained_on_of(path))


@dataclass(frozen=True, eq=False)
class LoadedNetwork:
    """A network with the weights of a checkpoint.

    Attributes:
        module: the network.
        architecture: how it was built, where that follows from what the checkpoint holds.
        fit: the copy of the weights that was taken.
        others: names of further copies that would fit.
    """

    module: nn.Module
    architecture: Architecture
    fit: CheckpointMatch
    others: tuple[str, ...]


def load_weights(path: Path, architecture: Architecture, key: str | None = None) -> LoadedNetwork:
    """Build the network and load it with what the checkpoint holds; raises as ``file_encoder`` does."""
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
    """Networks that the checkpoint may hold: as ARCH says, then without its classifier, then its variants.

    A network of timm without its classifier is that of ``create_model(…, num_classes=0)``, which also lacks
    what stands around the classifier. Where the checkpoint holds just that, as one of ours does, the
    classifier's input takes its place; so it does in a network of torchvision, whose classifier may also be
    of another width.
    """
    for variant in _variants(architecture, names):
        module = variant.build()
        published = PublishedNames(variant.library, variant.tagged, variant.options)
        encoder = encoder_of(module, name=str(variant), view=variant.view())
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
    """The architecture, and as it is built otherwise where names in the checkpoint show that it was."""
    yield architecture
    if architecture.library == "timm" and any(".fc_norm." in f".{name}" for name in names):
        yield architecture.having(global_pool="avg")  # fine-tuned masked autoencoders
    if architecture.name in ("googlenet", "inception_v3") and architecture.library == "torchvision":
        yield architecture.having(aux_logits=False)  # saved without the classifiers that only train it


def _load(network: TargetNetwork, fit: CheckpointMatch) -> None:
    """Copy the weights in; a classifier that the checkpoint does not have makes way for its input."""
    network.module.load_state_dict(fit.weights, strict=False)  # the fit is whole: only the optional may lack
    heads = {name: network.module.get_submodule(name) for name in network.classifier}
    parts = {f"{name}.{part}" for name, head in heads.items() for part, _ in head.named_parameters()}
    if not parts <= {*fit.weights}:
        Ending(network.module, network.classifier).remove_classifier()


def _note(path: Path, loaded: LoadedNetwork) -> str:
    """What was loaded, for people."""
    parts = [f"{path.name}: loaded the weights in {loaded.fit.where} as {loaded.architecture}."]
    if loaded.fit.resampled:
        parts.append("Their position embedding was resampled to the size of these images.")
    if loaded.others:
        names = ", ".join(loaded.others)
        parts.append(f"The file also holds {names}: choose with --weights-key NAME.")
    return " ".join(parts)


def _first_names(checkpoint: Mapping[Any, Any], names: Sequence[str]) -> str:
    if not names:
        return f"It holds no tensors, only {', '.join(map(str, list(checkpoint)[:_SHOWN])) or 'nothing'}."
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
    advice = "Name the architecture it was trained with behind #, its constructor's options included"
    return " ".join([*parts, f"{advice}, or give its weights the names of {architecture.library}."])


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more ({len(names)} in all)" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
