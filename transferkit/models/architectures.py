"""Untrained networks of torchvision and timm by name. Each library is imported only when it is needed.

``ARCH`` is a torchvision name (``resnet50``), otherwise a timm name (``vit_small_patch16_224``), or one of them
with its library as prefix (``timm:resnet50``); ``imagenet-lite0`` stands for ``tf_efficientnet_lite0``.
A tag names published weights, whose configuration is used (``vit_small_patch16_224.dino``,
``resnet50.IMAGENET1K_V1``), and options after ``?`` are arguments of the network's constructor
(``vit_small_patch16_224?num_heads=12``).
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import cache
from math import floor
from typing import Any, Literal

import torch
from torch import nn

from ..core.errors import ModelError, UnknownNameError, UsageError
from ..core.preprocessing import Fit, Interpolation, Preprocessing
from ..core.registry import unknown_name
from .encoder import ENCODERS, Encoder, encoder_of
from .options import join_options, split_options

LITES = ("imagenet-lite0", "imagenet-lite1", "imagenet-lite2")

Library = Literal["torchvision", "timm"]

_WITH_WEIGHTS: Mapping[str, Mapping[str, Any]] = {
    # torchvision warns unless init_weights is given, and sets transform_input for its published weights
    name: {"init_weights": True, "transform_input": True}
    for name in ("googlenet", "inception_v3")
}

_WEIGHT_OPTIONS = (  # options of the libraries' functions that are no options of a network
    "pretrained",
    "pretrained_cfg",
    "pretrained_cfg_overlay",
    "checkpoint_path",
    "cache_dir",
    "features_only",
    "weights",
)


@dataclass(frozen=True)
class Architecture:
    """A network that can be built; ``str`` returns its name with its library.

    Attributes:
        library, name: Library and name of the network.
        tag: Tag of published weights, which determine the number of classes and the preprocessing; empty for
            those of the library's default weights.
        options: Further arguments of the network's constructor.
    """

    library: Library
    name: str
    tag: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.library}:{self._spelled}"

    @property
    def tagged(self) -> str:
        """The name with its tag."""
        return f"{self.name}.{self.tag}" if self.tag else self.name

    @property
    def _spelled(self) -> str:
        return join_options(self.tagged, self.options)

    @property
    def short(self) -> str:
        """The name without the library if it is unambiguous, otherwise with it."""
        return self._spelled if find_architecture(self._spelled) == self else str(self)

    def having(self, **options: Any) -> "Architecture":
        """Return the same network with further constructor options."""
        return replace(self, options={**self.options, **options})

    def build(self, *, seed: int = 0, classes: int | None = None) -> nn.Module:
        """Build the untrained network; the same seed gives the same weights, and global random state is unchanged.

        Args:
            seed: seed of the weights.
            classes: number of classes; by default, that of its library.

        Raises: UsageError: if the constructor refuses an option.
        """
        options = {**self.options, **({} if classes is None else {"num_classes": classes})}
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            try:
                return self._build(options)
            except Exception as error:  # what a constructor raises depends on the option
                if not self.options:
                    raise
                raise self._refusal(error) from error

    def _build(self, options: Mapping[str, Any]) -> nn.Module:
        if self.library == "timm":
            import timm

            return timm.create_model(self.tagged, pretrained=False, **options)
        from torchvision import models

        return models.get_model(self.name, weights=None, **{**_WITH_WEIGHTS.get(self.name, {}), **options})

    def _refusal(self, error: Exception) -> UsageError:
        """Return the error for options that the constructor refused, with the names that it accepts."""
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        if isinstance(error, LookupError):  # its text is the bare key
            reason = f"{reason} is unknown"
        parameters = inspect.signature(type(replace(self, options={}).build()).__init__).parameters
        known = [name for name in parameters if name not in ("self", "args", "kwargs", "cfg")]
        unknown = [key for key in self.options if key not in known]
        near = [name for key in unknown for name in get_close_matches(key, known, n=1)]
        hint = f" Options of the network: {', '.join(near or known)}." if unknown else ""
        return UsageError(f"{self} cannot be built: {reason.rstrip('.')}.{hint}")

    def preprocessing(self) -> Preprocessing:
        """Return the preprocessing of its tag, or of its library's default weights."""
        if self.library == "timm":
            from timm.data import resolve_data_config
            from timm.models import get_pretrained_cfg

            config: Any = get_pretrained_cfg(self.tagged)
            preprocessing = preprocessing_of_config(resolve_data_config(pretrained_cfg=config.to_dict()), str(self))
        else:
            from torchvision import models

            preprocessing = torchvision_preprocessing(models.get_model_weights(self.name)[self.tag or "DEFAULT"])
        size = self.options.get("img_size", self.options.get("image_size"))
        return preprocessing.at(size) if isinstance(size, int) else preprocessing


def torchvision_names() -> list[str]:
    """Return the names of torchvision's image classifiers."""
    from torchvision import models

    return models.list_models(module=models)


@cache
def _timm_models() -> tuple[str, ...]:
    """Return timm's models, listed once: timm sorts a thousand names each time, and every encoder needs them."""
    import timm

    return tuple(timm.list_models())


def timm_names(*, tagged: bool = False) -> list[str]:
    """Return the names of timm's networks; ``tagged`` adds those of their weights, such as ``resnet50.a1_in1k``."""
    import timm

    return [*_timm_models(), *(timm.list_pretrained() if tagged else [])]


def unknown_of_many(kind: str, name: str, known: list[str]) -> UnknownNameError:
    """Return the error of ``unknown_name`` with the nearest few names instead of all."""
    return unknown_name(kind, name, get_close_matches(name, known, n=5, cutoff=0.0))


def find_architecture(text: str) -> Architecture:
    """Return the network that ``ARCH`` names.

    Raises:
        UnknownNameError: if no library has the network, or the network has no such tag.
        UsageError: for options that are not ``key=value``, or that are no options of a network.
    """
    spelled, options = split_options(text)
    if invalid := [key for key in options if key in _WEIGHT_OPTIONS]:
        raise UsageError(
            f"{text}: {invalid[0]} is no option of a network. Only options of its constructor are allowed, "
            "such as num_heads=12. Name weights as file:PATH#ARCH, timm:NAME or torchvision:NAME@WEIGHTS."
        )
    library, _, tagged = spelled.rpartition(":")
    if spelled in LITES:
        library, tagged = "timm", f"tf_efficientnet_{spelled.removeprefix('imagenet-')}"
    name, _, tag = tagged.partition(".")
    tags: list[str] = []
    libraries: tuple[tuple[Library, Callable[[], list[str]], Callable[[str], list[str]]], ...] = (
        ("torchvision", torchvision_names, _torchvision_tags),
        ("timm", timm_names, _timm_tags),
    )
    for each, names, tags_of in libraries:
        if library in ("", each) and name in names():
            if not tag or tag in (known := tags_of(name)):
                return Architecture(each, name, tag, options)
            tags += known or [""]
    if tags:
        raise _unknown_tag(name, tag, [known for known in tags if known])
    choices = {"torchvision": torchvision_names, "timm": timm_names}.get(library, _all_names)
    raise unknown_of_many("architecture", tagged if library in ("torchvision", "timm") else spelled, choices())


def _torchvision_tags(name: str) -> list[str]:
    from torchvision import models

    return [tag for tag in models.get_model_weights(name).__members__ if tag != "DEFAULT"]


def _timm_tags(name: str) -> list[str]:
    from timm.models import get_arch_pretrained_cfgs

    return [tag for full in get_arch_pretrained_cfgs(name) if (tag := full.partition(".")[2])]


def _unknown_tag(name: str, tag: str, known: list[str]) -> UnknownNameError:
    near = get_close_matches(tag, known, n=1)
    hint = f"Did you mean '{name}.{near[0]}'? " if near else ""
    return UnknownNameError(f"{name} has no weights with the tag {tag!r}. {hint}It has: {', '.join(known)}.")


def _all_names() -> list[str]:
    return [*torchvision_names(), *timm_names()]


def torchvision_preprocessing(weights: Any) -> Preprocessing:
    """Return the preprocessing with which torchvision evaluated a member of its weight enumerations."""
    preset = weights.transforms()
    return Preprocessing(
        resize=preset.resize_size[0],
        crop=preset.crop_size[0],
        interpolation=_interpolation(preset.interpolation.value, str(weights)),
        mean=tuple(preset.mean),
        std=tuple(preset.std),
    )


def timm_preprocessing(module: nn.Module) -> Preprocessing:
    """Return the preprocessing in the configuration of a timm network; see ``view_of_config``."""
    from timm.data import resolve_model_data_config

    known: Any = module.pretrained_cfg
    return preprocessing_of_config(resolve_model_data_config(module), known.get("architecture", "The network"))


_FITS: dict[str, Fit] = {"center": "shorter", "squash": "squash", "border": "border"}
_INTERPOLATIONS: dict[str, Interpolation] = {"bilinear": "bilinear", "bicubic": "bicubic"}


def preprocessing_of_config(config: Mapping[str, Any], name: str) -> Preprocessing:
    """Return the preprocessing that timm builds from a data configuration.

    Args:
        config: result of ``timm.data.resolve_data_config``.
        name: name of the network, for errors.

    Raises: ModelError: for images that are not square or do not have three channels, and for preprocessing that
        ``Preprocessing`` does not support.
    """
    channels, height, width = config["input_size"]
    if channels != 3 or height != width:
        raise ModelError(
            f"{name} takes images of {channels} channels and {height}×{width} pixels. Only square images of "
            "3 channels are supported: choose another one."
        )
    if (mode := config["crop_mode"]) not in _FITS:
        raise ModelError(f"{name} has the crop_mode {mode!r}: only {', '.join(_FITS)} can be computed.")
    return Preprocessing(
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
    """Build ``random:ARCH`` or ``random:ARCH@SEED``: the untrained network, a baseline for trained networks.

    Raises: UsageError: if the seed is not a number.
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
        preprocessing=architecture.preprocessing(),
        architecture=str(architecture),
        source=f"untrained, seed {seed}",
    )
