"""Load the encoder that a model spec of the command line names."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ..core.errors import UnknownNameError
from ..core.progress import SILENT, Reporter
from ..core.registry import summary_line
from . import architectures, checkpoints, embedded, pretrained  # noqa: F401  each registers its schemes
from .encoder import ENCODERS, Encoder, preprocessing_text
from .options import join_options, split_options, with_options
from .preprocessing_options import changed_view, split_preprocessing
from .runs import finished_runs, run_encoder

_OF_RUNS = ("latest", "run")


def load_encoder(spec: str, *, runs: Path | None = None, reporter: Reporter = SILENT) -> Encoder:
    """Return the encoder that a spec names; ``known_models`` lists the forms of specs.

    Args:
        spec: spec of a model, such as ``imagenet-lite0`` or ``torchvision:resnet50@DEFAULT``.
        runs: the workspace's folder of pretraining runs.
        reporter: receives a note about the loaded weights if there is a choice.

    Raises:
        UnknownNameError: for an unknown form or name, with the nearest known one.
        UsageError: for a malformed spec or a missing run.
        ModelError: if the weights cannot be loaded, or do not match the network.
    """
    plain, changes = split_preprocessing(spec)
    scheme, _, rest = plain.partition(":")
    encoder = run_encoder(plain, runs) if scheme in _OF_RUNS else _builder(plain)(rest)
    if changes:
        encoder = replace(
            encoder,
            view=changed_view(encoder.view, changes),
            spec=with_options(encoder.spec, changes),
        )
    if encoder.note:
        reporter.note(f"{encoder.note} Preprocessing: {preprocessing_text(encoder.view)}.")
    return encoder


def require_known_model(spec: str) -> None:
    """Check the form and the architecture of a spec, without looking for its weights or its run.

    Raises: UnknownNameError: if one of them is unknown, with the nearest known name.
    """
    spec, _ = split_preprocessing(spec)
    scheme, _, rest = spec.partition(":")
    if scheme in _OF_RUNS:
        return
    _builder(spec)
    if scheme == "random":
        architectures.find_architecture(rest.partition("@")[0])
    elif scheme == "file" and "#" in rest:
        name, options = split_options(rest.rpartition("#")[2])
        options.pop(checkpoints.KEY, None)
        architectures.find_architecture(join_options(name, options))
    elif scheme in ("torchvision", "timm") and not rest.startswith("hf-hub:"):
        architectures.find_architecture(f"{scheme}:{rest.partition('@')[0]}")


def _builder(spec: str) -> Callable[[str], Encoder]:
    """Return the function that builds encoders of the spec's form."""
    scheme = spec.partition(":")[0]
    if scheme not in ENCODERS and scheme in architectures.torchvision_names():
        raise UnknownNameError(
            f"No model named {spec!r}. Did you mean 'torchvision:{scheme}@DEFAULT', or 'random:{scheme}'?"
        )
    if scheme not in ENCODERS and scheme.split(".")[0] in architectures.timm_names():
        raise UnknownNameError(f"No model named {spec!r}. Did you mean 'timm:{spec}', or 'random:{spec}'?")
    return ENCODERS[scheme]


def default_model(runs: Path | None = None) -> str:
    """Return the default model: ``latest``, or ``imagenet-lite0`` if no run is finished.

    Args:
        runs: the workspace's folder of pretraining runs.
    """
    return "latest" if runs and finished_runs(runs) else "imagenet-lite0"


def known_models() -> list[tuple[str, str]]:
    """Return the forms of specs, each with its description; those of plug-ins are described by their docstring."""
    built_in = [
        ("latest", "the pretraining run of this workspace that finished last"),
        ("run:NAME", "a pretraining run of this workspace; run:NAME@best where its k-NN was best"),
        ("imagenet-lite0", "EfficientNet-Lite0 with ImageNet weights, no download; lite1 and lite2 likewise"),
        ("torchvision:NAME@WEIGHTS", "a torchvision classifier; @DEFAULT is its newest weights"),
        ("timm:NAME", "a timm network with its weights, as timm:NAME@pretrained; NAME may carry a tag"),
        ("timm:hf-hub:ORG/NAME", "a timm network from the Hugging Face hub"),
        ("file:PATH#ARCH", "a local checkpoint (.pt, .pth, .ckpt, .safetensors); ARCH as for random:"),
        (
            "file:PATH#ARCH.TAG?KEY=VALUE",
            "with the preprocessing of the published weights TAG, and options of the network's constructor",
        ),
        (
            "random:ARCH",
            "an untrained torchvision or timm network, a baseline; also random:ARCH@SEED",
        ),
        ("pixels", "the image itself, area-downsampled to 32×32, another baseline"),
    ]
    listed = {spec.partition(":")[0] for spec, _ in built_in}
    hidden = {"imagenet-lite1", "imagenet-lite2"}  # described with imagenet-lite0
    added = [(name, summary_line(build)) for name, build in ENCODERS.items() if name not in listed | hidden]
    return built_in + added
