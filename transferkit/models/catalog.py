"""Load the encoder that a model spec names; ``timm:resnet18?mean=0.5`` changes its preprocessing."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..core.errors import UnknownNameError, UsageError
from ..core.preprocessing import Preprocessing
from ..core.progress import SILENT, Reporter
from ..core.registry import summary_line
from . import architectures, checkpoints, embedded, pretrained  # noqa: F401  each registers its schemes
from .encoder import ENCODERS, Encoder, preprocessing_text
from .options import join_options, split_options, with_options
from .runs import finished_runs, run_encoder

KEYS = ("resize", "fit", "interpolation", "mean", "std")


def split_preprocessing(spec: str) -> tuple[str, dict[str, Any]]:
    """Return the spec without preprocessing options, and these options.

    >>> split_preprocessing("file:x.pt#vit_tiny_patch16_224?num_heads=3&mean=0.5")
    ('file:x.pt#vit_tiny_patch16_224?num_heads=3', {'mean': 0.5})

    Raises: UsageError: for options that are not ``key=value``.
    """
    path, mark, name = spec.rpartition("#") if spec.startswith("file:") else ("", "", spec)
    if "?" not in name:
        return spec, {}
    name, options = split_options(name)
    changes = {key: options.pop(key) for key in KEYS if key in options}
    return path + mark + join_options(name, options), changes


def changed_preprocessing(preprocessing: Preprocessing, changes: Mapping[str, Any]) -> Preprocessing:
    """Return the preprocessing with some fields changed; a single mean or std applies to all three channels.

    Raises: UsageError: if a value is invalid.
    """
    return replace(preprocessing, **{key: _checked(key, value) for key, value in changes.items()})


def _checked(key: str, value: Any) -> Any:
    if key == "resize" and type(value) is not int:
        raise UsageError(f"resize={value} is not a number of pixels. Write a whole number: resize=256.")
    if key not in ("mean", "std"):
        return value
    values = value if isinstance(value, tuple) else (value,)
    least = 0.0 if key == "mean" else 1e-6
    if len(values) not in (1, 3) or not all(type(v) in (int, float) and least <= v <= 1 for v in values):
        raise UsageError(
            f"{key}={value} is not one number or three, from {least:g} to 1: images have values from 0 to 1. "
            f"Write {key}=0.5 or {key}=(0.485,0.456,0.406)."
        )
    return tuple(float(v) for v in (values if len(values) == 3 else values * 3))


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
            preprocessing=changed_preprocessing(encoder.preprocessing, changes),
            spec=with_options(encoder.spec, changes),
        )
    if encoder.note:
        reporter.note(f"{encoder.note} Preprocessing: {preprocessing_text(encoder.preprocessing)}.")
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
