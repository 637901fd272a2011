"""Preprocessing that a spec names instead of the encoder's own."""

import pytest
import torch

from transferkit.core.errors import UsageError
from transferkit.models.catalog import load_encoder, require_known_model

OWN = load_encoder("random:timm:test_resnet")


@pytest.mark.parametrize(
    ("options", "field", "value"),
    [
        ("mean=0.25", "mean", (0.25, 0.25, 0.25)),
        ("mean=(0.1,0.2,0.3)", "mean", (0.1, 0.2, 0.3)),
        ("std=(1,1,1)", "std", (1.0, 1.0, 1.0)),
        ("resize=200", "resize", 200),
        ("interpolation=bicubic", "interpolation", "bicubic"),
        ("fit=squash", "fit", "squash"),
    ],
)
def test_a_field_of_the_preprocessing_is_changed_and_named(options, field, value):
    encoder = load_encoder(f"random:timm:test_resnet?{options}")
    assert getattr(encoder.preprocessing, field) == value != getattr(OWN.preprocessing, field)
    assert encoder.spec == f"random:test_resnet?{options}"
    assert encoder.architecture == OWN.architecture
    assert encoder.weights == OWN.weights
    require_known_model(encoder.spec)
    assert load_encoder(encoder.spec).preprocessing == encoder.preprocessing


def test_it_can_be_combined_with_options_of_the_constructor(tmp_path):
    arch = "vit_tiny_patch16_224?depth=1&img_size=32"
    torch.save(load_encoder(f"random:{arch}").module.state_dict(), tmp_path / "w.pt")
    encoder = load_encoder(f"file:{tmp_path}/w.pt#{arch}&mean=0.25")
    assert encoder.preprocessing.mean == (0.25, 0.25, 0.25)
    assert encoder.preprocessing.crop == 32
    assert encoder.architecture == f"timm:{arch}"


def test_every_form_of_a_spec_accepts_it():
    encoder = load_encoder("pixels?interpolation=bilinear")
    assert (encoder.preprocessing.interpolation, encoder.spec) == ("bilinear", "pixels?interpolation=bilinear")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("mean=2", r"mean=2 is not one number or three, from 0 to 1"),
        ("mean=(0.5,0.5)", r"mean=\(0.5, 0.5\) is not one number or three"),
        ("std=0", r"std=0 is not one number or three, from 1e-06 to 1"),
        ("std=high", "std=high is not"),
        ("resize=big", "resize=big is not a number of pixels"),
        ("resize=0", "must be at least 1"),
        ("resize=true", "resize=True is not a number of pixels"),
        ("mean=true", "mean=True is not one number or three"),
        ("fit=stretch", "Preprocessing has no fit 'stretch'"),
        ("interpolation=nearest", "Preprocessing has no interpolation 'nearest'"),
    ],
)
def test_invalid_values_are_refused(options, message):
    with pytest.raises(UsageError, match=message):
        load_encoder(f"random:timm:test_resnet?{options}")
