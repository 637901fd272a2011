"""The interface of models: an encoder is a network, the preprocessing it expects, and a digest of its weights.

Read this file first, then any other file of the package.
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
    """A network that maps an image to features; it is frozen unless it is fine-tuned.

    Attributes:
        spec: Canonical spec; the path of a file is absolute.
        architecture: Name from which it can be rebuilt, such as ``timm:tf_efficientnet_lite0``.
        module: Network in evaluation mode, on the CPU, for images ``[b, 3, h, w]`` normalised by ``preprocessing``.
        weights: Hex digest over names, shapes, types and bytes of all parameters and buffers.
        preprocessing: Preprocessing that it was trained for: resize, crop and normalisation.
        pooling: Default pooling of its maps or tokens: ``avg`` for convolution maps, ``cls`` or ``mean-tokens``
            for tokens.
        source: Origin and licence of the weights, for users.
        note: Note for users about the loaded copy of the weights; may be empty.
        trained_on: Specs of the data sets that transferkit trained it on, in order.
    """

    spec: str
    architecture: str
    module: nn.Module
    weights: str
    preprocessing: Preprocessing
    pooling: str = "avg"
    source: str = ""
    note: str = ""
    trained_on: tuple[str, ...] = ()

    def at(self, size: int | None) -> "Encoder":
        """Return the encoder for square images of ``size`` pixels per side; None leaves it unchanged.

        The position embedding of a timm transformer with a fixed size is resampled, as timm does for
        ``create_model(…, img_size=size)``, and its architecture contains the new size.
        """
        if size is None:
            return self
        preprocessing = self.preprocessing.at(size)
        if _fixed_size(self.module) in (None, size):
            return replace(self, preprocessing=preprocessing)
        module: Any = deepcopy(self.module)
        module.set_input_size(img_size=size)
        architecture = self.architecture
        if architecture.startswith("timm:"):
            name, options = split_options(architecture)
            architecture = join_options(name, {**options, "img_size": size})
        return replace(
            self, preprocessing=preprocessing, module=module, weights=weights_digest(module), architecture=architecture
        )


def _fixed_size(module: nn.Module) -> int | None:
    """Return the fixed image size of a timm transformer whose size can be changed, otherwise None."""
    patches: Any = getattr(module, "patch_embed", None)
    can_change = hasattr(module, "set_input_size") and hasattr(module, "pos_embed")
    if not can_change or not getattr(patches, "strict_img_size", False):
        return None
    height, width = patches.img_size
    return height if height == width else None


def preprocessing_text(preprocessing: Preprocessing) -> str:
    """Describe the preprocessing of images in words.

    >>> preprocessing_text(Preprocessing())
    'shorter side to 256 pixels (bicubic), central 224, mean 0.485 0.456 0.406, std 0.229 0.224 0.225'
    >>> preprocessing_text(Preprocessing(resize=445, crop=512)).split(", mean")[0]
    'shorter side to 445 pixels (bicubic), central 512, padded with black'
    """
    sides = {"shorter": "shorter side", "squash": "both sides", "border": "longer side"}[preprocessing.fit]
    colour = "the mean" if preprocessing.fit == "border" else "black"
    padded = (
        f", padded with {colour}" if preprocessing.fit == "border" or preprocessing.crop > preprocessing.resize else ""
    )
    mean, std = (" ".join(f"{value:g}" for value in values) for values in (preprocessing.mean, preprocessing.std))
    return (
        f"{sides} to {preprocessing.resize} pixels ({preprocessing.interpolation}), "
        f"central {preprocessing.crop}{padded}, mean {mean}, std {std}"
    )


def encoder_of(
    module: nn.Module,
    *,
    name: str,
    preprocessing: Preprocessing | None = None,
    architecture: str = "",
    source: str = "",
    note: str = "",
) -> Encoder:
    """Return an encoder of any network, and switch the network to evaluation mode.

    Args:
        module: network for images ``[b, 3, h, w]`` with any output.
        name: spec in cache keys and records.
        preprocessing: what it was trained for; by default a 224-pixel crop of 256, normalised as for ImageNet.
        architecture: name from which it can be rebuilt; empty for ``name``.
        source: origin of the weights, for users.
        note: note for users when it is loaded.
    """
    return Encoder(
        spec=name,
        architecture=architecture or name,
        module=module.eval(),
        weights=weights_digest(module),
        preprocessing=preprocessing or Preprocessing(),
        pooling=own_pooling(module),
        source=source,
        note=note,
    )


ENCODERS: Registry[Callable[[str], Encoder]] = Registry("model", group="transferkit.encoders")
"""Scheme → builder; the argument of the builder is the part of the spec after the colon, or an empty string."""
