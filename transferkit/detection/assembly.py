"""Faster R-CNN [1] on a backbone, with FPN or C4; thresholds are those of the papers.

FPN uses four feature maps [2]; C4 uses the third stage of a ResNet, and its fourth stage as the head [1, 3].

[1] Ren et al., Faster R-CNN, NeurIPS 2015.
[2] Lin et al., Feature pyramid networks for object detection, CVPR 2017.
[3] He et al., Mask R-CNN, ICCV 2017, ablations.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.models.detection.rpn import RPNHead
from torchvision.models.detection.transform import GeneralizedRCNNTransform

from .backbone import (
    IntermediateMaps,
    Norm,
    PyramidBackbone,
    SingleBackbone,
    normalisations,
    require_residual,
    require_weights,
    with_statistics,
)
from .detectron import AlignedPooling, BoxHeads, ProposalNetwork

Kind = Literal["fpn", "c4"]
_BODY, _HEAD = "backbone.body.network.", "roi_heads.box_head.stage."
_RATIOS = (0.5, 1.0, 2.0)
_DIVISIBLE = {"fpn": 32, "c4": 16}  # strides of the coarsest map, which divide the sides of a batch


@dataclass(frozen=True)
class DetectorConfig:
    """Configuration of a detector, except its backbone.

    Attributes:
        kind: ``fpn`` or ``c4``.
        classes: Number of classes without the background.
        norm: Statistics of batch normalisation: ``frozen``, or ``sync`` over all processes.
        anchor_size: Side of the smallest anchor in pixels; 32 in the papers.
        fpn_channels: Channels of the pyramid's maps; 256 in the papers.
        head_width: Width of the two layers of the FPN head; 1024 in the papers.
        rpn_proposals: Boxes per image that the first stage passes to the second in training; half in inference.
        roi_samples: Boxes per image that the second stage is trained on; 512 in the papers.
        score_threshold: Minimum score of reported boxes.
        sampling_ratio: Samples per bin and axis of RoIAlign; 0 uses as many as a bin has map pixels.
    """

    kind: Kind
    classes: int
    norm: Norm = "frozen"
    anchor_size: int = 32
    fpn_channels: int = 256
    head_width: int = 1024
    rpn_proposals: int = 2000
    roi_samples: int = 512
    score_threshold: float = 0.05
    sampling_ratio: int = 2


@dataclass(frozen=True, eq=False)
class DetectorBackbone:
    """The backbone network of a detector.

    Attributes:
        network: The network; it is changed in place, and weights after the last layer are no longer trained.
        layers: Names of the modules whose maps have 1/4, 1/8, 1/16 and 1/32 of the image's size; a ResNet's stages.
        channels: Channels of these maps.
        beyond: Names of weights after the last layer.
        frozen: Names of weights that are not trained.
        spec: Spec of the model, for messages.
        mean, std: Mean and standard deviation per channel, with which images in 0 … 1 are normalised.
    """

    network: nn.Module
    layers: tuple[str, ...]
    channels: tuple[int, ...]
    beyond: frozenset[str]
    frozen: frozenset[str]
    spec: str
    mean: Sequence[float]
    std: Sequence[float]


class Detector(GeneralizedRCNN):
    """Faster R-CNN for images that are already resized.

    In training it maps images and targets to losses; otherwise it maps images to boxes, labels that start at 1,
    and scores.

    Args:
        backbone: the backbone network.
        config: the configuration of all other parts.

    Raises:
        ModelError: if C4 is requested for a network that is not a ResNet.
        CheckpointError: if a weight of the network would be lost.
    """

    def __init__(self, backbone: DetectorBackbone, config: DetectorConfig) -> None:
        source = {name: value.detach().clone() for name, value in backbone.network.state_dict().items()}
        for name, parameter in backbone.network.named_parameters():
            parameter.requires_grad_(name not in backbone.frozen and name not in backbone.beyond)
        network = with_statistics(backbone.network, config.norm)
        parts = _pyramid(network, backbone, config) if config.kind == "fpn" else _single(network, backbone, config)
        transform = _Normalisation(backbone.mean, backbone.std, divisible=_DIVISIBLE[config.kind])
        super().__init__(parts.backbone, _first_stage(parts, config), _second_stage(parts, config), transform)
        norms = normalisations(self.backbone.body) + normalisations(getattr(self.roi_heads.box_head, "stage", _NONE))
        self._frozen_norms = norms if config.norm == "frozen" else []
        require_weights(source, network_weights(self.state_dict()), beyond=backbone.beyond, spec=backbone.spec)

    def train(self, mode: bool = True) -> "Detector":
        """Set the mode; modules with frozen statistics stay in evaluation mode."""
        super().train(mode)
        for part in self._frozen_norms:
            part.eval()
        return self


_NONE = nn.Identity()


@dataclass(frozen=True, eq=False)
class _Parts:
    """The parts that differ between a detector with FPN and one with C4."""

    backbone: nn.Module
    anchors: AnchorGenerator
    rpn_head: nn.Module
    pooling: nn.Module
    box_head: nn.Module
    predictor: nn.Module


def _first_stage(parts: _Parts, config: DetectorConfig) -> ProposalNetwork:
    """Build the region proposal network; outside training it keeps half as many proposals."""
    before_nms = config.rpn_proposals * (6 if config.kind == "c4" else 1)  # a single map has the anchors of all sizes
    return ProposalNetwork(
        parts.anchors,
        parts.rpn_head,
        fg_iou_thresh=0.7,
        bg_iou_thresh=0.3,
        batch_size_per_image=config.roi_samples // 2,
        positive_fraction=0.5,
        pre_nms_top_n={"training": before_nms, "testing": before_nms // 2},
        post_nms_top_n={"training": config.rpn_proposals, "testing": config.rpn_proposals // 2},
        nms_thresh=0.7,
    )


def _second_stage(parts: _Parts, config: DetectorConfig) -> BoxHeads:
    """Build the heads that classify proposals and regress their boxes."""
    return BoxHeads(
        parts.pooling,
        parts.box_head,
        parts.predictor,
        fg_iou_thresh=0.5,
        bg_iou_thresh=0.5,
        batch_size_per_image=config.roi_samples,
        positive_fraction=0.25,
        bbox_reg_weights=None,  # the default weights 10, 10, 5, 5
        score_thresh=config.score_threshold,
        nms_thresh=0.5,
        detections_per_img=100,
    )


def network_weights(held: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the backbone's weights among a detector's weights, by the backbone's own names."""
    found = {name.removeprefix(_BODY): value for name, value in held.items() if name.startswith(_BODY)}
    head = {f"layer4.{name.removeprefix(_HEAD)}": v for name, v in held.items() if name.startswith(_HEAD)}
    return {**found, **head}


def _pyramid(network: nn.Module, backbone: DetectorBackbone, config: DetectorConfig) -> _Parts:
    """Build the parts of a detector with FPN; a box is pooled from the map whose anchors have its size."""
    pyramid = PyramidBackbone(IntermediateMaps(network, backbone.layers), backbone.channels, config.fpn_channels)
    sizes = tuple((config.anchor_size * 2**level,) for level in range(5))
    pooling = AlignedPooling(
        ("0", "1", "2", "3"),
        (4, 8, 16, 32),
        output_size=7,
        sampling_ratio=config.sampling_ratio,
        canonical_scale=7 * config.anchor_size,
    )
    return _Parts(
        backbone=pyramid,
        anchors=AnchorGenerator(sizes, (_RATIOS,) * 5),
        rpn_head=_Float32RPNHead(config.fpn_channels, len(_RATIOS)),
        pooling=pooling,
        box_head=TwoMLPHead(config.fpn_channels * 7 * 7, config.head_width),
        predictor=_Float32Predictor(config.head_width, config.classes + 1),
    )


def _single(network: nn.Module, backbone: DetectorBackbone, config: DetectorConfig) -> _Parts:
    """Build the parts of a detector with C4."""
    require_residual(network, backbone.spec)
    stage = network.get_submodule("layer4")
    network.set_submodule("layer4", nn.Identity())
    depth, wide = backbone.channels[2], backbone.channels[3]
    sizes = (tuple(config.anchor_size * 2**level for level in range(5)),)
    return _Parts(
        backbone=SingleBackbone(IntermediateMaps(network, ["layer3"]), depth),
        anchors=AnchorGenerator(sizes, (_RATIOS,)),
        rpn_head=_Float32RPNHead(depth, 5 * len(_RATIOS)),
        pooling=AlignedPooling(("0",), (16,), output_size=14, sampling_ratio=config.sampling_ratio),
        box_head=_StageHead(stage, wide, config.norm),
        predictor=_Float32Predictor(wide, config.classes + 1),
    )


class _StageHead(nn.Module):
    """A ResNet's fourth stage as head, which maps ``[r, c, 14, 14]`` to ``[r, wide]``.

    With synchronised batch statistics, another batch normalisation follows it, as in MoCo's detectors.
    """

    def __init__(self, stage: nn.Module, wide: int, norm: Norm) -> None:
        super().__init__()
        self.stage = stage
        self.norm = with_statistics(nn.BatchNorm2d(wide), norm) if norm == "sync" else nn.Identity()

    def forward(self, pooled: Tensor) -> Tensor:
        result: Tensor = self.norm(self.stage(pooled)).mean([2, 3])
        return result


class _Float32RPNHead(RPNHead):
    """The head of the proposal network with scores and offsets in float32, independently of autocast."""

    def forward(self, x: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        scores, offsets = super().forward(x)
        return [one.float() for one in scores], [one.float() for one in offsets]


class _Float32Predictor(FastRCNNPredictor):
    """The box predictor with scores and offsets in float32, independently of autocast."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        scores, offsets = super().forward(x)
        return scores.float(), offsets.float()


class _Normalisation(GeneralizedRCNNTransform):
    """A transform that normalises and pads images without resizing them."""

    def __init__(self, mean: Sequence[float], std: Sequence[float], *, divisible: int) -> None:
        super().__init__(0, 0, list(mean), list(std), size_divisible=divisible)

    def resize(self, image: Tensor, target: Any = None) -> tuple[Tensor, Any]:
        return image, target


def seeded_detector(backbone: DetectorBackbone, config: DetectorConfig, *, seed: int) -> Detector:
    """Build a detector whose new parts are initialised from ``seed``, independently of global random state."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed % 2**63)
        return Detector(backbone, config)
