"""The order of layers by name, against the order in which networks run them."""

import random

import pytest

from transferkit.models.catalog import load_encoder
from transferkit.models.layers import resolve_layers
from transferkit.reports.layer_order import by_depth


@pytest.mark.parametrize(
    "spec",
    [
        "pixels",
        "imagenet-lite0",
        "random:resnet18",
        "random:test_resnet",
        "random:test_vit",
        "random:mobilenetv3_small_050",
        "random:convnext_atto",
        "random:vgg11",
    ],
)
def test_names_are_sorted_in_the_order_of_the_network(spec, tmp_path):
    encoder = load_encoder(spec, runs=tmp_path)
    names = [layer.name for layer in resolve_layers(encoder, ["all"], encoder.pooling)]
    shuffled = random.Random(0).sample(names, len(names))
    assert by_depth(shuffled) == names


def test_each_name_occurs_once():
    assert by_depth(["last", "layer2", "last"]) == ["layer2", "last"]
