"""``last``, ``stages`` and ``all`` of timm's families against timm.

The networks differ in how they end, in their tokens, or in how their stages and blocks are built;
``tests/benchmarks/families.py`` goes over all families.
"""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from tests.models.families import differences
from transferkit.models.backbone import backbone_of
from transferkit.models.catalog import load_encoder
from transferkit.models.layers import resolve_layers
from transferkit.models.pooled_outputs import pooled_outputs
from transferkit.models.tracing import trace


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_efficientnet", "test_byobnet", "test_coatnet"])
def test_a_family_is_as_timm_has_it(name):
    assert differences(name) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("cait_xxs24_224", None),  # a class token after the blocks
        ("coat_lite_tiny", None),  # blocks in lists that are not run as such
        ("convit_tiny", None),  # a class token between the blocks
        ("crossvit_tiny_240", None),  # two branches, two classifiers
        ("deit_tiny_distilled_patch16_224", None),  # two tokens, two classifiers
        ("dla46x_c", 64),  # blocks in trees
        ("dpn48b", 64),  # blocks of units of one type
        ("efficientvim_m1", 128),  # weighted classifiers of several stages
        ("efficientvit_b0", 64),
        ("efficientvit_m0", None),  # a normalisation in the classifier
        ("hgnetv2_b0", 64),  # blocks that hold lists
        ("hrnet_w18_small", 64),  # names of stages that are no modules
        ("inception_v3", 96),  # blocks that are attributes of the network
        ("levit_128s", None),
        ("mobilenetv5_base", 64),  # a stem that is no module, and a larger map after the stages
        ("mvitv2_tiny", None),
        ("nest_tiny", None),  # tokens in windows
        ("pit_ti_distilled_224", None),
        ("qwen3_vit_88m_enc", 96),  # never a classifier, and its output is tokens
        ("repvit_m1", 64),
        ("shvit_s1", 128),
        ("starnet_s050", 64),
        ("tnt_s_legacy_patch16_224", None),  # tokens within tokens
        ("twins_svt_small", None),
        ("xcit_nano_12_p8_224", None),
    ],
)
def test_larger_families_are_as_timm_has_them(name, size):
    assert differences(name, size) == []


@pytest.mark.slow
def test_volo_ends_in_features_although_an_auxiliary_classifier_is_added_to_its_logits():
    assert differences("volo_d1_224") == []


@pytest.mark.parametrize(
    ("name", "classifier"),
    [
        ("test_resnet", ("fc",)),
        ("test_byobnet", ("head.fc",)),
        ("levit_128s", ("head", "head_dist")),
        ("efficientvim_m1", tuple(f"heads.{i}" for i in range(4))),
        ("crossvit_tiny_240", ("head.0", "head.1")),
        ("efficientvit_m0", ("head",)),
    ],
)
def test_the_classifier_is_what_runs_after_the_representation(name, classifier):
    encoder = load_encoder(f"random:timm:{name}")
    assert trace(encoder).classifier == classifier
    features = {name for name in encoder.module.state_dict() if not name.startswith(classifier)}
    backbone = backbone_of(encoder)
    assert set(backbone.module.state_dict()) == features
    image = torch.randn(1, 3, encoder.preprocessing.crop, encoder.preprocessing.crop)
    with torch.inference_mode():
        output = backbone.module(image)
    with pooled_outputs(encoder, ["last"]) as outputs:
        assert_close(output, outputs(image)["last"])
    assert trace(encoder).classifier == ()


@pytest.mark.parametrize("fill", [0.0, 1.0])
def test_last_does_not_depend_on_the_values_of_the_weights(fill):
    encoder = load_encoder("random:timm:efficientvim_m1").at(128)
    before = [(layer.name, layer.dim) for layer in resolve_layers(encoder, ["last"], None)]
    for parameter in encoder.module.parameters():
        nn.init.constant_(parameter, fill)
    assert [(layer.name, layer.dim) for layer in resolve_layers(encoder, ["last"], None)] == before
    assert before == [("last", 960)]


@pytest.mark.parametrize("spec", ["random:timm:test_resnet", "random:timm:test_vit", "random:shufflenet_v2_x0_5"])
def test_last_has_one_name_and_the_same_values_with_and_without_a_classifier(spec):
    whole, headless = load_encoder(spec), load_encoder(spec)
    backbone_of(headless)
    side = whole.preprocessing.crop
    image = torch.randn(1, 3, side, side)
    found = []
    for encoder in (whole, headless):
        (layer,) = resolve_layers(encoder, ["last"], None)
        with pooled_outputs(encoder, [layer.name]) as outputs:
            found.append((layer.name, layer.dim, outputs(image)[layer.name]))
    assert found[0][:2] == found[1][:2]
    assert torch.equal(found[0][2], found[1][2])
