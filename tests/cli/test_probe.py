"""``transferkit probe --compare``, from the command to the numbers."""

import json

import pytest
from click.testing import CliRunner

from transferkit.core.half_samples import OVER_IMAGES
from transferkit_cli.main import cli

SMALL = [
    *("--data", "mini/digits", "--size", "32"),
    *("--protocol", "knn,fewshot", "--k", "5", "--episodes", "20", "--shots", "1"),
]


def invoke(*arguments: str):
    return CliRunner().invoke(cli, ["probe", "--quiet", *arguments], prog_name="transferkit")


@pytest.mark.parametrize("models", [(), ("--model", "pixels"), ("--model", "pixels,pixels")])
def test_one_model_is_not_compared(tmp_path, models):
    result = invoke("--compare", *models, "--workspace", str(tmp_path / "w"))
    assert result.exit_code == 2
    assert "--compare needs two models" in result.stderr
    assert not (tmp_path / "w").exists()


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
        ahead = [a > b for a, b in zip(*(list(r["outcomes"]["right"]) for r in records), strict=True)]
        assert (one["ahead"], one["n"]) == (sum(ahead), len(ahead))
    text = invoke(*arguments, "--compare").stdout
    assert "Differences on the same test rows or images" in text
    table = text.split("One row a model")[1]
    row = next(line for line in table.splitlines() if line.strip().startswith("pixels "))
    assert row.split() == ["pixels", *(f"{values['pixels', p]:.3f}" for p in ("knn", "fewshot"))]


@pytest.mark.slow
def test_the_semantic_protocol_ends_in_a_table_and_a_figure(tmp_path):
    arguments = ["--model", "pixels", "--data", "mini/digits", "--protocol", "semantic", "--level", "high"]
    text = invoke(*arguments, "--workspace", str(tmp_path)).stdout
    assert "Semantics: explained share of the targets" in " ".join(text.split())
    drawn = tmp_path / "reports" / "semantic.png"
    assert f"Drawn: {drawn}" in text.replace("\n", "")
    assert drawn.stat().st_size > 1000
    assert drawn.with_suffix(".svg").exists()
