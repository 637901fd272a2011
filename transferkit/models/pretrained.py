"""Published weights of torchvision and timm, which download them unless they are in their caches."""

import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from ..core.errors import ModelError, UnknownNameError, UsageError
from ..core.http import is_reachable
from ..core.registry import unknown_name
from .architectures import (
    Architecture,
    find_architecture,
    timm_names,
    timm_preprocessing,
    torchvision_preprocessing,
    unknown_of_many,
)
from .encoder import ENCODERS, Encoder, encoder_of

_TIMEOUT_SECONDS = 20  # for a server's first response; an open connection may take longer
_HUB = "hf-hub:"


@ENCODERS.register("torchvision")
def torchvision_encoder(rest: str) -> Encoder:
    """Load ``torchvision:NAME@WEIGHTS``, where ``DEFAULT`` is the newest weights.

    Raises:
        UsageError: if ``@WEIGHTS`` is missing, or there are options of the constructor.
        UnknownNameError: for a name or weights that torchvision does not have.
        ModelError: if the weights cannot be downloaded.
    """
    from torchvision import models

    _require_no_options("torchvision", rest)
    name, _, tag = rest.partition("@")
    architecture = find_architecture(f"torchvision:{name}")
    if architecture.tag:
        raise UsageError(
            f"torchvision:{rest} names weights after a dot. Write {architecture.library}:{architecture.name}"
            f"@{architecture.tag}."
        )
    if not tag:
        raise UsageError(
            f"torchvision:{name} names no weights. Write torchvision:{name}@DEFAULT for the newest, "
            f"or random:{name} for the untrained network."
        )
    known = models.get_model_weights(name)
    if tag not in known.__members__:
        raise unknown_name(f"weights of {architecture}", tag, list(known.__members__))
    weights = known[tag]
    spec = f"{architecture}@{weights.name}"  # DEFAULT is replaced by the name of the current default
    with _downloading(spec, f"{architecture.name}.{weights.name}"):
        module = models.get_model(name, weights=weights)
    return encoder_of(
        module,
        name=spec,
        preprocessing=torchvision_preprocessing(weights),
        architecture=str(architecture),
        source=f"torchvision, {weights.url}",
    )


@ENCODERS.register("timm")
def timm_encoder(rest: str) -> Encoder:
    """Load ``timm:NAME`` or ``timm:NAME@pretrained``, or ``timm:hf-hub:…`` from the Hugging Face hub.

    A name may have a tag that selects weights (``resnet50.a1_in1k``); the default is timm's default weights.

    Raises:
        UsageError: for anything but ``pretrained`` after ``@``, for options of the constructor, and for a
            network without weights.
        UnknownNameError: for a name that timm does not have.
        ModelError: if the weights cannot be downloaded.
    """
    import timm

    _require_no_options("timm", rest)
    name, _, tag = rest.partition("@")
    if tag not in ("", "pretrained"):
        raise UsageError(f"timm:{rest} is invalid: write timm:{name} for weights, or random:timm:{name} for none.")
    hub = name.startswith(_HUB)
    if not hub:
        _require_weights(name)
    with _downloading(f"timm:{name}", "ARCH" if hub else f"timm:{name}"), _offline_if_unreachable():
        module = timm.create_model(name, pretrained=True)
    config: Any = module.pretrained_cfg
    architecture = _architecture_of(config)
    full = name if hub else architecture.tagged
    return encoder_of(
        module,
        name=f"timm:{full}",
        preprocessing=timm_preprocessing(module),
        architecture=str(architecture),
        source=f"timm, {config.get('hf_hub_id') or config.get('url')}, licence {config.get('license')}",
    )


def _architecture_of(config: Mapping[str, Any]) -> Architecture:
    """Return the network of a configuration, with its tag if timm knows it; networks of the hub have other tags."""
    with suppress(UnknownNameError):
        return find_architecture(f"timm:{config['architecture']}.{config['tag']}")
    return Architecture("timm", config["architecture"])


def _require_no_options(library: str, rest: str) -> None:
    """Refuse options after ``?``; options of the preprocessing are removed before."""
    plain, mark, options = rest.partition("?")
    if mark:
        raise UsageError(
            f"{library}:{rest} has options of the constructor, but published weights are those of {plain} as "
            "it is: only resize, fit, interpolation, mean and std may follow the ?. "
            f"Leave {options} out, or use random: or file: with it."
        )


def _require_weights(name: str) -> None:
    import timm

    known = timm_names(tagged=True)
    if name not in known:
        raise unknown_of_many("timm model", name, known)
    if not timm.is_model_pretrained(name):
        raise UsageError(f"timm has no weights for {name}. Use random:timm:{name} for the untrained network.")


@contextmanager
def _downloading(spec: str, arch: str) -> Iterator[None]:
    """Set a timeout, and convert errors of the network into a message with a remedy."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_TIMEOUT_SECONDS)
    try:
        yield
    except OSError as error:  # raised by urllib and by the hub's client
        reason = " ".join(str(error).partition(". ")[0].split())
        raise ModelError(
            f"The weights of {spec} could not be downloaded ({reason}). Fetch them elsewhere "
            f"and use file:PATH#{arch}; imagenet-lite0 needs no download."
        ) from error
    finally:
        socket.setdefaulttimeout(before)


@contextmanager
def _offline_if_unreachable() -> Iterator[None]:
    """Use only the hub's cache if the hub is unreachable; its client would retry each file for half a minute."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or not is_reachable(constants.ENDPOINT, timeout_seconds=_TIMEOUT_SECONDS)
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before
