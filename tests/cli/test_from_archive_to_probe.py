"""Each of the twelve data sets, from an archive in the published layout to an accuracy, by commands."""

import shutil

import pytest

from tests.datasets.trees import TREES
from transferkit.protocols.dataset_catalog import expand_datasets

MODEL = ("--model", "random:resnet10t", "--size", "32")


@pytest.mark.parametrize("name", expand_datasets(["paper12"]))
def test_an_archive_is_prepared_and_probed(name, answered, tmp_path):
    TREES[name](tmp_path / "mine")
    archive = shutil.make_archive(str(tmp_path / name), "gztar", tmp_path / "mine")

    code, (prepared,), _ = answered("datasets", "prepare", name, "--from", archive)
    assert (code, prepared["how"]) == (0, "unpacked")

    code, (verdict,), _ = answered("datasets", "verify", name)
    assert code == 1, "the fixtures are smaller than what is published"
    small = ("published are", "classes without an image in train")
    assert [one for one in verdict["problems"] if not any(words in one for words in small)] == []
    assert verdict["unreadable"] == {}
    assert [leak for leak in verdict["leaks"] if leak["same"] != "near"] == []
    assert sum(verdict["counts"].values()) == prepared["images"]

    code, extracted, _ = answered("extract", "--data", name, *MODEL)
    assert code == 0
    assert sum(entry["rows"] for entry in extracted) == prepared["images"]

    code, (record,), _ = answered("probe", "--data", name, "--protocol", "linear", "--penalties", "5", *MODEL)
    assert code == 0
    assert record["data"] == name
    assert record["n"] == verdict["counts"]["test"]
    assert 0 <= record["ci_low"] <= record["value"] <= record["ci_high"] <= 1
    assert record["skipped_rows"] == 0
