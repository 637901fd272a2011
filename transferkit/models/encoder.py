"""The contract of this room: an encoder is a network, the view it expects, and a digest of its weights.

Read this first, then any sibling.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from ..core.preprocessing import Preprocessing
from ..core.registry import Registry
from .fingerprint import weights_digest
from .options import join_options, split_options
from .pooling import own_pooling


@dataclass(frozen=True, eq=False)
class Encoder:
    """A network that maps an image to features; frozen unless fine-tuned.

    Attributes:
        spec: canonical; a file's path is absolute in it.
        architecture: the name to build it again, such as ``timm:tf_efficientnet_lite0``.
        module: in evaluation mode, on the CPU; maps ``[b, 3, h, w]`` normalised by ``view``.
        weights: hex digest over names, shapes, types and bytes of all parameters and buffers.
        view: the resize, crop and normalisation it was trained for.
        pooling: how its maps or tokens become one vector when the user does not say:
            ``avg`` for convolution maps, ``cls`` or ``mean-tokens`` for tokens.
        source: where the weights come from and under which licence, for people.
        note: which copy of the weights was loaded and how images are prepared, where a user should know.
        trained_on: specs of the data sets that transferkit trained it on, the first one first.
    """

    spec: str
    architecture: str
    module: nn.Module
    weights: str
    view: Preprocessing
    pooling: str = "avg"
    source: str = ""
    note: str = ""
    trained_on: tuple[str, ...] = ()

    def at(self, size: int | None) -> "Encoder":
        """The same encoder looking at squares of ``size`` pixels; unchanged for None.

        A transformer of timm that takes one size alone is given another, and its position embedding is
        resampled, as timm does it for ``create_model(…, img_size=size)``; its architecture then says so.
        """
        if size is None:
            return self
        view = self.view.at(size)
        if _only_size(self.module) in (None, size):
            return replace(self, view=view)
        module: Any = deepcopy(self.module)
        module.set_input_size(img_size=size)
        architecture = self.architecture
        if architecture.startswith("timm:"):
            name, options = split_options(architecture)
            architecture = join_options(name, {**options, "img_size": size})
        return replace(self, view=view, module=module, weights=weights_digest(module), architecture=architecture)


def _only_size(module: nn.Module) -> int | None:
    """The side of the only squares that a transformer of timm takes, if it can be given another."""
    patches: Any = getattr(module, "patch_embed", None)
    can_change = hasattr(module, "set_input_size") and hasattr(module, "pos_embed")
    if not can_change or not getattr(patches, "strict_img_size", False):
        return None
    height, width = patches.img_size
    return height if height == width else None


def preprocessing_text(view: Preprocessing) -> str:
    """How images are prepared, in words.

    >>> preprocessing_text(Preprocessing())
    'shorter side to 256 pixels (bicubic), central 224, mean 0.485 0.456 0.406, std 0.229 0.224 0.225'
    >>> preprocessing_text(Preprocessing(resize=445, crop=512)).split(", mean")[0]
    'shorter side to 445 pixels (bicubic), central 512, padded with black'
    """
    sides = {"shorter": "shorter side", "squash": "both sides", "border": "longer side"}[view.fit]
    colour = "the mean" if view.fit == "border" else "black"
    padded = f", padded with {colour}" if view.fit == "border" or view.crop > view.resize else ""
    mean, std = (" ".join(f"{value:g}" for value in values) for values in (view.mean, view.std))
    return (
        f"{sides} to {view.resize} pixels ({view.interpolation}), central {view.crop}{padded}, mean {mean}, std {std}"
    )


def encoder_of(
    module: nn.Module,
    *,
    name: str,
    view: Preprocessing | None = None,
    architecture: str = "",
    source: str = "",
    note: str = "",
) -> Encoder:
    """Any network as an encoder; the network is switched to evaluation mode.

    Args:
        module: maps ``[b, 3, h, w]`` to anything; its layers are what is tapped.
        name: the spec that stands in keys and records.
        view: the view it was trained for; None is 224 pixels out of 256, normalised as for ImageNet.
        architecture: the name to build it again; empty for ``name``.
        source: where the weights come from, for people.
        note: what a user should know when it is loaded.
    """
    return Encoder(
        spec=name,
        architecture=architecture or name,
        module=module.eval(),
        weights=weights_digest(module),
        view=view or Preprocessing(),
        pooling=own_pooling(module),
        source=source,
        note=note,
    )


ENCODERS: Registry[Callable[[str], Encoder]] = Registry("model")
"""Scheme → builder; the builder gets what stands behind the colon of the spec, or an empty string."""
