"""Weights out and in: what the libraries themselves say of them."""

import pytest
import timm
import torch
import torchvision
from safetensors.torch import load_file, save_file
from torch.testing import assert_close

from tests.models.test_runs import make_run
from transferkit.core.errors import CheckpointError, UsageError
from transferkit.core.preprocessing import Preprocessing
from transferkit.models.backbone import backbone_of
from transferkit.models.catalog import load_encoder
from transferkit.models.exchange import export_weights, import_weights
from transferkit.models.runs import Description, Run

IMAGES = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def resnet18_run(runs, *, head: torch.nn.Linear | None) -> dict[str, torch.Tensor]:
    backbone = backbone_of(load_encoder("random:resnet18@7").at(64))
    weights = {name: value.contiguous() for name, value in backbone.weights(head).items()}
    run = Run.named("r", runs)
    run.describe(Description("torchvision:resnet18", Preprocessing(resize=64, crop=64), "", ("a", "b", "c")))
    save_file(weights, run.newest)
    return weights


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".pth"])
@pytest.mark.parametrize("style", ["torchvision", "timm", None])
def test_both_libraries_load_an_exported_run_with_no_key_missing(style, suffix, tmp_path):
    head = torch.nn.Linear(512, 3)
    resnet18_run(tmp_path / "runs", head=head)
    path = tmp_path / f"weights{suffix}"
    exported = export_weights("run:r", path, style=style, runs=tmp_path / "runs")
    assert (exported.classes, exported.classifier) == (3, "trained")
    weights = load_file(path) if suffix == ".safetensors" else torch.load(path, weights_only=True)
    network = (
        timm.create_model("resnet18", num_classes=3) if style == "timm" else torchvision.models.resnet18(num_classes=3)
    )
    network.load_state_dict(weights, strict=True)
    encoder = load_encoder("run:r", runs=tmp_path / "runs")
    with torch.inference_mode():
        assert_close(network.eval()(IMAGES), head(encoder.module(IMAGES)))


def test_a_run_without_a_classifier_is_given_one_of_zeros(tmp_path):
    resnet18_run(tmp_path / "runs", head=None)
    exported = export_weights("run:r", tmp_path / "w.pt", runs=tmp_path / "runs")
    assert (exported.classes, exported.classifier) == (3, "zeros")
    network = torchvision.models.resnet18(num_classes=3)
    network.load_state_dict(torch.load(tmp_path / "w.pt", weights_only=True), strict=True)
    with torch.inference_mode():
        assert not network.eval()(IMAGES).any()


def test_the_classes_of_a_library_are_counted(tmp_path):
    head = backbone_of(load_encoder("random:resnet18").at(64)).weights(None)
    save_file({name: value.contiguous() for name, value in head.items()}, tmp_path / "x.safetensors")
    exported = export_weights(f"file:{tmp_path / 'x.safetensors'}#resnet18", tmp_path / "w.pt")
    assert (exported.classes, exported.classifier) == (1000, "zeros")
    torchvision.models.resnet18().load_state_dict(torch.load(tmp_path / "w.pt", weights_only=True), strict=True)


def test_any_model_of_a_library_can_be_exported(tmp_path):
    exported = export_weights("imagenet-lite0", tmp_path / "w.safetensors")
    assert (exported.architecture, exported.classes) == ("timm:tf_efficientnet_lite0", 1000)
    network = timm.create_model("tf_efficientnet_lite0")
    network.load_state_dict(load_file(tmp_path / "w.safetensors"), strict=True)


@pytest.mark.parametrize(
    ("spec", "name", "style", "error", "words"),
    [
        ("random:resnet18", "w.zip", None, UsageError, "must end in .safetensors, .pt or .pth"),
        ("pixels", "w.pt", None, UsageError, "pixels is no network of torchvision or timm"),
        ("random:vit_b_16", "w.pt", "timm", UsageError, "vit_b_16"),
        ("random:mobilenet_v3_large", "w.pt", None, None, ""),
    ],
)
def test_models_without_a_library_are_not_exported(spec, name, style, error, words, tmp_path):
    if error is None:
        export_weights(spec, tmp_path / name, style=style)
        return
    with pytest.raises(error, match=words):
        export_weights(spec, tmp_path / name, style=style)
    assert not list(tmp_path.iterdir())


def test_a_folder_is_no_file(tmp_path):
    (tmp_path / "w.pt").mkdir()
    with pytest.raises(UsageError, match=r"w\.pt is a folder"):
        export_weights("random:test_resnet", tmp_path / "w.pt")


def test_a_network_of_the_same_name_with_other_weights_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"does not fit timm:efficientnet_b0: .*Leave out --style"):
        export_weights("random:torchvision:efficientnet_b0", tmp_path / "w.pt", style="timm")


def test_an_imported_checkpoint_is_a_run(tmp_path):
    source = load_encoder("random:resnet18@3")
    torch.save({"state_dict": {f"module.{n}": t for n, t in source.module.state_dict().items()}}, tmp_path / "x.pt")
    run = Run.named("mine", tmp_path / "runs")
    encoder = import_weights(f"file:{tmp_path}/x.pt#resnet18", run=run, size=96)
    assert (encoder.spec, encoder.preprocessing.crop) == ("run:mine", 96)
    assert encoder.weights == source.weights
    with pytest.raises(UsageError, match="a run mine already"):
        import_weights(f"file:{tmp_path}/x.pt#resnet18", run=run)
    with pytest.raises(CheckpointError, match="does not hold the weights"):
        import_weights(f"file:{tmp_path}/x.pt#resnet34", run=Run.named("other", tmp_path / "runs"))
    assert not (tmp_path / "runs" / "other").exists()


def test_exported_weights_can_be_imported(tmp_path):
    make_run(tmp_path / "runs", "r", seed=4, classes=1000)
    export_weights("run:r", tmp_path / "w.safetensors", runs=tmp_path / "runs")
    back = import_weights(f"file:{tmp_path}/w.safetensors#test_resnet", run=Run.named("back", tmp_path / "runs"))
    images = torch.rand(2, 3, 160, 160)
    encoder = load_encoder("run:r", runs=tmp_path / "runs")
    with torch.inference_mode():
        assert_close(back.module(images), encoder.module(images))
