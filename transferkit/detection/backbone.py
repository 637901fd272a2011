"""The backbone of a detector: feature maps at four resolutions, batch normalisation, and a check of its weights."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from ..core.errors import CheckpointError, ModelError
from ..models.hooks import captured_outputs

Norm = Literal["frozen", "sync"]
_NORMALISATIONS = nn.modules.batchnorm._BatchNorm
_UNTRACKED = "num_batches_tracked"  # a counter that does not affect outputs
_MAX_SHOWN = 4


class IntermediateMaps(nn.Module):
    """A network that returns the outputs of some modules and stops after the last of them.

    Args:
        network: network on images ``[b, 3, h, w]``.
        layers: names of modules that return maps and run once.
    """

    def __init__(self, network: nn.Module, layers: Sequence[str]) -> None:
        super().__init__()
        self.network = network
        self.layers = tuple(layers)

    def forward(self, images: Tensor) -> "OrderedDict[str, Tensor]":
        """Map ``[b, 3, h, w]`` to maps ``[b, c, h/s, w/s]`` named ``0``, ``1``, … in the order of the layers.

        The maps are float32 even under autocast: boxes are computed from them, and bf16 can represent only every
        eighth pixel coordinate of a large image.
        """
        with captured_outputs(self.network, self.layers, lambda _name, output, _rows: output) as outputs:
            maps = outputs(images)
        return OrderedDict((str(index), value.float()) for index, value in enumerate(maps.values()))


class PyramidBackbone(nn.Module):
    """A feature pyramid, which combines four maps into five with the same number of channels [1].

    Args:
        body: network that returns the four maps.
        channels: ``[4]`` channels of these maps.
        depth: channels of each of the five maps.

    [1] Lin et al., Feature pyramid networks for object detection, CVPR 2017.
    """

    def __init__(self, body: IntermediateMaps, channels: Sequence[int], depth: int) -> None:
        super().__init__()
        self.body = body
        self.fpn = FeaturePyramidNetwork(list(channels), depth, extra_blocks=LastLevelMaxPool())
        self.out_channels = depth

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Map ``[b, 3, h, w]`` to maps ``0`` to ``3`` and ``pool``, each ``[b, depth, …]``."""
        return {name: value.float() for name, value in self.fpn(self.body(images)).items()}


class SingleBackbone(nn.Module):
    """The unchanged map of one stage.

    Args:
        body: network that returns one map.
        channels: channels of the map.
    """

    def __init__(self, body: IntermediateMaps, channels: int) -> None:
        super().__init__()
        self.body = body
        self.out_channels = channels

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Map ``[b, 3, h, w]`` to one map ``0``: ``[b, channels, h/16, w/16]``."""
        maps: dict[str, Tensor] = self.body(images)
        return maps


def is_residual(network: nn.Module) -> bool:
    """Return whether the network is a ResNet of torchvision or timm: a stem, then ``layer1`` to ``layer4``."""
    return all(hasattr(network, name) for name in ("conv1", "maxpool", "layer1", "layer2", "layer3", "layer4"))


def require_residual(network: nn.Module, spec: str) -> None:
    """Check that the network is a ResNet, whose fourth stage can be the head of a detector.

    Raises: ModelError: if it is not; the message names the detector to use instead.
    """
    if not is_residual(network):
        raise ModelError(
            f"{spec} is no ResNet, and --detector c4 needs its fourth stage as head: use --detector fpn, "
            "or a ResNet such as random:resnet18."
        )


def normalisations(module: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    """Return all batch normalisations inside a module."""
    return [part for part in module.modules() if isinstance(part, _NORMALISATIONS)]


def with_statistics(network: nn.Module, norm: Norm) -> nn.Module:
    """Return the network with frozen batch normalisation, or with statistics synchronised over all processes.

    Args:
        network: the network; with frozen statistics it is changed in place: scale and shift get no gradient.
        norm: ``frozen`` or ``sync``; ``sync`` changes nothing if there is one process.
    """
    if norm == "frozen":
        for part in normalisations(network):
            for parameter in part.parameters(recurse=False):
                parameter.requires_grad_(False)
        return network
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        from timm.layers import convert_sync_batchnorm  # converts timm's own layers, too

        converted: nn.Module = convert_sync_batchnorm(network)
        return converted
    return network


def require_weights(
    source: Mapping[str, Tensor], held: Mapping[str, Tensor], *, beyond: frozenset[str], spec: str
) -> None:
    """Check that a detector contains exactly these weights.

    Args:
        source: the network's weights, by its own names.
        held: the backbone's weights in the detector, by the same names.
        beyond: names of weights after the last map, which the detector does not contain.
        spec: spec of the network, for the message.

    Raises: CheckpointError: if weights are missing or different; the message names them.
    """
    wanted = [name for name in source if name not in beyond and not name.endswith(_UNTRACKED)]
    missing = [name for name in wanted if name not in held]
    changed = [
        name for name in wanted if name in held and not torch.equal(source[name].cpu(), held[name].detach().cpu())
    ]
    for kind, names in (("lacks", missing), ("changes", changed)):
        if names:
            shown = ", ".join(names[:_MAX_SHOWN]) + (f" and {len(names) - _MAX_SHOWN} more" * (len(names) > _MAX_SHOWN))
            raise CheckpointError(
                f"The detector {kind} {len(names)} of {len(wanted)} weights of {spec}: {shown}. "
                "Name another network with --model."
            )
