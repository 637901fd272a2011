import pytest
import torch
from torch import nn
from torch.testing import assert_close

from tests.losses.examples import random
from transferkit.losses.heads import ProjectionHead, build_head

FEATURES = torch.randn(9, 6, generator=random(0))


def test_a_projection_is_two_layers_as_wide_as_the_features_then_unit_length():
    head = ProjectionHead(6, 4)
    first, _, second = head.layers
    assert (first.out_features, second.out_features) == (6, 4)
    hidden = (FEATURES @ first.weight.T + first.bias).clamp(min=0)
    projected = hidden @ second.weight.T + second.bias
    assert_close(head(FEATURES), projected / projected.norm(dim=1, keepdim=True))


def test_lengths_are_one_also_under_autocast():
    with torch.autocast("cpu", torch.bfloat16):
        projected = ProjectionHead(6, 4)(FEATURES)
    assert projected.dtype == torch.float32
    assert_close(projected.norm(dim=1), torch.ones(9))


@pytest.mark.parametrize(("kind", "width", "type_"), [("classifier", 3, nn.Linear), ("projection", 5, ProjectionHead)])
def test_each_kind_builds_its_head(kind, width, type_):
    head = build_head(kind, 6, projection_dim=5, n_classes=3)
    assert type(head) is type_
    assert head(FEATURES).shape == (9, width)
