from dataclasses import replace

import numpy as np
import pytest

from transferkit.core.errors import DataError, ShapeError
from transferkit.data.arrays import from_arrays
from transferkit.data.dataset import Dataset
from transferkit.data.splits import add_missing_splits
from transferkit.data.subset import chosen_rows, joined


def split(name, n, offset, classes=("a", "b")):
    images = (np.arange(n, dtype=np.uint8) + offset)[:, None, None, None] * np.ones((1, 2, 2, 3), np.uint8)
    ids = [f"{name}{row}" for row in range(n)]
    return from_arrays(images, np.arange(n) % 2, name="d", split=name, classes=classes, ids=ids)


def values(part):
    return [int(part.reader.image(row)[0, 0, 0]) for row in range(len(part))]


def test_chosen_rows_keep_what_belongs_to_them():
    part = chosen_rows(split("train", 6, 10), np.array([4, 1]), name="some")
    assert (part.name, part.ids, part.labels.tolist(), values(part)) == (
        *("some", ("train4", "train1"), [0, 1]),
        [14, 11],
    )
    assert part.fingerprint != chosen_rows(split("train", 6, 10), np.array([1, 4]), name="some").fingerprint


def test_joined_splits_come_one_after_another():
    whole = joined([split("train", 3, 10), split("val", 2, 50), split("more", 1, 90)])
    assert whole.name == "train+val+more"
    assert values(whole) == [10, 11, 12, 50, 51, 90]
    assert whole.ids == ("train0", "train1", "train2", "val0", "val1", "more0")
    assert whole.labels.tolist() == [0, 1, 0, 0, 1, 0]


def test_splits_with_other_classes_are_not_joined():
    with pytest.raises(DataError, match="number their classes differently"):
        joined([split("train", 3, 0), split("val", 2, 0, classes=("b", "a"))])


def grouped(part, *groups):
    return replace(part, groups=groups)


def test_groups_follow_their_rows():
    train, val = grouped(split("train", 3, 10), "a", "b", "a"), split("val", 2, 50)
    assert chosen_rows(train, np.array([2, 1]), name="some").groups == ("a", "b")
    assert joined([train, val]).groups == ("a", "b", "a", "val0", "val1")
    assert chosen_rows(val, np.array([1]), name="some").groups is None
    assert joined([val, val]).groups is None


def test_as_many_groups_as_images():
    with pytest.raises(ShapeError, match="d train has 3 images and 1 groups: give one group per image"):
        grouped(split("train", 3, 10), "a")


def test_splits_of_a_data_set_share_no_group():
    train, test = grouped(split("train", 2, 10), "a", "b"), grouped(split("test", 2, 50), "c", "a")
    with pytest.raises(DataError, match="d: the group 'a' has rows in train and in test"):
        Dataset("d", {"train": train, "test": test})


def test_the_fingerprint_of_a_data_set_is_that_of_images_and_groups():
    train, test = split("train", 2, 10), split("test", 2, 50)
    variants = [Dataset("d", {"train": one, "test": test}) for one in
                (train, grouped(train, "a", "a"), grouped(train, "a", "b"))]  # fmt: skip
    assert len({dataset.fingerprint for dataset in variants}) == 3
    assert Dataset("e", {"train": train, "test": test}).fingerprint == variants[0].fingerprint


def test_missing_splits_are_cut_along_groups():
    groups = [f"patient {row % 2}{row // 8}" for row in range(80)]  # 10 of each class, of 4 images each
    whole = grouped(split("train", 80, 0), *groups)
    for given in ({"train": whole}, {"train": whole, "val": split("val", 4, 90)}):
        cut = add_missing_splits(given, seed=0, draw="test")
        dataset = Dataset("d", cut)  # refuses groups in two splits
        assert set(dataset.splits) == {"train", "val", "test"}
        assert all(set(part.labels.tolist()) == {0, 1} for part in cut.values())
    assert len(cut["train"]) == 64


def test_too_few_groups_to_be_divided_are_named():
    groups = ["p", "a", "p", "b", "q", "c", "q", "d"]  # class 0 has the groups p and q
    with pytest.raises(
        DataError,
        match=r"class 'a' has 4 images in 2 groups, too few to be divided: each class needs 3 or more "
        r"groups\. Add images of other groups, or provide a test split",
    ):
        add_missing_splits({"train": grouped(split("train", 8, 0), *groups)}, seed=0, draw="test")


def test_groups_that_leave_a_class_out_of_a_split_are_named():
    # each class has three of four groups, so three splits with all classes would need all groups apart
    rows = [(label, group) for label, own in enumerate(("123", "124", "134", "234")) for group in own]
    whole = replace(
        split("train", len(rows), 0),
        labels=np.array([label for label, _ in rows]),
        classes=("a", "b", "c", "d"),
        groups=tuple(group for _, group in rows),
    )
    with pytest.raises(DataError, match=r"every class is in every split: \w+ would have no image of '\w'\. Use"):
        add_missing_splits({"train": whole}, seed=0, draw="test")
