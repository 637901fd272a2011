import math
import random
import subprocess
import sys

import numpy as np
import pytest
import timm
import torch

from transferkit.core.errors import UnknownNameError, UsageError
from transferkit.models.architectures import Architecture, find_architecture, random_encoder


@pytest.mark.parametrize(
    ("text", "found", "short"),
    [
        ("resnet50", Architecture("torchvision", "resnet50"), "resnet50"),
        ("torchvision:resnet50", Architecture("torchvision", "resnet50"), "resnet50"),
        ("timm:resnet50", Architecture("timm", "resnet50"), "timm:resnet50"),
        ("vit_tiny_patch16_224", Architecture("timm", "vit_tiny_patch16_224"), "vit_tiny_patch16_224"),
        ("timm:resnet50.a1_in1k", Architecture("timm", "resnet50", "a1_in1k"), "resnet50.a1_in1k"),
        ("resnet50.a1_in1k", Architecture("timm", "resnet50", "a1_in1k"), "resnet50.a1_in1k"),
        (
            "resnet50.IMAGENET1K_V1",
            Architecture("torchvision", "resnet50", "IMAGENET1K_V1"),
            "resnet50.IMAGENET1K_V1",
        ),
        (
            "vit_small_patch16_224.dino?num_heads=12",
            Architecture("timm", "vit_small_patch16_224", "dino", {"num_heads": 12}),
            "vit_small_patch16_224.dino?num_heads=12",
        ),
        ("imagenet-lite1", Architecture("timm", "tf_efficientnet_lite1"), "tf_efficientnet_lite1"),
    ],
)
def test_names(text, found, short):
    architecture = find_architecture(text)
    assert architecture == found
    assert architecture.short == short
    assert find_architecture(str(architecture)) == architecture


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("resnet51", r"No architecture named 'resnet51'\. Did you mean 'resnet"),
        ("timm:vit_tiny_patch16_225", r"Did you mean 'vit_tiny_patch16_224'\?"),
        ("torchvision:vit_tiny_patch16_224", "No architecture named 'vit_tiny_patch16_224'"),
        ("jax:resnet50", "No architecture named 'jax:resnet50'"),
        ("fasterrcnn_resnet50_fpn", "No architecture named"),
        ("", r"No architecture named ''\. Choose from: "),
    ],
)
def test_unknown_names(text, message):
    with pytest.raises(UnknownNameError, match=message) as error:
        find_architecture(text)
    assert error.value.exit_code == 2
    assert len(str(error.value)) < 250


def test_the_same_weights_on_any_call_and_other_weights_for_another_seed():
    a, b, c = random_encoder("resnet18"), random_encoder("torchvision:resnet18"), random_encoder("resnet18@1")
    assert a.weights == b.weights != c.weights
    assert (a.spec, b.spec, c.spec) == ("random:resnet18", "random:resnet18", "random:resnet18@1")
    assert random_encoder("resnet18@0").spec == "random:resnet18"
    assert (a.architecture, a.source) == ("torchvision:resnet18", "untrained, seed 0")


@pytest.mark.parametrize("text", ["resnet18", "tf_efficientnet_lite0", "vit_tiny_patch16_224"])
def test_no_global_random_state_is_touched(text):
    torch.manual_seed(5)
    before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    first = random_encoder(text).weights
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1].tolist(), random.getstate()) == before[1:]
    torch.manual_seed(6)
    assert random_encoder(text).weights == first


def test_the_view_is_that_of_the_pretrained_network():
    view = random_encoder("efficientnet_b1").preprocessing
    assert (view.resize, view.crop, view.interpolation, view.fit) == (255, 240, "bilinear", "shorter")
    view = random_encoder("imagenet-lite2").preprocessing
    assert (view.resize, view.crop, view.interpolation) == (292, 260, "bicubic")
    assert (view.mean, view.std) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_networks_that_ask_how_to_start_and_normalise_for_published_weights(name):
    encoder = random_encoder(name)
    assert encoder.preprocessing.crop == (224 if name == "googlenet" else 299)
    assert encoder.module.transform_input  # as torchvision sets it with weights


def test_every_published_configuration_of_timm_is_found_by_its_tag():
    differ = 0
    for full in timm.list_pretrained():
        architecture = find_architecture(f"timm:{full}")
        assert architecture.tagged == full
        config = timm.models.get_pretrained_cfg(full)
        side = config.input_size[-1]
        if config.input_size != (3, side, side):
            continue  # refused by name; see the tests of preprocessing
        view = architecture.preprocessing()
        assert (view.crop, view.mean, view.std) == (side, tuple(config.mean), tuple(config.std))
        assert view.interpolation == config.interpolation
        assert view.resize == math.floor(side / config.crop_pct)
        default = find_architecture(f"timm:{architecture.name}")
        differ += timm.models.get_pretrained_cfg(default.name).mean != config.mean
    assert differ >= 50


def test_published_configurations_of_torchvision_are_found_by_their_tags():
    assert find_architecture("resnet50.IMAGENET1K_V1").preprocessing().resize == 256
    assert find_architecture("resnet50.IMAGENET1K_V2").preprocessing().resize == 232
    assert find_architecture("resnet50").preprocessing().resize == 232


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "resnet50.a9_in1k",
            r"no weights with the tag 'a9_in1k'\. Did you mean 'resnet50\..*It has: ",
        ),
        ("vit_small_patch16_224.dinoo", "Did you mean 'vit_small_patch16_224.dino'"),
        ("timm:resnet50.IMAGENET1K_V1", "has no weights with the tag 'IMAGENET1K_V1'"),
        ("vit_giant_patch14_224.x", "It has: untrained."),
    ],
)
def test_an_unknown_tag_is_refused(text, message):
    with pytest.raises(UnknownNameError, match=message):
        find_architecture(text)


@pytest.mark.parametrize("option", ["pretrained=true", "checkpoint_path=x.pt", "features_only=true"])
def test_options_that_are_not_of_the_network_are_refused(option):
    name = option.partition("=")[0]
    with pytest.raises(UsageError, match=f"{name} is no option of a network.*Name weights as file:PATH#ARCH"):
        find_architecture(f"resnet10t?{option}")


VIT = "vit_tiny_patch16_224?depth=2&img_size=32"


def test_options_reach_the_constructor_and_stay_in_the_name():
    three, six = (random_encoder(f"{VIT}&num_heads={heads}") for heads in (3, 6))
    assert three.weights == six.weights
    assert six.architecture == "timm:vit_tiny_patch16_224?depth=2&img_size=32&num_heads=6"
    assert six.spec == "random:vit_tiny_patch16_224?depth=2&img_size=32&num_heads=6"
    assert six.preprocessing.crop == 32
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    own = timm.create_model("vit_tiny_patch16_224", depth=2, img_size=32, num_heads=6).eval()
    own.load_state_dict(six.module.state_dict())
    assert torch.equal(own(x), six.module(x))
    assert not torch.allclose(three.module(x), six.module(x))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("num_headz=3", r"unexpected keyword argument 'num_headz'\. Options of the network: num_heads\.$"),
        ("num_heads=5", r"cannot be built: dim should be divisible by num_heads\.$"),
        ("qwerty=5", r"Options of the network: img_size, patch_size, "),
        ("num_heads=0", r"num_heads=0 cannot be built: integer .*zero\.$"),
        ("patch_size=0", r"patch_size=0 cannot be built: integer .*zero\.$"),
        ("norm_layer=foo", r"norm_layer=foo cannot be built: 'foo' is unknown\.$"),
        ("embed_layer=foo", r"embed_layer=foo cannot be built: 'str' object is not callable\.$"),
    ],
)
def test_options_that_the_constructor_refuses(options, message):
    with pytest.raises(UsageError, match=message):
        random_encoder(f"vit_tiny_patch16_224?{options}")


@pytest.mark.parametrize("seed", ["x", "-1", "1.5"])
def test_a_seed_that_is_no_number(seed):
    with pytest.raises(UsageError, match=f"has no seed '{seed}': write a number, such as random:resnet18@1"):
        random_encoder(f"resnet18@{seed}")


def test_each_library_is_loaded_only_when_asked():
    code = """
import sys
from transferkit.models.catalog import known_models, load_encoder

def loaded():
    return {"timm", "torchvision"} & set(sys.modules)

known_models(), load_encoder("pixels")
assert not loaded()
load_encoder("random:squeezenet1_1")
assert loaded() == {"torchvision"}
load_encoder("random:timm:mobilenetv3_small_050")
assert loaded() == {"timm", "torchvision"}  # timm itself uses torchvision
"""
    subprocess.run([sys.executable, "-c", code], check=True)
