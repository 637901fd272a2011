"""Short names, and lines of parts that are never split."""

from transferkit.core.fitted_table import packed, short_names


def test_short_names_take_as_many_parts_as_tell_them_apart():
    names = ["folder:/a/birds/train", "folder:/a/cars/train", "folder:/b/cars/val", "random:resnet18"]
    assert list(short_names(names).values()) == ["…/birds/train", "…/cars/train", "…/val", "resnet18"]


def test_names_that_are_the_same_but_for_the_prefix_keep_it():
    names = ["random:resnet18", "torchvision:resnet18", "folder:/x"]
    assert short_names(names) == {name: name for name in names}


def test_packed_lines_split_no_part():
    assert packed(["one", "two", "a very long part", "three"], 12) == ["one · two", "a very long part", "three"]
