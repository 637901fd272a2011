"""Computations in which published detectors differ from torchvision: pooling and box losses."""

import pytest
import torch
from torch.testing import assert_close
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.roi_heads import fastrcnn_loss
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead
from torchvision.ops import MultiScaleRoIAlign

from tests.reference import roi_align as reference
from transferkit.detection.detectron import AlignedPooling, ProposalNetwork, head_losses

BOXES = torch.tensor([[3.0, 5.0, 60.0, 41.0], [0.0, 0.0, 9.0, 7.0], [20.0, 2.0, 63.0, 62.0]])


def drawn(*shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


def test_pooling_agrees_with_a_loop_over_samples():
    plane = drawn(2, 3, 16, 16)
    pooled = AlignedPooling(["0"], [4], output_size=3, sampling_ratio=0)({"0": plane}, [BOXES, BOXES[:1]], None)
    assert pooled.shape == (4, 3, 3, 3)
    for number, (image, box) in enumerate([(0, BOXES[0]), (0, BOXES[1]), (0, BOXES[2]), (1, BOXES[0])]):
        for channel in range(3):
            expected = reference.roi_align(plane[image, channel].numpy(), box.tolist(), stride=4, bins=3)
            assert_close(pooled[number, channel].double().numpy(), expected, rtol=1e-5, atol=1e-6)


def test_a_fixed_number_of_samples_is_torchvisions_own_shifted_by_half_a_pixel():
    """The boxes are moved by half a pixel of the map; boxes at the border would be clipped, so they are left out."""
    maps, inside = {"0": drawn(1, 3, 16, 16)}, BOXES[:1]
    pooled = AlignedPooling(["0"], [4], output_size=3, sampling_ratio=2)(maps, [inside], None)
    theirs = MultiScaleRoIAlign(["0"], 3, 2)(maps, [inside - 2], [(64, 64)])
    assert_close(pooled, theirs)


def test_a_linear_map_is_sampled_at_the_centres_of_bins():
    """Pixel ``i`` of a map of stride 8 shows the image around ``8 (i + 1/2)``."""
    ramp = torch.arange(16.0).repeat(1, 1, 16, 1)
    box = torch.tensor([[24.0, 24.0, 72.0, 72.0]])
    pooled = AlignedPooling(["0"], [8], output_size=2, sampling_ratio=0)({"0": ramp}, [box], None)
    assert_close(pooled[0, 0, 0], torch.tensor([36.0, 60.0]) / 8 - 0.5)


def test_the_size_of_a_box_determines_its_map():
    """A side of 224 uses the map of stride 16, and half that side the next finer map, down to the finest one."""
    maps = {str(level): torch.full((1, 1, 512 // 2**level, 512 // 2**level), float(level)) for level in range(2, 6)}
    sides = (8, 56, 112, 223, 224, 448, 511)
    boxes = torch.tensor([[0.0, 0.0, side, side] for side in sides])
    pooled = AlignedPooling(list(maps), [4, 8, 16, 32], output_size=1, sampling_ratio=2)(maps, [boxes], None)
    assert pooled.flatten().tolist() == [2, 2, 3, 3, 4, 5, 5]


def test_without_boxes_nothing_is_pooled():
    pooled = AlignedPooling(["0"], [4], output_size=3, sampling_ratio=0)(
        {"0": drawn(1, 3, 8, 8)}, [torch.zeros(0, 4)], None
    )
    assert pooled.shape == (0, 3, 3, 3)


def test_the_box_loss_is_the_absolute_error_of_the_true_classes_offsets():
    """For errors above 1/9, torchvision's loss is smaller by 1/18 per coordinate."""
    logits, offsets = drawn(6, 3), 5 + drawn(6, 12)
    labels, wanted = torch.tensor([0, 2, 1, 0, 2, 0]), drawn(6, 4)
    score, box = head_losses(logits, offsets, labels, wanted)
    theirs = fastrcnn_loss(logits, offsets, [labels], [wanted])
    assert_close(score, theirs[0])
    assert_close(box, theirs[1] + 3 * 4 / 18 / 6)
    by_hand = sum((offsets[i, 4 * c : 4 * c + 4] - wanted[i]).abs().sum() for i, c in ((1, 2), (2, 1), (4, 2)))
    assert_close(box, by_hand / 6)
    near = head_losses(logits, wanted.repeat(1, 3) + 0.01, labels, wanted)[1]
    assert near.item() == pytest.approx(3 * 4 * 0.01 / 6, rel=1e-4), "no square near zero"


def test_the_proposal_loss_is_the_absolute_error():
    anchors, head = AnchorGenerator(((32,),), ((1.0,),)), RPNHead(4, 1)
    options = (0.7, 0.3, 8, 0.5, {"training": 9, "testing": 9}, {"training": 9, "testing": 9}, 0.7)
    score, labels = drawn(20, 1), [torch.tensor([1.0, 0.0, -1.0, 0.0, 1.0] * 4)]
    offsets, wanted = 5 + drawn(20, 4), [drawn(20, 4)]

    def losses(kind):
        with torch.random.fork_rng():
            torch.manual_seed(0)  # of the anchors that are sampled
            return kind(anchors, head, *options).compute_loss(score, offsets, labels, wanted)

    ours, theirs = losses(ProposalNetwork), losses(RegionProposalNetwork)
    assert_close(ours[0], theirs[0])
    assert_close(ours[1], theirs[1] + 4 * 4 / 18 / 8)  # four of the eight are positive
