"""Faster R-CNN [1] around a network: with a pyramid, or as C4; thresholds are those of the papers.

FPN reads four maps [2]; C4 reads the third stage of a ResNet and uses the fourth as head [1, 3].

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
    Norm,
    PyramidBackbone,
    SingleBackbone,
    Tapped,
    normalisations,
    require_residual,
    require_weights,
    with_statistics,
)
from .detectron import AlignedPooling, BoxHeads, ProposalNetwork

Kind = Literal["fpn", "c4"]
_BODY, _HEAD = "backbone.body.network.", "roi_heads.box_head.stage."
_RATIOS = (0.5, 1.0, 2.0)
_DIVISIBLE = {"fpn": 32, "c4": 16}  # the sides of a batch, as its coarsest map asks


@dataclass(frozen=True)
class DetectorConfig:
    """What a detector looks like, beside its network.

    Attributes:
        kind: ``fpn`` or ``c4``.
        classes: how many, without the background.
        norm: batch statistics of the network: ``frozen``, or ``sync`` over all processes.
        anchor_size: pixels of the smallest anchor's side; 32 in the papers.
        fpn_channels: channels of a pyramid; 256 in the papers.
        head_width: of the two layers of a pyramid's head; 1024 in the papers.
        rpn_proposals: boxes an image that pass from the first to the second stage in training, half in use.
        roi_samples: of them, how many an image are trained on; 512 in the papers.
        score_threshold: below which no box is reported.
        sampling_ratio: samples per bin and axis of RoIAlign; 0 takes as many as a bin has map pixels.
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
    """The network that a detector is put around.

    Attributes:
        network: is changed: what lies behind the last tap is no longer trained.
        taps: names of the modules whose maps are 1/4, 1/8, 1/16 and 1/32 of the image; of a ResNet's stages.
        channels: of those maps.
        beyond: names of weights behind the last tap.
        frozen: names of weights that are not trained.
        spec: for messages.
        mean, std: of a channel, with which images of 0 … 1 are normalised.
    """

    network: nn.Module
    taps: tuple[str, ...]
    channels: tuple[int, ...]
    beyond: frozenset[str]
    frozen: frozenset[str]
    spec: str
    mean: Sequence[float]
    std: Sequence[float]


class Detector(GeneralizedRCNN):
    """Faster R-CNN whose images come in the size in which they are seen.

    In training it maps images and targets to losses; else images to boxes, labels from 1 on, and scores.

    Args:
        backbone: the network it stands on.
        plan: everything else.

    Raises:
        ModelError: if C4 is to stand on anything but a ResNet.
        CheckpointError: if a weight of the network would be lost.
    """

    def __init__(self, backbone: DetectorBackbone, plan: DetectorConfig) -> None:
        source = {name: value.detach().clone() for name, value in backbone.network.state_dict().items()}
        for name, parameter in backbone.network.named_parameters():
            parameter.requires_grad_(name not in backbone.frozen and name not in backbone.beyond)
        network = with_statistics(backbone.network, plan.norm)
        parts = _pyramid(network, backbone, plan) if plan.kind == "fpn" else _single(network, backbone, plan)
        transform = _Normalisation(backbone.mean, backbone.std, divisible=_DIVISIBLE[plan.kind])
        super().__init__(parts.backbone, _first_stage(parts, plan), _second_stage(parts, plan), transform)
        held = normalisations(self.backbone.body) + normalisations(getattr(self.roi_heads.box_head, "stage", _NONE))
        self._still = held if plan.norm == "frozen" else []
        require_weights(source, network_weights(self.state_dict()), beyond=backbone.beyond, spec=backbone.spec)

    def train(self, mode: bool = True) -> "Detector":
        """As usual; frozen statistics stay as they are."""
        super().train(mode)
        for part in self._still:
            part.eval()
        return self


_NONE = nn.Identity()


@dataclass(frozen=True, eq=False)
class _Parts:
    """What differs between a detector with a pyramid and C4."""

    backbone: nn.Module
    anchors: AnchorGenerator
    rpn_head: nn.Module
    pooling: nn.Module
    box_head: nn.Module
    predictor: nn.Module


def _first_stage(parts: _Parts, plan: DetectorConfig) -> ProposalNetwork:
    """The proposal network; half of the proposals are kept outside training."""
    many = plan.rpn_proposals * (6 if plan.kind == "c4" else 1)  # one map has the anchors of all
    return ProposalNetwork(
        parts.anchors,
        parts.rpn_head,
        fg_iou_thresh=0.7,
        bg_iou_thresh=0.3,
        batch_size_per_image=plan.roi_samples // 2,
        positive_fraction=0.5,
        pre_nms_top_n={"training": many, "testing": many // 2},
        post_nms_top_n={"training": plan.rpn_proposals, "testing": plan.rpn_proposals // 2},
        nms_thresh=0.7,
    )


def _second_stage(parts: _Parts, plan: DetectorConfig) -> BoxHeads:
    """The heads that classify proposals and move their sides."""
    return BoxHeads(
        parts.pooling,
        parts.box_head,
        parts.predictor,
        fg_iou_thresh=0.5,
        bg_iou_thresh=0.5,
        batch_size_per_image=plan.roi_samples,
        positive_fraction=0.25,
        bbox_reg_weights=None,  # 10, 10, 5, 5
        score_thresh=plan.score_threshold,
        nms_thresh=0.5,
        detections_per_img=100,
    )


def network_weights(held: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Of a detector's weights those of the network it stands on, by the network's own names."""
    found = {name.removeprefix(_BODY): value for name, value in held.items() if name.startswith(_BODY)}
    head = {f"layer4.{name.removeprefix(_HEAD)}": v for name, v in held.items() if name.startswith(_HEAD)}
    return {**found, **head}


def _pyramid(network: nn.Module, backbone: DetectorBackbone, plan: DetectorConfig) -> _Parts:
    """The parts of a detector with FPN; a box is read from the map whose anchors are of its size."""
    pyramid = PyramidBackbone(Tapped(network, backbone.taps), backbone.channels, plan.fpn_channels)
    sizes = tuple((plan.anchor_size * 2**level,) for level in range(5))
    pooling = AlignedPooling(
        ("0", "1", "2", "3"),
        (4, 8, 16, 32),
        output_size=7,
        sampling_ratio=plan.sampling_ratio,
        canonical_scale=7 * plan.anchor_size,
    )
    return _Parts(
        backbone=pyramid,
        anchors=AnchorGenerator(sizes, (_RATIOS,) * 5),
        rpn_head=_Proposing(plan.fpn_channels, len(_RATIOS)),
        pooling=pooling,
        box_head=TwoMLPHead(plan.fpn_channels * 7 * 7, plan.head_width),
        predictor=_Predicting(plan.head_width, plan.classes + 1),
    )


def _single(network: nn.Module, backbone: DetectorBackbone, plan: DetectorConfig) -> _Parts:
    """The parts of a detector with C4."""
    require_residual(network, backbone.spec)
    stage = network.get_submodule("layer4")
    network.set_submodule("layer4", nn.Identity())
    depth, wide = backbone.channels[2], backbone.channels[3]
    sizes = (tuple(plan.anchor_size * 2**level for level in range(5)),)
    return _Parts(
        backbone=SingleBackbone(Tapped(network, ["layer3"]), depth),
        anchors=AnchorGenerator(sizes, (_RATIOS,)),
        rpn_head=_Proposing(depth, 5 * len(_RATIOS)),
        pooling=AlignedPooling(("0",), (16,), output_size=14, sampling_ratio=plan.sampling_ratio),
        box_head=_Stage(stage, wide, plan.norm),
        predictor=_Predicting(wide, plan.classes + 1),
    )


class _Stage(nn.Module):
    """A ResNet's fourth stage as head: ``[r, c, 14, 14]`` to ``[r, wide]``.

    With batch statistics of all processes it is normalised once more, as in MoCo's detectors.
    """

    def __init__(self, stage: nn.Module, wide: int, norm: Norm) -> None:
        super().__init__()
        self.stage = stage
        self.norm = with_statistics(nn.BatchNorm2d(wide), norm) if norm == "sync" else nn.Identity()

    def forward(self, pooled: Tensor) -> Tensor:
        result: Tensor = self.norm(self.stage(pooled)).mean([2, 3])
        return result


class _Proposing(RPNHead):
    """Of the proposals scores and offsets in float32, whatever the products are."""

    def forward(self, x: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        scores, offsets = super().forward(x)
        return [one.float() for one in scores], [one.float() for one in offsets]


class _Predicting(FastRCNNPredictor):
    """The same of the boxes."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        scores, offsets = super().forward(x)
        return scores.float(), offsets.float()


class _Normalisation(GeneralizedRCNNTransform):
    """Normalises and pads; whoever shows an image has resized it."""

    def __init__(self, mean: Sequence[float], std: Sequence[float], *, divisible: int) -> None:
        super().__init__(0, 0, list(mean), list(std), size_divisible=divisible)

    def resize(self, image: Tensor, target: Any = None) -> tuple[Tensor, Any]:
        return image, target


def seeded_detector(backbone: DetectorBackbone, plan: DetectorConfig, *, seed: int) -> Detector:
    """A detector whose new parts draw their first weights from ``seed``, whatever was drawn before."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed % 2**63)
        return Detector(backbone, plan)
