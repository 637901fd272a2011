"""Specs of models and their preprocessing options."""

import json
from collections import defaultdict
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import timm
import torch
from PIL import Image
from timm.data import create_transform, resolve_data_config
from timm.models import get_pretrained_cfg
from torchvision import models

from transferkit.core.errors import ModelError, UnknownNameError
from transferkit.core.preprocessing import Preprocessing
from transferkit.data.arrays import from_arrays
from transferkit.data.loading import load_batches
from transferkit.data.resize_and_crop import frame, normalised
from transferkit.models.architectures import (
    find_architecture,
    preprocessing_of_config,
    random_encoder,
    torchvision_preprocessing,
)
from transferkit.models.catalog import default_model, known_models, load_encoder
from transferkit.models.encoder import ENCODERS, preprocessing_text


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("imagenet-lite9", r"No model named 'imagenet-lite9'\. Did you mean 'imagenet-lite"),
        ("torchvison:resnet18@DEFAULT", r"No model named 'torchvison'\. Did you mean 'torchvision'"),
        ("resnet50", "Did you mean 'torchvision:resnet50@DEFAULT', or 'random:resnet50'"),
        (
            "vit_tiny_patch16_224",
            "Did you mean 'timm:vit_tiny_patch16_224', or 'random:vit_tiny_patch16_224'",
        ),
        ("", r"No model named ''\. Choose from: .*imagenet-lite0.*pixels"),
    ],
)
def test_an_unknown_model_is_answered_with_the_nearest(spec, message):
    with pytest.raises(UnknownNameError, match=message) as error:
        load_encoder(spec)
    assert error.value.exit_code == 2


def test_every_form_is_listed_and_every_listed_form_exists():
    schemes = {spec.partition(":")[0] for spec, _ in known_models()}
    assert schemes - set(ENCODERS) == {"latest", "run"}  # which need a workspace
    assert set(ENCODERS) - schemes == {"imagenet-lite1", "imagenet-lite2"}
    assert all(meaning for _, meaning in known_models())


def test_the_default_needs_no_download():
    assert load_encoder(default_model(Path("runs"))).spec == "imagenet-lite0"


GREY_LEVELS = 2
NOT_SQUARE = {f"vit_{size}_patch16_sapiens2" for size in ("base", "large", "huge", "giant", "5b")}


@cache
def photos():
    """A square, a wide, a tall and a very wide photograph.

    Those that are not square have no black beside white: there, bicubic resizing depends on whether rows or
    columns come first, as what lies between is clipped to 8 bits, and releases of Pillow differ in that.
    """
    return [
        skimage.data.astronaut()[::2, ::2].copy(),
        skimage.data.coffee(),
        np.rot90(skimage.data.chelsea()).copy(),
        skimage.data.chelsea()[200:240].copy(),
    ]


@cache
def timm_configs():
    """Distinct configurations of images that timm publishes → the names that have them."""
    found = defaultdict(list)
    for name in timm.list_pretrained():
        config = resolve_data_config(pretrained_cfg=get_pretrained_cfg(name).to_dict())
        found[json.dumps(config, sort_keys=True)].append(name)
    return [(json.loads(text), names) for text, names in found.items()]


def is_square(config):
    return config["input_size"][1] == config["input_size"][2]


def largest_difference(view, transform):
    """Return the largest difference, in grey levels, between a network's inputs here and by ``transform``."""
    std = torch.tensor(view.std).view(3, 1, 1)
    differences = []
    for photo in photos():
        ours = normalised(torch.from_numpy(frame(photo, view))[None], view)[0]
        difference = (ours - transform(Image.fromarray(photo))).abs() * std * 255
        differences.append(round(float(difference.max()), 3))  # less the rounding of float32
    return max(differences)


def test_every_configuration_of_timm_is_known():
    """All configurations are compared below, except those of five networks whose input is not square."""
    configs = timm_configs()
    assert sum(len(names) for _, names in configs) == len(timm.list_pretrained()) >= 1826
    others = {name.split(".")[0] for config, names in configs if not is_square(config) for name in names}
    assert others == NOT_SQUARE
    assert {config["crop_mode"] for config, _ in configs} == {"center", "squash", "border"}
    assert max(config["crop_pct"] for config, _ in configs) == 1.15


@pytest.mark.slow
@pytest.mark.parametrize("part", range(10))
def test_every_configuration_of_timm_is_preprocessed_as_by_timm(part):
    for config, names in timm_configs()[part::10]:
        if is_square(config):
            view = preprocessing_of_config(config, names[0])
            assert largest_difference(view, create_transform(**config)) <= GREY_LEVELS, names


@pytest.mark.parametrize("name", ["deepseek_vit_412m.deepseek_v4_flash_vision_exp", "volo_d4_448.sail_in1k"])
def test_borders_and_crops_above_one_are_padded_as_by_timm(name):
    config = resolve_data_config(pretrained_cfg=get_pretrained_cfg(name).to_dict())
    config["input_size"] = (3, 96, 96)  # as with --size 96
    view = preprocessing_of_config(config, name)
    assert largest_difference(view, create_transform(**config)) <= GREY_LEVELS
    split = from_arrays(photos()[1][None], [0], name="photos", split="test")
    (batch,) = load_batches(split, view, [np.array([0])], workers=0)
    assert (batch.images[0].numpy() == frame(photos()[1], view)).all()
    assert tuple(batch.images[0, :, 0, 0].tolist()) == view.padding


def test_torchvision_s_weights_are_preprocessed_as_by_torchvision():
    presets = {
        repr(weights.transforms()): weights
        for name in models.list_models(module=models)
        for weights in models.get_model_weights(name)
    }
    assert len(presets) >= 28
    for text, weights in presets.items():
        assert largest_difference(torchvision_preprocessing(weights), weights.transforms()) <= GREY_LEVELS, text


CONFIG = {
    "input_size": (3, 96, 96),
    "interpolation": "bicubic",
    "mean": (0.5, 0.5, 0.5),
    "std": (0.5, 0.5, 0.5),
    "crop_pct": 0.9,
    "crop_mode": "center",
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"crop_mode": "letterbox"}, "has the crop_mode 'letterbox': only center, squash, border can"),
        ({"interpolation": "lanczos"}, "has the interpolation 'lanczos': only bilinear and bicubic can"),
        ({"input_size": (3, 1024, 768)}, "takes images of 3 channels and 1024×768 pixels. Only square"),
        ({"input_size": (1, 96, 96)}, "takes images of 1 channels and 96×96 pixels. Only square"),
    ],
)
def test_what_no_view_expresses_is_refused_by_name(change, message):
    preprocessing_of_config(CONFIG, "a_network")
    with pytest.raises(ModelError, match=f"^a_network {message}"):
        preprocessing_of_config({**CONFIG, **change}, "a_network")


def test_a_network_with_a_crop_above_one_can_be_loaded_at_any_size():
    view = find_architecture("timm:volo_d5_512").preprocessing()
    assert (view.resize, view.crop) == (445, 512)
    assert (view.at(256).resize, view.at(256).crop) == (222, 256)


@pytest.mark.slow
def test_a_network_that_is_not_given_squares_is_refused():
    with pytest.raises(ModelError, match="vit_base_patch16_sapiens2 takes images of 3 channels and 1024×768"):
        random_encoder("vit_base_patch16_sapiens2")


def test_the_preprocessing_is_told_in_words():
    assert preprocessing_text(Preprocessing(fit="border", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))) == (
        "longer side to 256 pixels (bicubic), central 224, padded with the mean, mean 0.5 0.5 0.5, std 0.5 0.5 0.5"
    )
    assert "padded with black" in preprocessing_text(Preprocessing(resize=100, crop=112))
    assert "padded" not in preprocessing_text(Preprocessing(fit="squash"))
