"""Settings that cannot be meant, and the presets."""

import pytest

from transferkit.core.errors import UnknownNameError, UsageError
from transferkit.protocols.pretraining.presets import PRESETS, preset_settings
from transferkit.protocols.pretraining.settings import Machinery, PretrainSettings


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"epochs": 0}, "--epochs 0 cannot be meant: give a number of 1 or more"),
        ({"batch": 1}, "--batch 1 cannot be meant: give a number of 2 or more"),
        ({"size": 7}, "--size 7 cannot be meant"),
        ({"test_crop": 0}, "--test-crop 0 cannot be meant"),
        ({"accumulate": 0}, "--accumulate 0 cannot be meant"),
        ({"warmup": -1}, "--warmup -1 cannot be meant"),
        ({"weight_decay": -1e-4}, "--weight-decay -0.0001 cannot be meant"),
        ({"weight_decay": float("nan")}, "--weight-decay nan"),
        ({"clip": -1.0}, "--clip -1.0 cannot be meant"),
        ({"watch": -1}, "--watch -1 cannot be meant"),
        ({"seed": -1}, "--seed -1 cannot be meant: give a number of 0 or more"),
        ({"min_crop": 0.0}, "--min-crop 0.0 cannot be meant: give a number of 0.01 or more"),
        ({"seed": 2**63}, "or less"),
        ({"sgd_momentum": 2.0}, "--sgd-momentum 2.0 cannot be meant: give a number of 1 or less"),
        ({"min_crop": 1.5}, "--min-crop 1.5 cannot be meant: give a number of 1 or less"),
        ({"blur": 3.0}, "--blur 3.0 cannot be meant"),
        ({"gray": -0.1}, "--gray -0.1 cannot be meant"),
        ({"lr": 0.0}, "--lr 0.0 is not above --min-lr"),
        ({"lr": float("inf")}, "--lr inf"),
        ({"warmup": 5, "epochs": 5}, "--warmup 5 leaves nothing of --epochs 5"),
        ({"test_crop": 70, "test_resize": 64}, "--test-crop 70 cannot be cut out of --test-resize 64"),
        ({"optimizer": "adam"}, "--optimizer 'adam' is unknown. Choose from: sgd, lars, adamw"),
        ({"augment": "gpu"}, "--augment 'gpu' is unknown"),
        ({"precision": "fp8"}, "--precision 'fp8' is unknown"),
    ],
)
def test_what_cannot_be_meant(changes, words):
    with pytest.raises(UsageError) as caught:
        PretrainSettings(**changes)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"device": "tpu"}, "--device 'tpu' is unknown"),
        ({"devices": 0}, "--devices 0 cannot be meant"),
        ({"nodes": 0}, "--nodes 0 cannot be meant"),
        ({"workers": -1}, "--workers -1 cannot be meant"),
        ({"checkpoint_minutes": float("nan")}, "--checkpoint-minutes nan cannot be meant"),
        ({"checkpoint_minutes": -1.0}, "--checkpoint-minutes -1.0 cannot be meant"),
    ],
)
def test_machines_that_cannot_be_meant(changes, words):
    with pytest.raises(UsageError) as caught:
        Machinery(**changes)
    assert words in str(caught.value)


def test_the_default_preset_is_the_default():
    assert preset_settings("mini", {}) == PretrainSettings()
    assert not PRESETS["mini"].needs_data


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("imagenet", {"model": "random:resnet50", "epochs": 400, "queue": 64_000, "size": 224}),
        ("miniimagenet", {"model": "random:resnet18", "epochs": 700, "queue": 16_384, "size": 84}),
    ],
)
def test_the_study_s_numbers(name, expected):
    settings = preset_settings(name, {"data": "folder:x"})
    shared = {"batch": 64, "lr": 0.02, "warmup": 5, "min_lr": 1e-8, "sgd_momentum": 0.9, "weight_decay": 1e-4}
    shared |= {"temperature": 0.07, "projection": 128, "momentum": 0.999, "min_crop": 0.2, "gray": 0.2}
    for field, value in (expected | shared | {"blur": 0.5}).items():
        assert getattr(settings, field) == value, field


def test_a_preset_that_needs_images_says_so():
    with pytest.raises(UsageError, match="preset imagenet needs your images: add --data"):
        preset_settings("imagenet", {})


def test_an_unknown_preset():
    with pytest.raises(UnknownNameError, match="Did you mean 'mini'"):
        preset_settings("mine", {})
