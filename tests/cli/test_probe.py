"""``transferkit probe --compare``, from the command to the numbers."""

import json

import pytest
import torch
from click.testing import CliRunner

from transferkit.core.half_samples import OVER_IMAGES
from transferkit.models.catalog import load_encoder
from transferkit_cli.main import cli

SMALL = [
    *("--data", "mini/digits", "--size", "32"),
    *("--protocol", "knn,fewshot", "--k", "5", "--episodes", "20", "--shots", "1"),
]


def invoke(*arguments: str):
    return CliRunner().invoke(cli, ["probe", "--quiet", *arguments], prog_name="transferkit")


@pytest.mark.parametrize("models", [(), ("--model", "pixels"), ("--model", "pixels,pixels")])
def test_compare_needs_two_models(tmp_path, models):
    result = invoke("--compare", *models, "--workspace", str(tmp_path / "w"))
    assert result.exit_code == 2
    assert "--compare needs two models" in result.stderr
    assert not (tmp_path / "w").exists()


def test_no_table_is_printed_when_every_protocol_fails(tmp_path):
    asked = ["--protocol", "fewshot", "--scheme", "all-way", "--shots", "500"]
    result = invoke("--model", "pixels", "--data", "mini/digits", *asked, "--workspace", str(tmp_path))
    assert (result.exit_code, result.stdout) == (1, "")
    assert "Use fewer --shots: 28 shots would do." in result.stderr


@pytest.mark.slow
def test_models_are_compared_on_the_same_rows_and_episodes(tmp_path):
    arguments = ["--model", "pixels,random:resnet18", *SMALL, "--workspace", str(tmp_path)]
    plain = json.loads(invoke(*arguments, "--json").stdout)
    found = json.loads(invoke(*arguments, "--json", "--compare").stdout)
    assert list(found) == ["results", "comparisons", "over_datasets", "refused"]
    assert found["results"] == plain
    values = {(r["model"], r["protocol"]): r["value"] for r in plain}
    assert [(c["protocol"], c["test"]) for c in found["comparisons"]] == [
        ("knn", "McNemar, mid-p"),
        ("fewshot", OVER_IMAGES),
    ]
    for one in found["comparisons"]:
        protocol = one["protocol"]
        difference = values["pixels", protocol] - values["random:resnet18", protocol]
        assert one["difference"] == pytest.approx(difference)
        assert one["ci_low"] <= one["difference"] <= one["ci_high"]
        records = [r for r in plain if r["protocol"] == protocol]
        wins = [a > b for a, b in zip(*(list(r["outcomes"]["correct"]) for r in records), strict=True)]
        assert (one["wins"], one["n"]) == (sum(wins), len(wins))
    text = invoke(*arguments, "--compare").stdout
    assert "Differences on the same test rows or images" in text
    table = text.split("Means per model")[1]
    row = next(line for line in table.splitlines() if line.strip().startswith("pixels "))
    assert row.split() == ["pixels", *(f"{values['pixels', p]:.3f}" for p in ("knn", "fewshot"))]


@pytest.mark.slow
def test_the_semantic_protocol_shows_a_table_and_saves_a_figure(tmp_path):
    arguments = ["--model", "pixels", "--data", "mini/digits", "--protocol", "semantic", "--level", "high"]
    text = invoke(*arguments, "--workspace", str(tmp_path)).stdout
    assert "Semantics: explained fraction of the targets" in " ".join(text.split())
    drawn = tmp_path / "reports" / "semantic.png"
    assert f"Drawn: {drawn}" in text.replace("\n", "")
    assert drawn.stat().st_size > 1000
    assert drawn.with_suffix(".svg").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("architecture", "classifier"),
    [
        ("shufflenet_v2_x0_5", "fc."),  # the representation is a mean, and no module's output
        ("timm:deit_tiny_distilled_patch16_224?img_size=32", "head"),  # it is the mean of two tokens
    ],
)
def test_a_file_without_classifier_is_measured_at_the_layer_of_the_whole_network(tmp_path, architecture, classifier):
    whole = load_encoder(f"random:{architecture}@7").module.state_dict()
    body = {name: value for name, value in whole.items() if not name.startswith(classifier)}
    assert len(body) < len(whole)
    for name, weights in (("whole", whole), ("body", body)):
        torch.save(weights, tmp_path / f"{name}.pth")
    files = [f"file:{tmp_path / name}.pth#{architecture}" for name in ("body", "whole")]
    models = ",".join([*files, f"random:{architecture}"])
    shared = ["--data", "mini/digits", "--size", "32", "--workspace", str(tmp_path / "w"), "--json"]

    semantic = ["--protocol", "semantic", "--level", "high", *shared]
    of_body, of_whole, untrained = json.loads(invoke("--model", models, *semantic).stdout)
    assert {record["layer"] for record in (of_body, of_whole, untrained)} == {"last"}
    assert of_body["dim"] == untrained["dim"]
    assert of_body["extra_metrics"]["targets"] == of_whole["extra_metrics"]["targets"]
    assert of_body["extra_metrics"]["targets"]["class"]["baselines"]["random"] == untrained["value"]

    compared = invoke("--model", models, "--protocol", "knn", "--k", "5", *shared, "--compare")
    found = json.loads(compared.stdout)
    assert not found["refused"]
    assert [(one["layer_a"], one["layer_b"]) for one in found["comparisons"]] == [("last", "last")] * 3
    assert (found["comparisons"][0]["difference"], found["comparisons"][0]["wins"]) == (0, 0)
