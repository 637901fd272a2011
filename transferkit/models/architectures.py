"""Networks by name, untrained: torchvision's and timm's. Each library is loaded only when it is asked.

``ARCH`` is a torchvision name (``resnet50``), else a timm name (``vit_small_patch16_224``), or one of them
with its library in front (``timm:resnet50``); ``imagenet-lite0`` stands for ``tf_efficientnet_lite0``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from math import floor
from typing import Any, Literal

import torch
from torch import nn

from ..core.errors import ModelError, UnknownNameError, UsageError
from ..core.registry import unknown_name
from ..core.views import Fit, Interpolation, View
from .encoder import ENCODERS, Encoder, encoder_of

LITES = ("imagenet-lite0", "imagenet-lite1", "imagenet-lite2")

_ASKS_ABOUT_ITS_START = ("googlenet", "inception_v3")  # torchvision warns unless told how to initialise


@dataclass(frozen=True)
class Architecture:
    """A network that can be built; ``str`` spells it with its library."""

    library: Literal["torchvision", "timm"]
    name: str

    def __str__(self) -> str:
        return f"{self.library}:{self.name}"

    @property
    def short(self) -> str:
        """Its name alone, where that means the same."""
        return self.name if find_architecture(self.name) == self else str(self)

    def build(self, *, seed: int = 0, classes: int | None = None) -> nn.Module:
        """Untrained, the same weights for the same seed; no global random state is touched.

        Args:
            seed: of the weights.
            classes: rows of the classifier; as many as its library gives it unless given.
        """
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            return self._build({} if classes is None else {"num_classes": classes})

    def _build(self, options: dict[str, Any]) -> nn.Module:
        if self.library == "timm":
            import timm

            return timm.create_model(self.name, pretrained=False, **options)
        from torchvision import models

        start = {"init_weights": True} if self.name in _ASKS_ABOUT_ITS_START else {}
        return models.get_model(self.name, weights=None, **start, **options)

    def view(self, module: nn.Module) -> View:
        """What its library trains it for."""
        if self.library == "timm":
            return timm_view(module)
        from torchvision import models

        return torchvision_view(models.get_model_weights(self.name)["DEFAULT"])


def torchvision_names() -> list[str]:
    """Image classifiers of torchvision."""
    from torchvision import models

    return models.list_models(module=models)


@cache
def _timm_models() -> tuple[str, ...]:
    """Listed once: timm sorts a thousand names each time, and every encoder is looked up here."""
    import timm

    return tuple(timm.list_models())


def timm_names(*, tagged: bool = False) -> list[str]:
    """Networks of timm; ``tagged`` adds the names of their weights, such as ``resnet50.a1_in1k``."""
    import timm

    return [*_timm_models(), *(timm.list_pretrained() if tagged else [])]


def unknown_of_many(kind: str, name: str, known: list[str]) -> UnknownNameError:
    """As ``unknown_name``, naming the few nearest instead of all."""
    return unknown_name(kind, name, get_close_matches(name, known, n=5, cutoff=0.0))


def find_architecture(text: str) -> Architecture:
    """The network that ``ARCH`` names.

    Raises: UnknownNameError: if no library has it.
    """
    library, _, name = text.rpartition(":")
    if text in LITES:
        library, name = "timm", f"tf_efficientnet_{text.removeprefix('imagenet-')}"
    if library in ("", "torchvision") and name in torchvision_names():
        return Architecture("torchvision", name)
    if library in ("", "timm") and name.split(".")[0] in timm_names():
        return Architecture("timm", name.split(".")[0])
    known = {"torchvision": torchvision_names, "timm": timm_names}.get(library, _all_names)
    raise unknown_of_many("architecture", name if library in ("torchvision", "timm") else text, known())


def _all_names() -> list[str]:
    return [*torchvision_names(), *timm_names()]


def torchvision_view(weights: Any) -> View:
    """The view that a member of torchvision's weight enumerations was evaluated with."""
    preset = weights.transforms()
    return View(
        resize=preset.resize_size[0],
        crop=preset.crop_size[0],
        interpolation=_interpolation(preset.interpolation.value, str(weights)),
        mean=tuple(preset.mean),
        std=tuple(preset.std),
    )


def timm_view(module: nn.Module) -> View:
    """The view in the configuration of a timm network; see ``view_of_config``."""
    from timm.data import resolve_model_data_config

    known: Any = module.pretrained_cfg
    return view_of_config(resolve_model_data_config(module), known.get("architecture", "The network"))


_FITS: dict[str, Fit] = {"center": "shorter", "squash": "squash", "border": "border"}
_INTERPOLATIONS: dict[str, Interpolation] = {"bilinear": "bilinear", "bicubic": "bicubic"}


def view_of_config(config: Mapping[str, Any], name: str) -> View:
    """The view that timm builds from a configuration of images.

    Args:
        config: what ``timm.data.resolve_data_config`` returns.
        name: of the network, for errors.

    Raises: ModelError: for images that are not square, have not three channels, or are preprocessed in a way
        that no view can express.
    """
    channels, height, width = config["input_size"]
    if channels != 3 or height != width:
        raise ModelError(
            f"{name} takes images of {channels} channels and {height}×{width} pixels. Only square images of "
            "3 channels can be shown to a network: choose another one."
        )
    if (mode := config["crop_mode"]) not in _FITS:
        raise ModelError(f"{name} has the crop_mode {mode!r}: only {', '.join(_FITS)} can be computed.")
    return View(
        resize=floor(height / config["crop_pct"]),
        crop=height,
        fit=_FITS[mode],
        interpolation=_interpolation(config["interpolation"], name),
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
    )


def _interpolation(value: str, name: str) -> Interpolation:
    if value not in _INTERPOLATIONS:
        allowed = " and ".join(_INTERPOLATIONS)
        raise ModelError(f"{name} has the interpolation {value!r}: only {allowed} can be computed.")
    return _INTERPOLATIONS[value]


@ENCODERS.register("random")
def random_encoder(rest: str) -> Encoder:
    """``random:ARCH`` or ``random:ARCH@SEED``: the untrained network, the floor for trained ones.

    Raises: UsageError: for a seed that is no number.
    """
    text, _, digits = rest.partition("@")
    if digits and not digits.isdecimal():
        raise UsageError(f"random:{rest} has no seed {digits!r}: write a number, such as random:{text}@1.")
    seed = int(digits or 0)
    architecture = find_architecture(text)
    module = architecture.build(seed=seed)
    return encoder_of(
        module,
        name=f"random:{architecture.short}" + (f"@{seed}" if seed else ""),
        view=architecture.view(module),
        architecture=str(architecture),
        source=f"untrained, seed {seed}",
    )
