"""What of a network a detector stands on: its maps at four resolutions, its normalisations, its weights."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from ..core.errors import CheckpointError, ModelError

Norm = Literal["frozen", "sync"]
_NORMALISATIONS = nn.modules.batchnorm._BatchNorm
_UNTRACKED = "num_batches_tracked"  # counts batches, shapes nothing
_SHOWN = 4


class _Finished(BaseException):
    """Ends a forward pass once the last map has been seen."""


class Tapped(nn.Module):
    """A network that stops at the last of some modules, and gives what each of them returned.

    Args:
        network: maps ``[b, 3, h, w]`` to anything; gets hooks.
        taps: names of modules that return maps, in the order in which they finish.
    """

    def __init__(self, network: nn.Module, taps: Sequence[str]) -> None:
        super().__init__()
        self.network = network
        self._maps: OrderedDict[str, Tensor] = OrderedDict()
        for place, name in enumerate(taps):
            keep = partial(self._keep, str(place), place == len(taps) - 1)
            network.get_submodule(name).register_forward_hook(keep)

    def forward(self, images: Tensor) -> "OrderedDict[str, Tensor]":
        """``[b, 3, h, w]`` to maps ``[b, c, h/s, w/s]`` named ``0`` to ``3``.

        They are float32 also where products are not: boxes are made from them, and of bf16 only every eighth
        pixel of a large image has a number.
        """
        self._maps = OrderedDict()
        with suppress(_Finished):
            self.network(images)
        maps, self._maps = self._maps, OrderedDict()
        return OrderedDict((name, value.float()) for name, value in maps.items())

    def _keep(self, place: str, last: bool, _module: nn.Module, _args: Any, output: Tensor) -> None:
        self._maps[place] = output
        if last:
            raise _Finished


class PyramidBackbone(nn.Module):
    """Four maps made into five of equal depth [1].

    Args:
        body: gives the maps.
        channels: of the maps ``[4]``.
        depth: channels of each of the five.

    [1] Lin et al., Feature pyramid networks for object detection, CVPR 2017.
    """

    def __init__(self, body: Tapped, channels: Sequence[int], depth: int) -> None:
        super().__init__()
        self.body = body
        self.fpn = FeaturePyramidNetwork(list(channels), depth, extra_blocks=LastLevelMaxPool())
        self.out_channels = depth

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """``[b, 3, h, w]`` to maps ``0`` to ``3`` and ``pool``, each ``[b, depth, …]``."""
        return {name: value.float() for name, value in self.fpn(self.body(images)).items()}


class SingleBackbone(nn.Module):
    """The map of one stage, as it is.

    Args:
        body: gives one map.
        channels: of it.
    """

    def __init__(self, body: Tapped, channels: int) -> None:
        super().__init__()
        self.body = body
        self.out_channels = channels

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """``[b, 3, h, w]`` to one map ``0``: ``[b, channels, h/16, w/16]``."""
        maps: dict[str, Tensor] = self.body(images)
        return maps


def is_residual(network: nn.Module) -> bool:
    """Whether this is a ResNet of torchvision or timm: a stem, then ``layer1`` to ``layer4``."""
    return all(hasattr(network, name) for name in ("conv1", "maxpool", "layer1", "layer2", "layer3", "layer4"))


def require_residual(network: nn.Module, spec: str) -> None:
    """Refuse what has no fourth stage to make a head of.

    Raises: ModelError: with the detector to use instead.
    """
    if not is_residual(network):
        raise ModelError(
            f"{spec} is no ResNet, and --detector c4 needs its fourth stage as head: use --detector fpn, "
            "or a ResNet such as random:resnet18."
        )


def normalisations(module: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    """Every batch normalisation inside."""
    return [part for part in module.modules() if isinstance(part, _NORMALISATIONS)]


def with_statistics(network: nn.Module, norm: Norm) -> nn.Module:
    """The network with batch normalisations that keep their statistics, or share those of all processes.

    Args:
        network: changed in place where statistics are frozen: scale and shift get no gradient.
        norm: ``frozen`` or ``sync``; sync changes nothing where there is one process.
    """
    if norm == "frozen":
        for part in normalisations(network):
            for parameter in part.parameters(recurse=False):
                parameter.requires_grad_(False)
        return network
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        from timm.layers import convert_sync_batchnorm  # knows timm's own kinds, too

        converted: nn.Module = convert_sync_batchnorm(network)
        return converted
    return network


def require_weights(
    source: Mapping[str, Tensor], held: Mapping[str, Tensor], *, beyond: frozenset[str], spec: str
) -> None:
    """Make sure that a detector stands on exactly these weights.

    Args:
        source: the network's weights, by its own names.
        held: what the detector has of them, by the same names.
        beyond: names that the detector has no place for, behind its last map.
        spec: of the network, for the message.

    Raises: CheckpointError: naming weights that are missing, or not those.
    """
    wanted = [name for name in source if name not in beyond and not name.endswith(_UNTRACKED)]
    missing = [name for name in wanted if name not in held]
    changed = [
        name for name in wanted if name in held and not torch.equal(source[name].cpu(), held[name].detach().cpu())
    ]
    for kind, names in (("lacks", missing), ("changes", changed)):
        if names:
            shown = ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" * (len(names) > _SHOWN))
            raise CheckpointError(
                f"The detector {kind} {len(names)} of {len(wanted)} weights of {spec}: {shown}. "
                "Name another network with --model."
            )
