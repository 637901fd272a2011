import pytest

from transferkit.core.errors import UnknownNameError
from transferkit.models.catalog import load_encoder
from transferkit.models.parameter_groups import parameter_stages, parameters_below


@pytest.mark.parametrize(
    ("model", "order"),
    [
        (
            "random:resnet18",
            ["conv1.weight", "layer1.1.bn2.bias", "layer2.0.downsample.0.weight", "layer4.1.conv2.weight"],
        ),
        (
            "random:timm:test_vit",
            ["patch_embed.proj.weight", "blocks.0.attn.qkv.weight", "blocks.5.mlp.fc2.weight"],
        ),
    ],
)
def test_stages_increase_with_depth(model, order):
    encoder = load_encoder(model).at(160 if "vit" in model else 64)
    stages = parameter_stages(encoder)
    assert set(stages) == {name for name, _ in encoder.module.named_parameters()}
    found = [stages[name] for name in order]
    assert found == sorted(found)
    assert found[0] == 0
    assert found[-1] > found[0]


def test_parameters_below_a_layer_are_those_of_earlier_modules():
    encoder = load_encoder("random:resnet18").at(64)
    below = parameters_below(encoder, "layer2")
    parts = {name.partition(".")[0] for name in below}
    assert parts == {"conv1", "bn1", "layer1", "layer2"}
    every = {name for name, _ in encoder.module.named_parameters()}
    assert {name for name in every if name.startswith("layer2")} <= below


def test_an_unknown_layer_is_refused():
    with pytest.raises(UnknownNameError, match="No layer named 'layer7'"):
        parameters_below(load_encoder("random:resnet18").at(64), "layer7")


def test_a_layer_without_parameters_has_those_of_earlier_modules_below_it():
    assert parameters_below(load_encoder("random:resnet18").at(64), "conv1") == {"conv1.weight"}
