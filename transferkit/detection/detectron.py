"""Parts of torchvision's Faster R-CNN, changed to compute what Detectron2's defaults compute [1].

Published detection results of contrastive encoders come from Detectron2. torchvision differs in three places:
its box losses are quadratic near zero, its RoIAlign is shifted by half a pixel of the map, and its detectors
take two samples per bin and axis for boxes of any size.

[1] https://github.com/facebookresearch/detectron2, ``config/defaults.py``: ``ROIAlignV2``, sampling ratio 0,
    ``SMOOTH_L1_BETA`` 0 in both stages.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import RegionProposalNetwork
from torchvision.ops import roi_align
from torchvision.ops.poolers import LevelMapper


class AlignedPooling(nn.Module):
    """RoIAlign with pixel centres at half-integers.

    Args:
        maps: names of the maps; with several maps, the size of a box determines its map [1].
        strides: image pixels per map pixel, in the same order.
        output_size: bins per side.
        sampling_ratio: samples per bin and axis; 0 uses as many as the bin has map pixels.
        canonical_scale: side of a box that is pooled from the map of stride 16.

    [1] Lin et al., Feature pyramid networks for object detection, CVPR 2017, equation 1.
    """

    def __init__(
        self,
        maps: Sequence[str],
        strides: Sequence[int],
        *,
        output_size: int,
        sampling_ratio: int,
        canonical_scale: int = 224,
    ) -> None:
        super().__init__()
        self.maps, self.strides, self.output_size = tuple(maps), tuple(strides), output_size
        self.sampling_ratio = sampling_ratio
        first, last = strides[0].bit_length() - 1, strides[-1].bit_length() - 1
        self.level = LevelMapper(first, last, canonical_scale=canonical_scale)

    def forward(self, x: dict[str, Tensor], boxes: list[Tensor], image_shapes: Any) -> Tensor:
        """Pool maps ``[b, c, h, w]`` in boxes ``[r, 4]`` per image to ``[n, c, side, side]`` for all boxes."""
        images = [torch.full_like(one[:, :1], index) for index, one in enumerate(boxes)]
        rois = torch.cat([torch.cat(images), torch.cat(boxes)], 1)  # image index and box [n, 5]
        levels = self.level(boxes)
        shape = (len(rois), x[self.maps[0]].shape[1], self.output_size, self.output_size)
        pooled = x[self.maps[0]].new_zeros(shape)
        for level, (name, stride) in enumerate(zip(self.maps, self.strides, strict=True)):
            rows = torch.where(levels == level)[0]
            pooled[rows] = roi_align(
                x[name], rois[rows], self.output_size, 1 / stride, self.sampling_ratio or -1, aligned=True
            ).to(pooled.dtype)
        return pooled


class ProposalNetwork(RegionProposalNetwork):
    """The first stage, with the absolute error of offsets as its box loss."""

    def compute_loss(
        self,
        objectness: Tensor,
        pred_bbox_deltas: Tensor,
        labels: list[Tensor],
        regression_targets: list[Tensor],
    ) -> tuple[Tensor, Tensor]:
        """Compute the losses per sampled anchor from scores ``[a]`` and offsets ``[a, 4]`` of all anchors."""
        positive, negative = (torch.cat(mask).bool() for mask in self.fg_bg_sampler(labels))  # [a] each
        sampled = positive | negative
        wanted, truth = torch.cat(regression_targets), torch.cat(labels)
        box_loss = functional.l1_loss(pred_bbox_deltas[positive], wanted[positive], reduction="sum")
        score_loss = functional.binary_cross_entropy_with_logits(objectness.flatten()[sampled], truth[sampled])
        return score_loss, box_loss / sampled.sum()


class BoxHeads(RoIHeads):
    """The second stage, with the absolute error of offsets as its box loss."""

    def forward(
        self,
        features: dict[str, Tensor],
        proposals: list[Tensor],
        image_shapes: list[tuple[int, int]],
        targets: list[dict[str, Tensor]] | None = None,
    ) -> tuple[list[dict[str, Tensor]], dict[str, Tensor]]:
        """Map feature maps and proposals to losses in training, otherwise to boxes as torchvision does."""
        if not self.training:
            found: tuple[list[dict[str, Tensor]], dict[str, Tensor]] = super().forward(
                features, proposals, image_shapes, targets
            )
            return found
        sampled, _, labels, box_targets = self.select_training_samples(proposals, targets)
        logits, offsets = self.box_predictor(self.box_head(self.box_roi_pool(features, sampled, image_shapes)))
        losses = head_losses(logits, offsets, torch.cat(labels), torch.cat(box_targets))
        return [], dict(zip(("loss_classifier", "loss_box_reg"), losses, strict=True))


def head_losses(logits: Tensor, offsets: Tensor, labels: Tensor, box_targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean cross-entropy, and the absolute error of offsets per sampled box.

    Args:
        logits: ``[r, c]``; class 0 is the background.
        offsets: ``[r, 4 c]``, four per class.
        labels: ``[r]`` labels.
        box_targets: ``[r, 4]`` target offsets; those of background boxes are ignored.
    """
    positive = torch.where(labels > 0)[0]
    predicted = offsets.unflatten(1, (-1, 4))[positive, labels[positive]]  # offsets of the true class [p, 4]
    box_loss = functional.l1_loss(predicted, box_targets[positive], reduction="sum") / labels.numel()
    return functional.cross_entropy(logits, labels), box_loss
