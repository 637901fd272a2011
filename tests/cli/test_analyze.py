"""``transferkit analyze``: combinations of options, and figures."""

import json

import pytest
from click.testing import CliRunner

from tests.protocols.analyses.flat import flatten
from tests.protocols.analyses.pictures import MODEL, draw_discs
from transferkit_cli.main import cli


@pytest.fixture(scope="module")
def discs(tmp_path_factory):
    return f"folder:{draw_discs(tmp_path_factory.mktemp('discs'))}"


def invoke(workspace, *arguments):
    common = ("--device", "cpu", "--json", "--quiet", "--workspace", str(workspace))
    return CliRunner().invoke(cli, ["analyze", *arguments, *common], prog_name="transferkit")


def test_a_full_inversion_has_the_size_that_its_depth_needs(discs, tmp_path):
    asked = ("inversion", "--full", "--model", MODEL, "--data", discs, "--layers", "layer1", "--num-images", "1")
    quick = ("--steps", "1", "--decoder-width", "1")
    found = invoke(tmp_path, *asked, *quick)
    assert found.exit_code == 0, found.output
    told = json.loads(found.stdout)
    assert (told["settings"]["size"], told["search"]["decoder_depth"], told["search"]["lr"]) == (224, 6, 0.001)
    smaller = json.loads(invoke(tmp_path, *asked, *quick, "--size", "128").stdout)
    assert smaller["settings"]["size"] == 128
    refused = invoke(tmp_path, *asked, *quick, "--size", "64")
    assert refused.exit_code == 2
    assert "128 pixels or more, not 64. Lower --decoder-depth or raise --size." in refused.stderr


def test_robustness_draws_accuracy_and_calibration_error(discs, tmp_path):
    asked = ("--model", MODEL, "--data", discs, "--size", "32", "--corruptions", "blur", "--severities", "1")
    found = invoke(tmp_path, "robustness", *asked, "--penalties", "1")
    assert found.exit_code == 0, found.output
    text = (tmp_path / "reports" / "robustness.svg").read_text(encoding="utf-8")
    assert all(f">{words}<" in text for words in ("blur", "severity", "accuracy", "calibration error"))


def test_separation_shows_measurable_layers_and_explains_missing_ones(discs, tmp_path, monkeypatch):
    flatten(monkeypatch, but="layer4")
    asked = ("--model", MODEL, "--data", discs, "--size", "32")
    some = invoke(tmp_path, "separation", *asked, "--layers", "layer1,layer4")
    assert some.exit_code == 1
    assert [record["layer"] for record in json.loads(some.stdout)] == ["layer4"]
    assert "layer layer1: class separation is undefined, for all 72 rows" in some.stderr
    none = invoke(tmp_path, "separation", *asked, "--layers", "layer1")
    assert (none.exit_code, none.stdout) == (1, "")
