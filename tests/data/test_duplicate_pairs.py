from dataclasses import dataclass

import numpy as np
import pytest

from transferkit.core.errors import UnreadableImageError
from transferkit.data.duplicate_pairs import (
    DuplicatePair,
    decode_splits,
    duplicates_between,
    duplicates_within,
    exact_duplicates,
    truncated_lines,
)


@dataclass(frozen=True, eq=False)
class Pictures:
    """A split of images in memory; None cannot be decoded."""

    name: str
    images: list

    @property
    def ids(self):
        return tuple(f"{row}.png" for row in range(len(self.images)))

    @property
    def reader(self):
        return self

    def image(self, row):
        if self.images[row] is None:
            raise UnreadableImageError("the file is empty")
        return self.images[row]

    def __len__(self):
        return len(self.images)


def grain(seed, height=9):
    return np.random.default_rng(seed).integers(0, 256, (height, 7, 3), dtype=np.uint8)


@pytest.fixture
def splits():
    return {
        "train": Pictures("train", [grain(0), None, grain(1), grain(2, height=5)]),
        "val": Pictures("val", [grain(3), grain(1)]),
        "test": Pictures("test", [None, grain(0), grain(4), grain(4)]),
    }


def shown(split, row):
    return f"{split.name} class"


def slow_exact(splits):
    """Every pair of rows of two splits whose pixels are equal, by looking at each."""
    names = list(splits)
    return {
        (f"{one}/{i}.png", f"{other}/{j}.png")
        for at, one in enumerate(names)
        for other in names[at + 1 :]
        for i, first in enumerate(splits[one].images)
        for j, second in enumerate(splits[other].images)
        if first is not None and second is not None and np.array_equal(first, second)
    }


def test_every_image_is_decoded_once_and_keeps_its_row(splits, notes):
    seen = decode_splits("mine", splits, reporter=notes)
    assert {name: rows.tolist() for name, rows in seen.rows.items()} == {
        "train": [0, 2, 3],
        "val": [0, 1],
        "test": [1, 2, 3],
    }
    assert seen.sizes["train"].tolist() == [[9, 7], [9, 7], [5, 7]]
    assert seen.unreadable == {"train": {1: "the file is empty"}, "val": {}, "test": {0: "the file is empty"}}
    assert (notes.tasks, notes.advanced) == ([("Decoding mine", 10, "images")], 10)


def test_duplicates_between_splits_equal_a_slow_search(splits):
    duplicates = exact_duplicates(duplicates_between(splits, decode_splits("mine", splits), shown))
    assert {(twin.first, twin.second) for twin in duplicates} == slow_exact(splits)
    assert len(duplicates) == 2
    assert {(twin.same, twin.first_class) for twin in duplicates} == {("pixels", "train class")}


def test_within_one_split(splits):
    (twin,) = exact_duplicates(duplicates_within(splits["test"], decode_splits("mine", splits), shown))
    assert (twin.first, twin.second) == ("test/2.png", "test/3.png")


def test_it_reads_as_a_sentence():
    assert str(DuplicatePair("a/1", "b/2", "cat", "dog", "near", 3)) == "a/1 (cat) and b/2 (dog), 3 bits apart"
    assert str(DuplicatePair("a/1", "b/2", "cat", "dog", "bytes", 0)) == "a/1 (cat) and b/2 (dog), the same bytes"


@pytest.mark.parametrize("count", [0, 20, 21])
def test_a_person_reads_twenty_lines(count):
    lines = list(truncated_lines([f"line {number}" for number in range(count)]))
    assert len(lines) == count
    assert (lines[-1:] == ["  … and 1 more; --json lists all of them"]) == (count == 21)
