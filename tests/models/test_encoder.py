import pytest
import timm
import torch
from torch import nn
from torch.testing import assert_close

from transferkit.core.preprocessing import Preprocessing
from transferkit.models.catalog import load_encoder
from transferkit.models.encoder import encoder_of
from transferkit.models.fingerprint import weights_digest


def test_a_custom_module_becomes_an_encoder():
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten())
    module.train()
    encoder = encoder_of(module, name="mine")
    assert encoder.module is module
    assert not module.training
    assert (encoder.spec, encoder.architecture, encoder.pooling) == ("mine", "mine", "avg")
    assert encoder.weights == weights_digest(module)
    assert encoder.preprocessing == Preprocessing()


def test_given_fields_are_kept():
    view = Preprocessing(resize=32, crop=32)
    encoder = encoder_of(nn.Flatten(), name="mine", preprocessing=view, architecture="none", source="here")
    assert (encoder.preprocessing, encoder.architecture, encoder.source) == (view, "none", "here")


def test_a_transformer_s_own_pooling():
    module = nn.Linear(1, 1)
    module.class_token = nn.Parameter(torch.zeros(1))
    assert encoder_of(module, name="mine").pooling == "cls"


def test_another_size_is_another_view():
    encoder = encoder_of(nn.Flatten(), name="mine")
    assert encoder.at(112).preprocessing.crop == 112
    assert encoder.at(None) is encoder


VITS = [
    "vit_tiny_patch16_224?depth=2",
    "vit_small_patch14_dinov2?depth=2&img_size=56",
    "eva02_tiny_patch14_224?depth=2",
    "beit_base_patch16_224?depth=2&embed_dim=48&num_heads=3",
]


@pytest.mark.filterwarnings("ignore:Using a non-tuple sequence")  # within timm
@pytest.mark.parametrize("arch", VITS)
def test_a_transformer_of_one_size_is_given_another_as_by_timm(arch):
    before = load_encoder(f"random:{arch}")
    small = before.at(28)
    name, options = arch.split("?")[0], {"depth": 2}
    if "beit" in arch:
        options |= {"embed_dim": 48, "num_heads": 3}
    state = dict(before.module.state_dict())
    overlay = {"state_dict": state, "num_classes": getattr(before.module, "num_classes", 0)}
    reference = timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay, img_size=28, **options).eval()
    x = torch.randn(2, 3, 28, 28, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert_close(small.module(x), reference(x))
    assert small.architecture.startswith(f"timm:{name}?")
    assert "img_size=28" in small.architecture
    assert load_encoder(f"random:{small.architecture}").preprocessing.crop == 28
    assert small.preprocessing.crop == 28
    assert small.at(28) == small or small.at(28).module is small.module


def test_the_first_encoder_keeps_its_size():
    before = load_encoder("random:vit_tiny_patch16_224?depth=1")
    weights = before.weights
    after = before.at(32)
    assert before.module.pos_embed.shape[1] == 197
    assert (before.weights, before.at(224).module) == (weights, before.module)
    assert after.weights != weights


def test_networks_of_any_size_are_left_as_they_are():
    before = load_encoder("random:timm:test_resnet")
    assert before.at(64).module is before.module
    assert before.at(64).architecture == before.architecture
