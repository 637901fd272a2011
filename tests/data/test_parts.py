import numpy as np
import pytest

from transferkit.core.errors import DataError
from transferkit.data.arrays import from_arrays
from transferkit.data.parts import chosen_rows, joined


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
