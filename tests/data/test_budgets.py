from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transferkit.core.errors import UsageError
from transferkit.data.arrays import from_arrays
from transferkit.data.budgets import Budget, budgeted, parse_budget, split_spec
from transferkit.data.dataset import Dataset
from transferkit.protocols.dataset_catalog import expand_datasets, group_members, open_dataset, with_budget

COUNTS = {"train": (600, 300, 100), "val": (200, 100, 30), "test": (50, 50, 50)}


def dataset_of(counts):
    splits = {}
    for name, per_class in counts.items():
        labels = np.repeat(np.arange(len(per_class)), per_class)
        ids = [f"{name}{row}" for row in range(len(labels))]
        images = (np.arange(len(labels)) % 251).astype(np.uint8)[:, None, None, None].repeat(3, 3)
        splits[name] = from_arrays(
            images, labels, name="d", split=name, ids=ids, classes=[str(c) for c in range(len(per_class))]
        )
    return Dataset("d", splits)


@pytest.fixture(scope="module")
def whole():
    return dataset_of(COUNTS)


@pytest.fixture(scope="module")
def without_val():
    return dataset_of({name: COUNTS[name] for name in ("train", "test")})


def per_class(dataset, name):
    return np.bincount(dataset.split(name).labels, minlength=3).tolist()


@pytest.mark.parametrize(
    ("text", "budget", "written"),
    [
        ("limit=1000", Budget("limit", 1000), "limit=1000"),
        ("limit=0.10", Budget("fraction", 0.1), "limit=0.1"),
        ("limit=.000001", Budget("fraction", 1e-6), "limit=0.000001"),
        ("limit=1.0", Budget("fraction", 1), "limit=1.0"),
        ("limit=1", Budget("limit", 1), "limit=1"),
        ("shots=05", Budget("shots", 5), "shots=5"),
        ("vtab1k", Budget("vtab1k"), "vtab1k"),
    ],
)
def test_spellings(text, budget, written):
    assert parse_budget(text) == budget
    assert str(budget) == written
    assert parse_budget(written) == budget


@pytest.mark.parametrize("text", ["limit=0", "limit=1.5", "limit=0.0", "limit=-3", "shots=0.5", "shots=", "x"])
def test_what_is_no_budget(text):
    with pytest.raises(UsageError, match=f"@{text} is not a budget. Use one of @limit=1000"):
        parse_budget(text)


@pytest.mark.parametrize(
    ("spec", "parts"),
    [
        ("eurosat", ("eurosat", "")),
        ("eurosat@limit=0.1", ("eurosat", "limit=0.1")),
        ("dtd:3@vtab1k", ("dtd:3", "vtab1k")),
        ("folder:a@b/c@shots=5", ("folder:a@b/c", "shots=5")),
        ("folder:a@limit=3/c", ("folder:a@limit=3/c", "")),
        ("torchvision:resnet50@IMAGENET1K_V2", ("torchvision:resnet50@IMAGENET1K_V2", "")),
    ],
)
def test_budgets_stand_at_the_end_of_specs(spec, parts):
    assert split_spec(spec) == parts


def test_a_limit_is_of_train_and_val_together(whole):
    few = budgeted(whole, parse_budget("limit=133"), seed=0)
    assert few.spec == few.split("train").dataset == "d@limit=133"
    assert (len(few.split("train")), len(few.split("val"))) == (100, 33)
    assert per_class(few, "train") == [60, 30, 10]
    assert per_class(few, "val") == [20, 10, 3]


def test_a_fraction(whole, without_val):
    assert per_class(budgeted(whole, parse_budget("limit=0.1"), seed=0), "train") == [60, 30, 10]
    assert per_class(budgeted(without_val, parse_budget("limit=1.0"), seed=0), "train") == [600, 300, 100]


def test_a_limit_beyond_the_set_is_the_set(whole):
    every = budgeted(whole, parse_budget("limit=100000"), seed=0)
    assert every.split("train").ids == whole.split("train").ids
    assert every.split("val").ids == whole.split("val").ids


def test_shots_are_all_train(whole):
    few = budgeted(whole, parse_budget("shots=5"), seed=0)
    assert list(few.splits) == ["train", "test"]
    assert per_class(few, "train") == [5, 5, 5]
    assert per_class(budgeted(whole, parse_budget("shots=400"), seed=0), "train") == [400, 300, 100]


def test_classes_with_fewer_images_than_shots_are_reported(whole, notes):
    budgeted(whole, parse_budget("shots=400"), seed=0, reporter=notes)
    assert notes.notes == [
        "d@shots=400: 2 of 3 classes have fewer than 400 images in train; all images of these classes are used."
    ]
    budgeted(whole, parse_budget("shots=100"), seed=0, reporter=notes)
    assert len(notes.notes) == 1


def test_vtab_has_800_and_200(whole, without_val):
    for dataset in (whole, without_val):
        few = budgeted(dataset, parse_budget("vtab1k"), seed=0)
        assert list(few.splits) == ["train", "val", "test"]
        assert (len(few.split("train")), len(few.split("val"))) == (800, 200)
        assert per_class(few, "train") == [480, 240, 80]
        assert not set(few.split("train").ids) & set(few.split("val").ids)
    assert set(few.split("val").ids) < set(without_val.split("train").ids)


def test_test_is_complete_and_keeps_its_features(whole):
    for text in ("limit=50", "shots=1", "vtab1k"):
        assert budgeted(whole, parse_budget(text), seed=0).split("test") is whole.split("test")


def test_rows_keep_their_images(whole):
    few = budgeted(whole, parse_budget("shots=7"), seed=0).split("train")
    train = whole.split("train")
    for row, one in enumerate(few.ids):
        assert np.array_equal(few.reader.image(row), train.reader.image(train.ids.index(one)))
        assert few.labels[row] == train.labels[train.ids.index(one)]


@given(st.integers(3, 900), st.integers(3, 900))
def test_a_smaller_limit_is_a_subset_of_a_larger(first, second):
    dataset = dataset_of({"train": (60, 30, 10), "test": (5, 5, 5)})
    small, large = sorted((min(first, 100), min(second, 100)))
    inner, outer = (budgeted(dataset, Budget("shots", size), seed=4).split("train") for size in (small, large))
    assert set(inner.ids) <= set(outer.ids)
    assert len(budgeted(dataset, Budget("limit", small), seed=4).split("train")) == small


def test_seeds_draw_others_and_fingerprints_tell(whole):
    splits = [
        budgeted(whole, parse_budget(text), seed=seed).split("train")
        for text, seed in (("shots=5", 0), ("shots=5", 0), ("shots=5", 1), ("shots=6", 0))
    ]
    assert splits[0].ids == splits[1].ids
    assert splits[0].fingerprint == splits[1].fingerprint
    assert len({split.fingerprint for split in splits}) == 3
    assert splits[0].ids != splits[2].ids


@pytest.mark.parametrize(
    ("counts", "text", "words"),
    [
        (COUNTS, "limit=3", "leaves 2 images of train for 3 classes"),
        (COUNTS, "limit=0.001", "leaves 1 image of train for 3 classes"),
        ({"train": (900,) * 1, "test": (3,)}, "vtab1k", "needs 1000 images of train, but there are 900"),
        (COUNTS | {"val": (50, 50, 50)}, "vtab1k", "needs 200 images of val, but there are 150"),
    ],
)
def test_budgets_that_cannot_be_met(counts, text, words):
    with pytest.raises(UsageError, match=rf"d@{text} {words}"):
        budgeted(dataset_of(counts), parse_budget(text), seed=0)


def test_the_catalog_takes_budgets(data_root, notes):
    open_dataset("mini/digits@shots=100", root=data_root, reporter=notes)
    assert "mini/digits@shots=100: 10 of 10 classes have fewer than 100 images" in notes.notes[-1]
    few = open_dataset("mini/digits@shots=3", root=data_root)
    assert few.spec == "mini/digits@shots=3"
    assert len(few.split("train")) == 30
    assert expand_datasets(["mini/digits@shots=03,mini/leaves"]) == ["mini/digits@shots=3", "mini/leaves"]
    assert group_members("paper12@limit=0.10")[-1] == "dtd@limit=0.1"
    assert expand_datasets(["paper12@vtab1k"])[0] == "cropdisease@vtab1k"
    for ask in (lambda s: open_dataset(s, root=data_root), lambda s: expand_datasets([s])):
        with pytest.raises(UsageError, match="@shots=x is not a budget"):
            ask("mini/digits@shots=x")
        with pytest.raises(UsageError, match="@limit=x is not a budget"):
            expand_datasets(["mini@limit=x"])


def test_budgets_are_appended():
    assert with_budget(["mini/digits,mini", "dtd:3"], "limit=0.10") == [
        "mini/digits@limit=0.1",
        "mini@limit=0.1",
        "dtd:3@limit=0.1",
    ]
    with pytest.raises(UsageError, match="dtd@shots=5 already has a budget"):
        with_budget(["mini", "dtd@shots=5"], "vtab1k")


def with_groups(dataset, size):
    """The data set, of which neighbours in a class are of one group."""
    splits = {}
    for name, split in dataset.splits.items():
        seen = dict.fromkeys(range(3), 0)
        groups = []
        for label in split.labels.tolist():
            groups.append(f"{name} {label} {seen[label] // size}")
            seen[label] += 1
        splits[name] = replace(split, groups=tuple(groups))
    return replace(dataset, splits=splits)


@pytest.mark.parametrize("text", ["limit=133", "limit=0.1", "shots=5", "vtab1k"])
def test_budgets_keep_groups(text, whole):
    larger = dataset_of({"train": (900, 400, 200), "test": (5, 5, 5)})
    for dataset in (with_groups(whole, 7), with_groups(larger, 7)):
        few = budgeted(dataset, parse_budget(text), seed=0)  # a Dataset refuses groups in two splits
        for name, split in few.splits.items():
            own = dict(zip(dataset.split("train").ids, dataset.split("train").groups, strict=True))
            if name == "train":
                assert list(split.groups) == [own[one] for one in split.ids]


def test_vtab_holds_out_whole_groups(without_val):
    few = budgeted(with_groups(dataset_of({"train": (900, 400, 200), "test": (5, 5, 5)}), 5),
                   parse_budget("vtab1k"), seed=0)  # fmt: skip
    assert (len(few.split("train")), len(few.split("val"))) == (800, 200)
    assert not set(few.split("train").groups) & set(few.split("val").groups)
    assert per_class(few, "val") == pytest.approx([120, 53, 27], abs=4)


def test_groups_too_large_for_vtab_are_named(without_val):
    train = without_val.split("train")
    tied = replace(train, groups=tuple(f"{label}" for label in train.labels.tolist()))
    with pytest.raises(UsageError, match=r"needs 200 images of val, but the groups of d leave \d+, because no"):
        budgeted(replace(without_val, splits={**without_val.splits, "train": tied}), Budget("vtab1k"), seed=0)
