"""``datasets prepare``, ``verify`` and ``info --contact-sheet``: output and exit codes."""

import json
import shutil

import pytest
from click.testing import CliRunner
from PIL import Image

from tests.datasets.trees import TREES
from transferkit_cli.main import cli


@pytest.fixture
def invoke(tmp_path, monkeypatch):
    monkeypatch.delenv("TRANSFERKIT_DATA", raising=False)
    monkeypatch.delenv("TRANSFERKIT_MIRROR", raising=False)

    def invoke(*arguments):
        options = ["-q", "--workspace", str(tmp_path / "ws")]
        return CliRunner().invoke(cli, ["datasets", *arguments, *options], prog_name="transferkit")

    return invoke


@pytest.fixture
def mine(tmp_path):
    TREES["eurosat"](tmp_path / "mine")
    return tmp_path / "mine"


def test_an_archive_is_prepared_and_verified(invoke, mine, tmp_path):
    archive = shutil.make_archive(str(mine), "zip", mine)
    prepared = invoke("prepare", "eurosat", "--from", archive, "--json")
    assert prepared.exit_code == 0, prepared.output
    assert json.loads(prepared.stdout) == [
        {
            "name": "eurosat",
            "how": "unpacked",
            "folder": str(tmp_path / "ws/data/eurosat"),
            "images": 36,
            "published": 27000,
            "classes": 3,
        }
    ]
    again = invoke("prepare", "eurosat")
    assert again.exit_code == 0
    assert "ready" in again.stdout
    verdict = invoke("verify", "eurosat")
    assert verdict.exit_code == 1
    assert "wrong: 36 images, published are 27000" in verdict.stdout
    (value,) = json.loads(invoke("verify", "eurosat", "--json").stdout)
    assert value["problems"][1] == "3 classes, published are 10"


def test_verify_of_an_intact_set_exits_with_0(invoke):
    result = invoke("verify", "mini/digits")
    assert result.exit_code == 0, result.output
    assert "mini/digits has 560 images of 10 classes" in result.stdout


def test_manual_steps_are_printed_with_exit_code_1(invoke):
    result = invoke("prepare", "cropdisease")
    assert result.exit_code == 1
    assert "Error: cropdisease cannot be fetched by a program" in result.stderr
    assert "1. Log in to Kaggle" in result.stderr
    assert result.stdout == ""


def test_a_failed_set_does_not_stop_the_remaining_ones(invoke, mine, tmp_path):
    shutil.copytree(mine, tmp_path / "ws/data/eurosat")
    result = invoke("prepare", "cropdisease,eurosat", "--json")
    assert result.exit_code == 1
    assert [one["name"] for one in json.loads(result.stdout)] == ["eurosat"]
    assert "cropdisease cannot be fetched" in result.stderr


def test_sources_apply_to_one_set(invoke, mine):
    result = invoke("prepare", "eurosat", "dtd", "--from", str(mine))
    assert result.exit_code == 2
    assert "--from and --url were given for 2 data sets, but apply to one" in result.stderr


def test_a_contact_sheet_is_drawn(invoke, tmp_path):
    place = tmp_path / "sheets/digits.png"
    result = invoke("info", "mini/digits", "--contact-sheet", str(place))
    assert result.exit_code == 0, result.output
    with Image.open(place) as image:
        assert image.size == (200 + 10 * 76, 26 + 10 * 76)


def test_a_contact_sheet_shows_one_set(invoke, tmp_path):
    result = invoke("info", "mini/digits", "mini/leaves", "--contact-sheet", str(tmp_path / "a.png"))
    assert result.exit_code == 2
    assert "requested for 2 data sets with class labels and 0 with boxes" in result.stderr


def test_info_counts_the_groups_of_images_that_have_them(invoke):
    described = json.loads(invoke("info", "mini/materials", "mini/patterns", "--json").stdout)
    assert described[0]["groups"] == {"train": 157, "val": 50, "test": 93}
    assert "groups" not in described[1]
