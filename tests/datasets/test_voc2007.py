"""VOC2007 classification, read from a tree in its layout with what it has of traps."""

import shutil

import numpy as np
import pytest

from tests.datasets.kornblith_trees import voc2007, voc_label
from transferkit.core.errors import DataError
from transferkit.core.labels import class_counts
from transferkit.data.budgets import budgeted, parse_budget
from transferkit.data.verifying import verified
from transferkit.data.vocdevkit import CLASSES
from transferkit.datasets import PUBLISHED
from transferkit.download.publication import state_of
from transferkit.protocols.dataset_catalog import known_datasets, open_dataset

MAIN = "VOCdevkit/VOC2007/ImageSets/Main"


@pytest.fixture
def tree(data_root):
    voc2007(data_root / "voc2007")
    return data_root / "voc2007"


def test_labels_are_what_the_lists_say(tree, data_root):
    dataset = open_dataset("voc2007", root=data_root)
    assert (list(dataset.splits), dataset.classes) == (["train", "val", "test"], CLASSES)
    train = dataset.split("train")
    assert train.ids == tuple(f"{number:06}.jpg" for number in range(1, 25))
    assert train.labels.dtype == np.int64
    expected = [[voc_label(name, number) for name in CLASSES] for number in range(1, 25)]
    assert train.labels.tolist() == expected
    assert (train.labels[0] == -1).all(), "an image may show nothing"
    assert train.labels[4, CLASSES.index("chair")] == 0, "and a class with difficulty"
    counts = dict(zip(CLASSES, class_counts(train.labels, 20).tolist(), strict=True))
    assert (counts["dog"], counts["person"], counts["chair"], counts["cat"]) == (8, 12, 3, 0)
    assert dataset.split("test").reader.image(29).shape == (16, 20, 3)


def test_a_changed_label_is_another_fingerprint(tree, data_root):
    before = open_dataset("voc2007", root=data_root).split("train").fingerprint
    path = tree / MAIN / "chair_train.txt"
    path.write_text(path.read_text().replace("000005  0", "000005  1"))
    assert open_dataset("voc2007", root=data_root).split("train").fingerprint != before


def test_a_missing_image_is_left_out_and_reported(tree, data_root, notes):
    (tree / "VOCdevkit/VOC2007/JPEGImages/000003.jpg").unlink()
    train = open_dataset("voc2007", root=data_root, reporter=notes).split("train")
    assert (len(train), "000003.jpg" in train.ids) == (23, False)
    assert train.labels[2].tolist() == [voc_label(name, 4) for name in CLASSES]
    assert notes.notes[0] == "voc2007: 1 label of missing images left out, such as 000003.jpg"


def test_another_year_beside_it_changes_nothing(tree, data_root):
    before = open_dataset("voc2007", root=data_root)
    shutil.copytree(tree / "VOCdevkit/VOC2007", tree / "VOCdevkit/VOC2012")
    after = open_dataset("voc2007", root=data_root)
    assert [one.fingerprint for one in after.splits.values()] == [one.fingerprint for one in before.splits.values()]


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("dog_val.txt", lambda text: text.replace("000030  1\n", ""), "lacks 000030 and 0 more"),
        (
            "dog_val.txt",
            lambda text: text.replace("000030  1", "000030  2"),
            "has the label '2' for 000030; allowed are 1, 0",
        ),
        (
            "dog_val.txt",
            lambda text: text.replace("000030  1", "000030"),
            "has the label '' for 000030; allowed are 1, 0",
        ),
        ("cat_test.txt", lambda text: None, r"cat_test\.txt is missing\. Unpack the archive that contains it"),
        ("val.txt", lambda text: "\n", r"JPEGImages has no image of val\. Unpack"),
        (
            "val.txt",
            lambda text: "000025\n0000é\n",
            r"val\.txt cannot be read: .* Take it from the published",
        ),
    ],
)
def test_invalid_lists_are_rejected(tree, data_root, name, change, words):
    path = tree / MAIN / name
    text = change(path.read_text())
    path.unlink() if text is None else path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=words):
        open_dataset("voc2007", root=data_root)


@pytest.mark.parametrize("gone", ["VOC2007/JPEGImages", "VOC2007/ImageSets/Main/test.txt"])
def test_half_of_a_set_is_incomplete(tree, gone):
    place = tree / "VOCdevkit" / gone
    shutil.rmtree(place) if place.is_dir() else place.unlink()
    assert state_of(PUBLISHED["voc2007"], tree) == "partial"


def test_it_is_listed(data_root):
    known = {one.name: one for one in known_datasets(data_root)}["voc2007"]
    assert (known.classes, known.images, known.state) == (20, 9_963, "absent")


def test_verify_counts_what_is_shown_and_compares_all_labels(tree, data_root):
    images = tree / "VOCdevkit/VOC2007/JPEGImages"
    shutil.copy(images / "000002.jpg", images / "000003.jpg")  # a person, a dog
    shutil.copy(images / "000008.jpg", images / "000004.jpg")  # a person each
    found = verified(open_dataset("voc2007", root=data_root))
    assert found.classes["dog"] == {"train": 8, "val": 5, "test": 10}
    assert found.classes["chair"] == {"train": 3, "val": 1, "test": 4}
    conflicts = [(one.first, one.first_class, one.second_class) for one in found.conflicts if one.same != "near"]
    assert conflicts == [("train/000002.jpg", "person", "dog")]
    assert "2501" in " ".join(found.problems)


def test_limits_are_drawn_whatever_the_images_show(tree, data_root):
    whole = open_dataset("voc2007", root=data_root)
    small, large = (budgeted(whole, parse_budget(f"limit={n}"), seed=0) for n in (10, 20))
    for name, count in {"train": 6, "val": 4}.items():
        split = small.split(name)
        assert len(split) == count
        assert set(split.ids) <= set(large.split(name).ids)
        rows = [whole.split(name).ids.index(one) for one in split.ids]
        assert split.labels.tolist() == whole.split(name).labels[rows].tolist()
    assert small.split("test").fingerprint == whole.split("test").fingerprint
    assert budgeted(whole, parse_budget("limit=10"), seed=1).split("train").ids != small.split("train").ids
    part = budgeted(whole, parse_budget("limit=0.5"), seed=0)
    assert [len(split) for split in part.splits.values()] == [12, 8, 30]


@pytest.mark.parametrize("budget", ["shots=2", "vtab1k"])
def test_numbers_of_a_class_are_refused(tree, data_root, budget):
    words = rf"voc2007 has several labels per image, but @{budget} needs one label per image\. Use @limit=N"
    with pytest.raises(DataError, match=words):
        open_dataset(f"voc2007@{budget}", root=data_root)
