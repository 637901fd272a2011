from pathlib import Path

import pytest

from transferkit.core.errors import UnknownNameError
from transferkit.models.catalog import default_model, known_models, load_encoder
from transferkit.models.encoder import ENCODERS


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
