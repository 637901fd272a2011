"""The options ``--limit``, ``--shots-per-class`` and ``--budget``, from the command to the record."""

import json

import pytest
from click.testing import CliRunner

from transferkit_cli.main import cli


def invoke(*arguments):
    return CliRunner().invoke(cli, arguments, prog_name="transferkit")


def extract(folder, *arguments):
    common = ("--model", "pixels", "--data", "mini/digits", "--quiet", "--json", "--workspace", str(folder))
    return invoke("extract", *common, *arguments)


@pytest.mark.parametrize(
    ("arguments", "spec", "images"),
    [
        (("--limit", "100"), "mini/digits@limit=100", {"train": 76, "val": 24, "test": 190}),
        (("--limit", "0.5"), "mini/digits@limit=0.5", {"train": 140, "val": 45, "test": 190}),
        (("--shots-per-class", "3"), "mini/digits@shots=3", {"train": 30, "test": 190}),
    ],
)
def test_extract_accepts_budgets(tmp_path, arguments, spec, images):
    rows = json.loads(extract(tmp_path, *arguments).stdout)
    assert {row["split"]: row["images"] for row in rows} == images
    assert {row["split"]: row["data"] for row in rows} == {
        split: spec if split != "test" else "mini/digits" for split in images
    }


def test_the_record_contains_the_budget(tmp_path):
    common = ("--model", "pixels", "--data", "mini/digits", "--protocol", "knn", "--k", "1", "--quiet")
    result = invoke("probe", *common, "--shots-per-class", "2", "--json", "--workspace", str(tmp_path))
    (record,) = json.loads(result.stdout)
    assert record["data"] == "mini/digits@shots=2"
    found = invoke("results", "list", "--data", "mini/digits@shots=2", "--json", "--workspace", str(tmp_path))
    assert [one["data"] for one in json.loads(found.stdout)] == ["mini/digits@shots=2"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--limit", "5", "--budget", "vtab1k"), "--limit, --shots-per-class and --budget exclude each other"),
        (("--limit", "many"), "@limit=many is not a budget"),
        (("--shots-per-class", "0"), "--shots-per-class 0 is too small: give 1 or more"),
        (("--limit", "5", "--data", "mini@shots=3"), "mini@shots=3 already has a budget"),
    ],
)
def test_invalid_budgets_are_rejected(tmp_path, arguments, words):
    result = extract(tmp_path, *arguments)
    assert result.exit_code == 2
    assert words in result.stderr
