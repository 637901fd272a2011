"""The contract of this room: an encoder is a network, the view it expects, and a digest of its weights.

Read this first, then any sibling.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import nn

from ..core.registry import Registry
from ..core.views import View
from .fingerprint import weights_digest
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
    """

    spec: str
    architecture: str
    module: nn.Module
    weights: str
    view: View
    pooling: str = "avg"
    source: str = ""

    def at(self, size: int | None) -> "Encoder":
        """The same encoder looking at squares of ``size`` pixels; unchanged for None."""
        return self if size is None else replace(self, view=self.view.at(size))


def encoder_of(
    module: nn.Module, *, name: str, view: View | None = None, architecture: str = "", source: str = ""
) -> Encoder:
    """Any network as an encoder; the network is switched to evaluation mode.

    Args:
        module: maps ``[b, 3, h, w]`` to anything; its layers are what is tapped.
        name: the spec that stands in keys and records.
        view: the view it was trained for; None is 224 pixels out of 256, normalised as for ImageNet.
        architecture: the name to build it again; empty for ``name``.
        source: where the weights come from, for people.
    """
    return Encoder(
        spec=name,
        architecture=architecture or name,
        module=module.eval(),
        weights=weights_digest(module),
        view=view or View(),
        pooling=own_pooling(module),
        source=source,
    )


ENCODERS: Registry[Callable[[str], Encoder]] = Registry("model")
"""Scheme → builder; the builder gets what stands behind the colon of the spec, or an empty string."""
