"""The options for weights and preprocessing that become part of a model's spec."""

import json

import pytest
import torch
from click.testing import CliRunner

from transferkit.models.architectures import find_architecture
from transferkit_cli.main import cli

ARCH = "test_resnet"


@pytest.fixture
def checkpoint(tmp_path):
    """Write a file with two copies of the weights and return its spec."""
    one, two = (find_architecture(ARCH).build(seed=seed).state_dict() for seed in (1, 2))
    torch.save({"model": one, "model_ema": two}, tmp_path / "w.pth")
    return f"file:{tmp_path / 'w.pth'}#{ARCH}"


def invoke(tmp_path, *arguments):
    workspace = ["--workspace", str(tmp_path / "ws")]
    return CliRunner().invoke(cli, [*arguments, *workspace], prog_name="transferkit")


def extracted(tmp_path, spec, *options):
    settings = ["--data", "mini/digits", "--layers", "layer1", "--size", "32", "--device", "cpu"]
    settings += ["--workers", "0", "--json"]
    result = invoke(tmp_path, "extract", "--model", spec, *settings, *options)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout), " ".join(result.stderr.split())


def test_the_loaded_copy_of_weights_is_reported_and_can_be_chosen(checkpoint, tmp_path):
    found, said = extracted(tmp_path, checkpoint)
    assert "w.pth: loaded the weights in model_ema as timm:test_resnet." in said
    assert "The file also holds model: choose with --weights-key NAME." in said
    assert "Preprocessing: shorter side to 168 pixels" in said
    other, said = extracted(tmp_path, checkpoint, "--weights-key", "model")
    assert "loaded the weights in model as timm:test_resnet." in said
    assert {row["model"] for row in other} == {f"{checkpoint}?weights_key=model"}
    assert {row["entry"] for row in found}.isdisjoint(row["entry"] for row in other)


def test_the_preprocessing_of_a_command_is_part_of_the_model(checkpoint, tmp_path):
    options = ["--mean", "0.485, 0.456, 0.406", "--std", "0.25", "--fit", "squash"]
    found, said = extracted(tmp_path, checkpoint, *options)
    assert {row["model"] for row in found} == {f"{checkpoint}?fit=squash&mean=(0.485,0.456,0.406)&std=0.25"}
    assert "both sides to 168 pixels" in said
    assert "mean 0.485 0.456 0.406, std 0.25 0.25 0.25" in said


def test_layers_shows_the_preprocessing(checkpoint, tmp_path):
    result = invoke(tmp_path, "models", "layers", checkpoint, "--interpolation", "bicubic", "--layers", "last")
    assert result.exit_code == 0, result.output
    assert "Images: shorter side to 168 pixels (bicubic), central 160, mean 0.5 0.5 0.5" in result.stdout


def test_the_copy_is_chosen_on_import_too(checkpoint, tmp_path):
    path, _, arch = checkpoint.removeprefix("file:").rpartition("#")
    options = ["--arch", arch, "--mean", "0.25", "--json", "--name"]
    import_ = ["models", "import", path, "--weights-key"]
    one, two = (json.loads(invoke(tmp_path, *import_, key, *options, key).stdout) for key in ("model", "model_ema"))
    assert one["weights"] != two["weights"]
    described = json.loads((tmp_path / "ws" / "runs" / "model" / "run.json").read_text())
    assert described["preprocessing"]["mean"] == [0.25, 0.25, 0.25]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["extract", "--mean", "0.5"], "--mean needs a model: name it with --model SPEC"),
        (["extract", "--model", "pixels", "--weights-key", "ema"], "but pixels is not a checkpoint file"),
        (["models", "layers", "pixels", "--weights-key", "ema"], "but pixels is not a checkpoint file"),
        (["models", "layers", "pixels", "--fit", "x"], "Preprocessing has no fit 'x'"),
    ],
)
def test_options_without_a_model_are_rejected(arguments, words, tmp_path):
    result = invoke(tmp_path, *arguments)
    assert result.exit_code == 2
    assert words in " ".join(result.stderr.split())
