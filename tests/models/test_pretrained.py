import time

import pytest
import torch

from transferkit.core.errors import ModelError, UnknownNameError, UsageError
from transferkit.models.architectures import find_architecture
from transferkit.models.pretrained import timm_encoder, torchvision_encoder


@pytest.fixture
def _no_network(monkeypatch, tmp_path):
    """Use an empty cache and a missing proxy, which makes each download fail at once."""
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))


@pytest.mark.usefixtures("_no_network")
@pytest.mark.parametrize(
    ("load", "rest", "arch"),
    [
        (torchvision_encoder, "resnet18@IMAGENET1K_V1", "file:PATH#resnet18.IMAGENET1K_V1;"),
        (timm_encoder, "resnet18", "file:PATH#timm:resnet18;"),
        (timm_encoder, "resnet18.a1_in1k@pretrained", "file:PATH#timm:resnet18.a1_in1k;"),
        (timm_encoder, "hf-hub:timm/resnet18.a1_in1k", "file:PATH#ARCH;"),
    ],
)
def test_a_download_that_fails_says_so_quickly_and_in_one_line(load, rest, arch):
    started = time.monotonic()
    with pytest.raises(ModelError, match="could not be downloaded") as error:
        load(rest)
    assert time.monotonic() - started < 10
    assert "\n" not in str(error.value)
    assert rest.removesuffix("@pretrained") in str(error.value)
    assert arch in str(error.value)


@pytest.mark.usefixtures("_no_network")
def test_a_failure_leaves_the_settings_of_others_as_they_were():
    import socket

    from huggingface_hub import constants

    before = socket.getdefaulttimeout(), constants.HF_HUB_OFFLINE
    with pytest.raises(ModelError):
        timm_encoder("resnet18")
    assert (socket.getdefaulttimeout(), constants.HF_HUB_OFFLINE) == before


def test_torchvision_weights_in_its_cache_are_used(monkeypatch, tmp_path):
    from torchvision.models import MobileNet_V3_Small_Weights

    weights = MobileNet_V3_Small_Weights.IMAGENET1K_V1
    state = find_architecture("mobilenet_v3_small").build(seed=7).state_dict()
    (tmp_path / "hub/checkpoints").mkdir(parents=True)
    torch.save(state, tmp_path / "hub/checkpoints" / weights.url.rpartition("/")[2])
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    encoder = torchvision_encoder("mobilenet_v3_small@DEFAULT")
    assert encoder.spec == "torchvision:mobilenet_v3_small@IMAGENET1K_V1"
    assert encoder.architecture == "torchvision:mobilenet_v3_small"
    assert weights.url in encoder.source
    assert (encoder.preprocessing.resize, encoder.preprocessing.crop) == (256, 224)
    assert torch.equal(encoder.module.features[0][0].weight, state["features.0.0.weight"])


@pytest.mark.parametrize(
    ("load", "rest", "kind", "message"),
    [
        (
            torchvision_encoder,
            "resnet18",
            UsageError,
            "Write torchvision:resnet18@DEFAULT .* random:resnet18 for",
        ),
        (torchvision_encoder, "resnet18@IMAGENET1K_V3", UnknownNameError, "Did you mean 'IMAGENET1K_V1'"),
        (torchvision_encoder, "resnet19@DEFAULT", UnknownNameError, "Did you mean 'resnet"),
        (
            timm_encoder,
            "resnet18@none",
            UsageError,
            "write timm:resnet18 for weights, or random:timm:resnet18 for",
        ),
        (
            timm_encoder,
            "resnet18?num_classes=3",
            UsageError,
            "those of resnet18 as it is.*Leave num_classes=3 out",
        ),
        (torchvision_encoder, "resnet18?groups=2@DEFAULT", UsageError, "those of resnet18 as it is"),
        (torchvision_encoder, "resnet18@DEFAULT?groups=2", UsageError, "Leave groups=2 out"),
        (
            torchvision_encoder,
            "resnet18.IMAGENET1K_V1@DEFAULT",
            UsageError,
            "Write torchvision:resnet18@IMAGENET1K_V1.",
        ),
        (timm_encoder, "resnet18.a1_in1l", UnknownNameError, "Did you mean 'resnet18.a1_in1k'"),
        (
            timm_encoder,
            "resnest18d",
            UnknownNameError,
            "No timm model named 'resnest18d'. Did you mean 'resne",
        ),
        (timm_encoder, "vit_giant_patch14_224", UsageError, "Use random:timm:vit_giant_patch14_224"),
    ],
)
def test_invalid_specs_are_refused(load, rest, kind, message):
    with pytest.raises(kind, match=message) as error:
        load(rest)
    assert error.value.exit_code == 2
