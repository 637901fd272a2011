"""Preparation and verification of detection data sets from their published archives, by commands."""

import json
import shutil
import zipfile

import pytest
from click.testing import CliRunner
from PIL import Image

from tests.data.detection.trees import TREES, archives_of
from transferkit.data.detection import open_detection
from transferkit_cli.main import cli

COUNTS = {"voc0712": {"train": 5, "test": 3}, "coco": {"train": 3, "val": 2}}


@pytest.fixture
def invoke(tmp_path, monkeypatch):
    for variable in ("TRANSFERKIT_DATA", "TRANSFERKIT_MIRROR"):
        monkeypatch.delenv(variable, raising=False)

    def invoke(*arguments):
        options = ["-q", "--workspace", str(tmp_path / "ws")]
        return CliRunner().invoke(cli, ["datasets", *arguments, *options], prog_name="transferkit")

    return invoke


def values(result):
    assert result.stdout, result.output
    return json.loads(result.stdout)


@pytest.mark.parametrize("name", TREES)
def test_archives_are_prepared_and_verified(name, invoke, tmp_path):
    archives = archives_of(name, tmp_path)
    (archives / "holiday.jpg").touch()
    result = invoke("prepare", name, "--from", str(archives), "--json")
    assert result.exit_code == 0, result.output
    (prepared,) = values(result)
    images = sum(COUNTS[name].values())
    assert (prepared["how"], prepared["images"]) == ("unpacked", images)
    assert prepared["published"] == {"voc0712": 21_503, "coco": 123_287}[name]
    assert not (tmp_path / "ws/data" / name / "holiday.jpg").exists()
    again = invoke("prepare", name)
    assert again.exit_code == 0
    assert "ready" in again.stdout

    result = invoke("verify", name, "--json")
    assert result.exit_code == 1, "the fixtures are smaller than what is published"
    (verdict,) = values(result)
    small = ("published are", "classes without an image in train")
    assert [one for one in verdict["problems"] if not any(words in one for words in small)] == []
    assert (verdict["faults"], verdict["leaks"]) == ({}, [])
    assert {split: one["images"] for split, one in verdict["splits"].items()} == COUNTS[name]

    opened = open_detection(name, root=tmp_path / "ws/data")
    assert {split: one.fingerprint for split, one in opened.splits.items()} == verdict["fingerprints"]
    assert {split: len(one) for split, one in opened.splits.items()} == COUNTS[name]


def test_verify_counts_images_and_objects_per_class(invoke, tmp_path):
    TREES["voc0712"][0](tmp_path / "mine")
    result = invoke("verify", f"voc0712:{tmp_path / 'mine'}")
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert "  train: 5 images, published 16551; 10 objects, including 5 difficult and 0 crowds" in result.stdout
    assert [line.split() for line in lines if line.startswith("  class ")] == [
        ["class", "train", "images", "train", "objects", "test", "images", "test", "objects"]
    ]
    assert [line.split() for line in lines if line.startswith("  person ")] == [["person", *"5522"]]
    assert [line.split() for line in lines if line.startswith("  dog ")] == [["dog", *"5533"]]
    assert "  wrong: 3 images in test, published are 4952\n" in result.stdout


def test_verify_of_an_intact_set_exits_with_0(invoke, tmp_path):
    """A set in COCO format with other classes than COCO's is a custom set, which is not compared with COCO."""
    tree = TREES["coco"][0](tmp_path / "mine")
    result = invoke("verify", f"coco:{tree}", "--json")
    (verdict,) = values(result)
    assert (result.exit_code, verdict["problems"], verdict["published"]) == (0, [], {})
    assert verdict["splits"]["train"] == {
        "images": 3,
        "empty": 1,
        "objects": 6,
        "difficult": 0,
        "crowds": 2,
    }
    assert verdict["classes"]["stop sign"] == {
        "train": {"images": 2, "objects": 2},
        "val": {"images": 1, "objects": 1},
    }


def test_faults_are_listed_by_kind(invoke, tmp_path):
    tree = TREES["coco"][0](tmp_path / "mine")
    train, val = tree / "train2017", tree / "val2017"
    Image.open(train / "000000000001.jpg").resize((20, 12)).save(train / "000000000001.jpg")
    (train / "000000000002.jpg").write_bytes(b"\xff\xd8\xff")
    shutil.copy(train / "000000000003.jpg", val / "000000000005.jpg")
    path = tree / "annotations/instances_val2017.json"
    content = json.loads(path.read_text())
    content["annotations"][0]["bbox"] = [3, 3, 0, 4]
    path.write_text(json.dumps(content))

    result = invoke("verify", f"coco:{tree}")
    assert result.exit_code == 1
    for line in (
        "  wrong: 1 invalid: no area",
        "  no area: val2017/000000000004.jpg annotation 40 (3, 3, 3, 7)",
        "  wrong: 1 invalid: cannot be decoded",
        "  wrong: 1 invalid: image of another size than its annotation",
        "  image of another size than its annotation: train2017/000000000001.jpg (20×12, annotated 40×24)",
        "  wrong: 1 image that is in two splits",
        "  in two splits: train/train2017/000000000003.jpg (no object) and val/val2017/000000000005.jpg "
        "(no object), the same bytes",
    ):
        assert line in result.stdout.splitlines()
    (verdict,) = values(invoke("verify", f"coco:{tree}", "--json"))
    assert list(verdict["faults"]) == [
        "cannot be decoded",
        "image of another size than its annotation",
        "no area",
    ]


def test_the_synthetic_set_is_prepared_and_verified(invoke, monkeypatch, tmp_path):
    from transferkit.mini import scenes

    monkeypatch.setattr(scenes, "COUNTS", (24, 3, 3))
    (prepared,) = values(invoke("prepare", "mini/scenes", "--json"))
    assert (prepared["how"], prepared["images"], prepared["classes"]) == ("drawn", 30, len(scenes.CLASSES))
    result = invoke("verify", "mini/scenes")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("mini/scenes has 30 images with ")


def test_another_set(invoke, tmp_path):
    archives = archives_of("coco", tmp_path)
    result = invoke("prepare", "voc0712", "--from", str(archives))
    assert result.exit_code == 1
    assert "has no VOCtrainval_06-Nov-2007.tar, VOCtest_06-Nov-2007.tar" in result.stderr
    assert "but annotations_trainval2017.zip, train2017.zip, val2017.zip. Give only those of voc" in result.stderr
    assert not (tmp_path / "ws/data/voc0712").exists()


@pytest.mark.parametrize(
    ("name", "missing"),
    [("coco", "annotations_trainval2017.zip"), ("voc0712", "VOCtest_06-Nov-2007.tar")],
)
def test_a_missing_archive_is_an_error(name, missing, invoke, tmp_path):
    archives = archives_of(name, tmp_path)
    (archives / missing).unlink()
    result = invoke("prepare", name, "--from", str(archives))
    assert result.exit_code == 1
    assert f"this is not {name}, or it is incomplete" in result.stderr
    assert not (tmp_path / "ws/data" / name).exists()


@pytest.mark.parametrize(("name", "file"), [("coco", "train2017.zip"), ("voc0712", "VOCtest_06-Nov-2007.tar")])
def test_a_truncated_archive_is_an_error(name, file, invoke, tmp_path):
    path = archives_of(name, tmp_path) / file
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    result = invoke("prepare", name, "--from", str(path.parent))
    assert result.exit_code == 1
    assert f"{file} is damaged (" in result.stderr
    assert not (tmp_path / "ws/data" / name).exists()
    assert not list((tmp_path / "ws/data/.preparing").glob(f"{name}/*"))


def test_a_truncated_annotation_file_is_an_error(invoke, tmp_path):
    archives = archives_of("coco", tmp_path)
    with zipfile.ZipFile(archives / "annotations_trainval2017.zip", "w") as packed:
        for part in ("train2017", "val2017"):
            packed.writestr(f"annotations/instances_{part}.json", '{"images": [')
    result = invoke("prepare", "coco", "--from", str(archives))
    assert result.exit_code == 1
    assert "this is not coco: annotations/instances_train2017.json is not valid JSON" in result.stderr
    assert not (tmp_path / "ws/data/coco").exists()


def test_a_folder_is_linked_to(invoke, tmp_path):
    tree = TREES["voc0712"][0](tmp_path / "mine")
    (prepared,) = values(invoke("prepare", "voc0712", "--from", str(tree), "--json"))
    assert prepared["how"] == "linked"
    assert (tmp_path / "ws/data/voc0712").readlink() == tree


@pytest.mark.parametrize(
    ("command", "name", "code", "words"),
    [
        ("info", "vocc0712", 2, "No data set named 'vocc0712'. Did you mean 'voc0712'?"),
        ("verify", "cocoo", 2, "Did you mean 'coco'?"),
        ("prepare", "mini/scene", 2, "Did you mean 'mini/scenes'?"),
        ("prepare", "coco:photos", 2, "coco:photos is a path and needs no preparation"),
        ("verify", "voc0712@shots=5", 2, "voc0712 is a detection set and cannot have the budget shots=5"),
        ("verify", "voc0712", 1, "Get it with: transferkit datasets prepare voc0712"),
        ("verify", "coco:nowhere", 1, "instances_train2017.json cannot be read (No such file"),
    ],
)
def test_invalid_names_are_rejected(command, name, code, words, invoke):
    result = invoke(command, name)
    assert (result.exit_code, words in result.stderr) == (code, True), result.output
