import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from transferkit.core.errors import ModelError
from transferkit.core.preprocessing import Preprocessing
from transferkit.models.catalog import load_encoder
from transferkit.models.encoder import encoder_of
from transferkit.models.layers import resolve_layers
from transferkit.models.pooled_outputs import pooled_outputs


def noise(side: int, n: int = 3) -> Tensor:
    return torch.randn(n, 3, side, side, generator=torch.Generator().manual_seed(1))


def small(module: nn.Module):
    return encoder_of(module, name="mine", preprocessing=Preprocessing(resize=16, crop=16))


def pooled(encoder, layer: str, x: Tensor, pooling: str | None = None) -> Tensor:
    with pooled_outputs(encoder, [layer], pooling) as outputs:
        return outputs(x)[layer].clone()


@pytest.mark.parametrize(
    ("name", "side", "map_layer"),
    [
        ("resnet18", 64, "layer4"),
        ("tf_efficientnet_lite0", 64, "bn2"),
        ("convnext_atto", 64, None),
        ("swin_tiny_patch4_window7_224", 224, "norm"),
        ("mobilenetv3_small_100", 64, None),
        ("vit_tiny_patch16_224", 224, "norm"),
        ("levit_128s", 224, None),
    ],
)
def test_last_is_what_enters_timm_s_classifier(name, side, map_layer):
    encoder = load_encoder(f"random:timm:{name}")
    module, x = encoder.module, noise(side, 2)
    with torch.inference_mode():
        maps = module.forward_features(x)
        expected = module.forward_head(maps, pre_logits=True)
    assert_close(pooled(encoder, "last", x), expected.clone())
    if map_layer is not None:  # the encoder's own pooling of the last maps or tokens is the same thing
        assert_close(pooled(encoder, map_layer, x), expected.clone())


def test_distilled_deit_has_two_prefix_tokens():
    encoder = load_encoder("random:timm:deit_tiny_distilled_patch16_224")
    x = noise(224, 2)
    with torch.inference_mode():
        tokens = encoder.module.forward_features(x).clone()
    assert_close(pooled(encoder, "norm", x, "cls"), tokens[:, 0])
    assert_close(pooled(encoder, "norm", x, "mean-tokens"), tokens[:, 2:].mean(1))
    assert_close(pooled(encoder, "last", x), tokens[:, :2].mean(1))


@pytest.mark.slow
@pytest.mark.parametrize("pooling", ["avg", "max"])
def test_tokens_in_windows_are_pooled_as_the_map_that_they_form(pooling):
    encoder = load_encoder("random:timm:nest_tiny")
    x = noise(224, 2)
    for block, level in (
        ("levels.0.transformer_encoder.1", "levels.0"),
        ("levels.2.transformer_encoder.7", "levels.2"),
    ):
        assert_close(pooled(encoder, block, x, pooling), pooled(encoder, level, x, pooling))


def test_torchvision_resnet_at_last_is_its_own_pooling():
    encoder = load_encoder("random:resnet18")
    x = noise(64)
    headless = load_encoder("random:resnet18").module
    headless.fc = nn.Identity()
    with torch.inference_mode():
        expected = headless(x).clone()
    assert_close(pooled(encoder, "avgpool", x), expected)
    assert_close(pooled(encoder, "layer4", x, "avg"), expected)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "head"), [("vit_b_32", "heads.head"), ("swin_t", "head"), ("densenet121", "classifier")]
)
def test_torchvision_s_other_forms(name, head):
    encoder = load_encoder(f"random:{name}")
    x = noise(224, 2)
    entered: list[Tensor] = []
    handle = encoder.module.get_submodule(head).register_forward_pre_hook(lambda _, args: entered.append(args[0]))
    with torch.inference_mode():
        encoder.module(x)
    handle.remove()
    (last,) = resolve_layers(encoder, ["last"], encoder.pooling)
    assert_close(pooled(encoder, last.name, x), entered[0].clone())
    if name == "vit_b_32":
        assert_close(pooled(encoder, "encoder.ln", x, "cls"), entered[0].clone())
    if name == "swin_t":
        assert_close(pooled(encoder, "norm", x, "avg"), entered[0].clone())  # channels last


def test_several_layers_are_returned_in_the_requested_order():
    encoder = load_encoder("random:resnet18")
    with pooled_outputs(encoder, ["layer3", "conv1", "layer3"]) as outputs:
        for _ in range(2):
            found = outputs(noise(64))
            assert list(found) == ["layer3", "conv1"]
            assert found["layer3"].shape == (3, 256)


def test_the_pass_stops_after_the_last_requested_layer():
    encoder = load_encoder("random:resnet18")
    ran: list[str] = []
    encoder.module.layer2.register_forward_hook(lambda *_: ran.append("layer2"))
    encoder.module.layer3.register_forward_hook(lambda *_: ran.append("layer3"))
    with pooled_outputs(encoder, ["layer2", "layer1"]) as outputs:
        first = outputs(noise(64))
        assert ran.pop() == "layer3"  # the first pass finds out which comes last
        ran.clear()
        second = outputs(noise(64))
        assert "layer3" not in ran
    assert_close(first, second, rtol=0, atol=0)


def test_rows_do_not_depend_on_their_batch():
    encoder = load_encoder("random:resnet18")
    x = noise(64, 5)
    with pooled_outputs(encoder, ["layer2"]) as outputs:
        together = outputs(x)["layer2"]
        alone = torch.cat([outputs(row[None])["layer2"] for row in x])
    assert_close(together, alone)


def test_a_later_module_in_place_does_not_change_what_was_seen():
    conv = nn.Conv2d(3, 4, 1)
    encoder = small(nn.Sequential(conv, nn.ReLU(inplace=True)))
    x = noise(16)
    with torch.no_grad():
        conv.bias.sub_(3)  # so that the ReLU changes values
        expected = conv(x).mean((2, 3))
    assert_close(pooled(encoder, "0", x), expected)
    assert expected.min() < 0


def test_a_vector_is_not_changed_in_place_either():
    linear = nn.Linear(3 * 256, 5)
    encoder = small(nn.Sequential(nn.Flatten(), linear, nn.ReLU(inplace=True), nn.Linear(5, 2)))
    with torch.no_grad():
        expected = linear(noise(16).flatten(1))
    assert_close(pooled(encoder, "1", noise(16)), expected)


def test_batch_statistics_do_not_move_even_if_someone_switches_to_training():
    encoder = load_encoder("random:timm:resnet18")
    before = {name: value.clone() for name, value in encoder.module.state_dict().items()}
    with pooled_outputs(encoder, ["layer1"]) as outputs:
        encoder.module.train()
        outputs(noise(64))
    after = encoder.module.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_half_precision_is_pooled_in_single():
    encoder = load_encoder("random:resnet18")
    with torch.autocast("cpu", torch.bfloat16):
        assert pooled(encoder, "layer2", noise(64)).dtype == torch.float32


def test_no_graph_is_kept():
    assert not pooled(load_encoder("random:resnet18"), "layer1", noise(64)).requires_grad


def test_a_layer_that_runs_twice_is_refused():
    relu = nn.ReLU()
    encoder = small(nn.Sequential(nn.Conv2d(3, 4, 1), relu, nn.Conv2d(4, 4, 1), relu))
    with pytest.raises(ModelError, match="Layer '1' runs more than once"), pooled_outputs(encoder, ["1"]) as outputs:
        outputs(noise(16))


def test_a_layer_without_a_row_per_image_is_refused():
    encoder = small(nn.Sequential(nn.Flatten(0), nn.Unflatten(0, (3, -1))))
    with (
        pytest.raises(ModelError, match="Layer '0' returns no map, tokens or vector"),
        pooled_outputs(encoder, ["0"]) as outputs,
    ):
        outputs(noise(16))


def test_a_pooling_that_cannot_be_applied_is_refused():
    encoder = load_encoder("random:resnet18")
    with (
        pytest.raises(ModelError, match="Pooling 'cls' does not fit"),
        pooled_outputs(encoder, ["layer1"], "cls") as outputs,
    ):
        outputs(noise(64))
