import pytest
import torch
from torch import nn
from torch.testing import assert_close

from transferkit.core.preprocessing import Preprocessing
from transferkit.models.catalog import load_encoder
from transferkit.models.encoder import encoder_of
from transferkit.models.hooks import captured_outputs
from transferkit.models.partial_forward import partial_forward


@pytest.mark.parametrize(
    ("model", "layer", "size"),
    [
        ("random:resnet18", "layer2", 64),
        ("random:resnet18", "layer3.0", 64),
        ("random:test_resnet", "layer1", 32),
        ("random:timm:test_vit", "blocks.2", 160),
        ("random:timm:test_efficientnet", "blocks.1", 64),
    ],
)
def test_the_partial_forward_pass_gives_the_same_output(model, layer, size):
    encoder = load_encoder(model).at(size)
    way = partial_forward(encoder, layer)
    images = torch.rand(3, 3, size, size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad(), captured_outputs(encoder.module, [layer]) as outputs:
        given = outputs(images)[layer].flatten(1)
    with torch.no_grad():
        expected = encoder.module(images)
        with way.entered(encoder.module, given) as nothing:
            assert nothing.abs().sum() == 0
            assert_close(encoder.module(nothing), expected, rtol=1e-4, atol=1e-5)
        assert_close(encoder.module(images), expected)  # as it was


class Skipping(nn.Module):
    """Something from below the layer reaches past it."""

    def __init__(self):
        super().__init__()
        self.below = nn.Conv2d(3, 4, 3, padding=1)
        self.layer = nn.Conv2d(4, 4, 3, padding=1)
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        below = self.below(x)
        return self.head((self.layer(below) + below).mean((2, 3)))


def test_a_network_with_a_skip_connection_around_the_layer_has_no_partial_forward_pass():
    encoder = encoder_of(Skipping(), name="skipping", preprocessing=Preprocessing(16, 16))
    assert partial_forward(encoder, "layer") is None
