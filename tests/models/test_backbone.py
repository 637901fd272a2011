"""A network with its classifier off, and on again."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from transferkit.core.errors import ModelError
from transferkit.models.backbone import backbone_of
from transferkit.models.catalog import load_encoder
from transferkit.models.encoder import encoder_of


@pytest.mark.parametrize(
    ("spec", "dim", "classifier"),
    [
        ("random:resnet18", 512, ("fc",)),
        ("random:test_resnet", 96, ("fc",)),
        ("random:test_vit", 64, ("head",)),
        ("random:mobilenet_v3_small", 1024, ("classifier.3",)),
    ],
)
def test_the_classifier_is_off(spec, dim, classifier):
    encoder = load_encoder(spec)
    side = encoder.preprocessing.crop
    backbone = backbone_of(encoder)
    assert (backbone.dim, backbone.classifier) == (dim, classifier)
    assert backbone.module(torch.rand(2, 3, side, side)).shape == (2, dim)


def test_with_a_head_the_weights_are_those_of_the_whole_network():
    whole = load_encoder("random:test_resnet").module
    names = set(whole.state_dict())
    backbone = backbone_of(load_encoder("random:test_resnet"))
    head = nn.Linear(backbone.dim, 1000)
    assert set(backbone.weights(None)) == names - {"fc.weight", "fc.bias"}
    weights = backbone.weights(head)
    assert set(weights) == names
    whole.load_state_dict(weights)
    images = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        assert_close(whole.eval()(images), head(backbone.module.eval()(images)))


def test_a_network_that_ends_in_features_stays_as_it_is():
    module = nn.Sequential(nn.Conv2d(3, 5, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    backbone = backbone_of(encoder_of(module, name="own").at(16))
    assert (backbone.dim, backbone.classifier) == (5, ())


@pytest.mark.parametrize(
    ("module", "words"),
    [(nn.Conv2d(3, 5, 3), "does not end in one vector"), (nn.Flatten(), "no weights to train")],
)
def test_what_cannot_be_pretrained(module, words):
    with pytest.raises(ModelError, match=words):
        backbone_of(encoder_of(nn.Sequential(module), name="own").at(16))
