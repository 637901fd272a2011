"""Invalid settings, views by objective, and the presets."""

import pytest

from transferkit.core.errors import UnknownNameError, UsageError
from transferkit.data.augment import AugmentSettings
from transferkit.protocols.pretraining.presets import PRESETS, preset_settings
from transferkit.protocols.pretraining.settings import PretrainSettings


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"lr": 0.0}, "--lr 0.0 is not above --min-lr"),
        ({"warmup_epochs": 5, "epochs": 5}, "--warmup-epochs 5 is not less than --epochs 5"),
        ({"test_crop": 70, "test_resize": 64}, "--test-crop 70 is larger than --test-resize 64"),
    ],
)
def test_what_cannot_be_meant(changes, words):
    with pytest.raises(UsageError) as caught:
        PretrainSettings(**changes)
    assert words in str(caught.value)


def test_the_default_preset_is_the_default():
    assert preset_settings("mini", {}) == PretrainSettings()
    assert not PRESETS["mini"].needs_data


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "imagenet",
            {
                "model": "random:resnet50",
                "epochs": 400,
                "queue_size": 64_000,
                "batch": 64,
                "lr": 0.02,
                "bn_splits": 24,
            },
        ),
        (
            "miniimagenet",
            {"model": "random:resnet18", "epochs": 300, "queue_size": 16_384, "batch": 32, "lr": 0.01, "bn_splits": 4}
            | {"loss": "ce + 2*selfsupcon"},
        ),
    ],
)
def test_the_presets_have_the_numbers_of_the_study(name, expected):
    settings = preset_settings(name, {"data": "folder:x"})
    shared = {"size": 224, "test_resize": 257, "test_crop": 224, "test_fit": "squash"}
    shared |= {"test_interpolation": "bilinear", "optimizer": "sgd", "warmup_epochs": 5, "min_lr": 1e-8}
    shared |= {"momentum": 0.9, "weight_decay": 1e-4}
    shared |= {"temperature": 0.07, "projection_dim": 128, "ema_momentum": 0.999}
    for field, value in (expected | shared).items():
        assert getattr(settings, field) == value, field


@pytest.mark.parametrize("name", ["imagenet", "miniimagenet"])
@pytest.mark.parametrize("loss", ["selfsupcon", "supcon", "joint", "joint-supcon"])
def test_contrastive_and_joint_objectives_have_the_strong_views_of_the_study(name, loss):
    settings = preset_settings(name, {"data": "folder:x", "loss": loss})
    assert settings.augmentation == AugmentSettings(
        size=224,
        scale=(0.2, 1.0),
        jitter=(0.4, 0.4, 0.4, 0.1),
        jitter_prob=0.8,
        gray_prob=0.2,
        blur_sigma=(0.1, 2.0),
        blur_prob=0.5,
        flip_prob=0.5,
    )


@pytest.mark.parametrize("name", ["imagenet", "miniimagenet", "mini"])
def test_cross_entropy_alone_has_crops_and_flips_only(name):
    settings = preset_settings(name, {"data": "folder:x", "loss": "ce"})
    views = settings.augmentation
    assert (views.flip_prob, views.jitter_prob, views.gray_prob, views.blur_prob) == (0.5, 0, 0, 0)
    assert views.scale == (0.5 if name == "mini" else 0.2, 1.0)


def test_cross_entropy_can_be_trained_on_strong_views():
    options = {"jitter_prob": 0.8, "gray_prob": 0.2, "blur_prob": 0.5}
    strong = preset_settings("imagenet", {"data": "folder:x", "loss": "ce", **options})
    joint = preset_settings("imagenet", {"data": "folder:x", "loss": "joint"})
    assert strong.augmentation == joint.augmentation


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"loss": "ce", "jitter": (0.8, 0.8, 0.8, 0.2)},
            "--jitter 0.8,0.8,0.8,0.2 has no effect: views of the loss ce are jittered with probability 0. "
            "Add --jitter-prob 0.8",
        ),
        (
            {"jitter_prob": 0.5, "jitter": (0, 0, 0, 0)},
            "--jitter-prob 0.5 has no effect with --jitter 0,0,0,0",
        ),
        ({"jitter": (0.4, 0.4)}, "--jitter 0.4,0.4 is invalid: give 4 values"),
        (
            {
                "loss": "selfsupcon",
                "crop_min_area": 1.0,
                "flip_prob": 0.0,
                "jitter_prob": 0.0,
                "gray_prob": 0.0,
            },
            "The loss selfsupcon compares two views of each image, but with these options both are always",
        ),
    ],
)
def test_views_that_contradict_the_options_or_the_loss_are_refused(changes, words):
    with pytest.raises(UsageError) as caught:
        _ = PretrainSettings(**changes).augmentation
    assert words in str(caught.value)


def test_cross_entropy_may_see_unchanged_images():
    plain = {"crop_min_area": 1.0, "flip_prob": 0.0}
    assert PretrainSettings(loss="ce", **plain).augmentation.never_changes


def test_a_preset_that_needs_images_says_so():
    with pytest.raises(UsageError, match="preset imagenet needs your images: add --data"):
        preset_settings("imagenet", {})


def test_an_unknown_preset():
    with pytest.raises(UnknownNameError, match="Did you mean 'mini'"):
        preset_settings("mine", {})
