"""``datasets info`` and ``list`` for detection data sets."""

import json

import pytest
from click.testing import CliRunner

from transferkit.mini import scenes
from transferkit_cli.main import cli


def invoke(folder, *arguments):
    common = ("--quiet", "--json", "--workspace", str(folder))
    return CliRunner().invoke(cli, ("datasets", *arguments, *common), prog_name="transferkit")


def test_info_counts_images_and_boxes(tmp_path, monkeypatch):
    monkeypatch.setattr(scenes, "COUNTS", (6, 2, 2))
    scene, digits = json.loads(invoke(tmp_path, "info", "mini/scenes", "mini/digits").stdout)[::-1]
    assert digits["name"] == "mini/digits"
    assert scene["images"] == {"train": 6, "val": 2, "test": 2}
    assert list(scene["boxes in train"]) == list(scenes.CLASSES)
    assert sum(scene["boxes in train"].values()) == sum(
        len(scenes.draw_scene("train", number).labels) for number in range(6)
    )
    assert scene["left out"] == {"train": 0, "val": 0, "test": 0}


def test_list_contains_detection_sets(tmp_path):
    states = {one["name"]: one["state"] for one in json.loads(invoke(tmp_path, "list").stdout)}
    assert states["mini/scenes"] == "embedded"
    assert states["voc0712"] == states["coco"] == "absent"


@pytest.mark.parametrize("name", ["voc0712", "coco"])
def test_info_of_an_absent_set_is_an_error(tmp_path, name):
    result = invoke(tmp_path, "info", name)
    assert result.exit_code == 1
    assert str(tmp_path / "data" / name) in result.stderr
