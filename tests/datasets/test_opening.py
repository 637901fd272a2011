"""Opening of listed data sets: the fixed 70/30 split, fingerprints, and files that change."""

import hashlib
import os
import time

import numpy as np
import pytest

from tests.datasets.trees import TREES, picture
from transferkit.core.errors import DataError
from transferkit.data.published import Listing, Published
from transferkit.datasets.opening import open_listing, split_rows
from transferkit.download.publication import state_of
from transferkit.protocols.dataset_catalog import open_dataset

# the last three of each class by: printf eurosat/x00.jpg | sha256sum
FROZEN = ["x01.jpg", "x03.jpg", "x04.jpg", "x08.jpg", "x16.jpg", "x19.jpg"]

GOLDEN = "242d416ec8e4fd95cfdd021f97efa5d44ab8a198679c612937cdc92bdbfac3f0"


def listing_of(n, classes=2, name="x"):
    return Listing({"all": {f"{name}{i:02}.jpg": i % classes for i in range(n)}}, tuple("abc"[:classes]))


def test_the_rule_is_frozen():
    parts = split_rows(listing_of(20), "eurosat")
    assert list(parts["test"]) == FROZEN
    assert sorted([*parts["train"], *parts["test"]]) == sorted(listing_of(20).parts["all"])


def test_the_rule_is_frozen_for_classes_of_all_sizes():
    """A digest of the 70/30 parts detects a change by a new version of Python or NumPy."""
    sizes = (1, 2, 3, 10, 33, 101)
    rows = {f"{label}/x{n:03}ö.jpg": label for label, size in enumerate(sizes) for n in range(size)}
    parts = split_rows(Listing({"all": rows}, tuple("abcdef")), "eurosat")
    test = list(parts["test"].values())
    assert [test.count(label) for label in range(6)] == [0, 1, 1, 3, 10, 30]
    text = "\n".join(f"{part} {one}" for part, ids in parts.items() for one in ids)
    assert hashlib.sha256(text.encode()).hexdigest() == GOLDEN


def test_each_class_is_divided():
    parts = split_rows(listing_of(40), "leaves")
    for label in (0, 1):
        assert list(parts["train"].values()).count(label) == 14
        assert list(parts["test"].values()).count(label) == 6


def test_the_seed_changes_nothing(data_root):
    TREES["eurosat"](data_root / "eurosat")
    first, other = (open_dataset("eurosat", root=data_root, seed=seed) for seed in (0, 1))
    assert first.split("test").ids == other.split("test").ids
    assert first.split("test").fingerprint == other.split("test").fingerprint


def test_official_parts_stay():
    parts = {"test": {"b": 0}, "train": {"a": 0}}
    assert split_rows(Listing(parts, ("x",)), "n") == parts


def test_a_split_without_images(tmp_path):
    with pytest.raises(DataError, match="the split test of n has no image"):
        open_listing(Listing({"train": {"a": 0}, "test": {}}, ("x",)), tmp_path, "n", cache_dir=tmp_path / "m")


def test_bytes_determine_the_fingerprint_and_are_cached(data_root, notes):
    TREES["eurosat"](data_root / "eurosat")
    folder = data_root / "eurosat/2750"
    old = time.time() - 60
    for path in folder.rglob("*.jpg"):
        os.utime(path, (old, old))
    before = open_dataset("eurosat", root=data_root).split("train")
    picture(folder / before.ids[0], 2)
    after = open_dataset("eurosat", root=data_root).split("train")
    assert before.fingerprint != after.fingerprint
    with pytest.raises(DataError, match="changed after its folder was opened"):
        before.reader.image(0)
    assert np.array_equal(after.reader.image(1), before.reader.image(1))


def test_marks_lie_at_most_two_folders_deep(tmp_path):
    one = Published("n", "", 1, {}, "", "", "", "", "", read=lambda folder: listing_of(2), marks=("a|b", "c.txt"))
    assert state_of(one, tmp_path / "none") == "absent"
    (tmp_path / "x/y").mkdir(parents=True)
    (tmp_path / "x/y/c.txt").write_text("")
    assert state_of(one, tmp_path) == "partial"
    (tmp_path / "b").mkdir()
    assert state_of(one, tmp_path) == "ready"
    assert state_of(one, tmp_path / "x/y/c.txt") == "absent"
    (tmp_path / "x/y/z").mkdir()
    (tmp_path / "x/y/c.txt").rename(tmp_path / "x/y/z/c.txt")
    assert state_of(one, tmp_path) == "partial"
