from dataclasses import replace

import numpy as np
import pytest

from transferkit.core.errors import NonFiniteError, ShapeError
from transferkit.core.features import Features, concatenate, require_finite
from transferkit.core.out_of_core import Blocks


@pytest.fixture
def leaves() -> Features:
    return Features(
        x=np.arange(12, dtype=np.float16).reshape(4, 3),
        labels=np.array([0, 2, 0, 2]),
        ids=("oak/1.jpg", "elm/1.jpg", "oak/2.jpg", "elm/2.jpg"),
        classes=("oak", "ash", "elm"),
        data="folder:leaves",
        split="train",
        fingerprint="f1",
        skipped=(("ash/1.jpg", "truncated"),),
    )


def test_length_and_dimension(leaves):
    assert (len(leaves), leaves.dim) == (4, 3)


def test_the_repr_shows_size_and_origin(leaves):
    assert repr(leaves) == "<Features [4, 3] float16, 3 classes: array last on folder:leaves train>"


@pytest.mark.parametrize("index", [np.array([2, 0]), np.array([2, 0, 2]), np.array([-1]), np.array([], dtype=int)])
def test_selected_rows_keep_all_their_fields(leaves, index):
    part = leaves.rows(index)
    assert [leaves.ids.index(name) for name in part.ids] == [i % 4 for i in index.tolist()]
    np.testing.assert_array_equal(part.x, leaves.x[index])
    np.testing.assert_array_equal(part.labels, leaves.labels[index])
    assert replace(part, x=leaves.x, labels=leaves.labels, ids=leaves.ids).classes == leaves.classes
    assert (part.data, part.split, part.skipped) == (leaves.data, leaves.split, leaves.skipped)


@pytest.mark.parametrize("mask", [[True, False, False, True], [True] * 4, [False] * 4])
def test_rows_by_mask_are_the_rows_by_number(leaves, mask):
    part = leaves.rows(np.array(mask))
    assert part.ids == [name for name, kept in zip(leaves.ids, mask, strict=True) if kept]
    np.testing.assert_array_equal(part.x, leaves.x[np.array(mask)])


def test_concatenate_undoes_a_split(leaves):
    first, second = leaves.rows(np.array([0, 1])), leaves.rows(np.array([2, 3]))
    whole = concatenate([first, second], split="train+val")
    np.testing.assert_array_equal(whole.x, leaves.x)
    np.testing.assert_array_equal(whole.labels, leaves.labels)
    assert tuple(whole.ids) == leaves.ids
    assert (whole.split, whole.data) == ("train+val", "folder:leaves")
    assert whole.fingerprint == f"{first.fingerprint}+{second.fingerprint}"
    assert len({leaves.fingerprint, first.fingerprint, second.fingerprint}) == 3
    assert whole.skipped == leaves.skipped * 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"x": np.zeros(4)},
        {"x": np.zeros((3, 3))},
        {"labels": np.zeros(3, int)},
        {"labels": np.zeros((4, 1, 1), int)},
    ],
)
def test_shapes_must_agree(leaves, wrong):
    with pytest.raises(ShapeError, match=r"^Features of 4 ids need x \[n, d\] and labels \[n\] or \[n, c\], not \["):
        replace(leaves, **wrong)


@pytest.mark.parametrize("labels", [[0, 1, 2, 3], [-1, 0, 0, 0]])
def test_labels_must_name_classes(leaves, labels):
    with pytest.raises(ShapeError, match=r"^Labels in -?[0-9] … [0-9] are invalid: they must be in 0 … 2\.$"):
        replace(leaves, labels=np.array(labels))


def test_features_may_have_no_rows():
    empty = Features(np.zeros((0, 5)), np.zeros(0, int), (), ("oak",))
    assert (len(empty), empty.dim) == (0, 5)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_non_finite_values_are_rejected_with_layer_and_row(value):
    x = np.ones((4, 3), dtype=np.float16)
    x[2, 1] = x[3, 0] = value
    with pytest.raises(NonFiniteError) as caught:
        require_finite(x, what="layer4 of resnet50", ids="abcd")
    assert str(caught.value) == (
        "layer4 of resnet50: 2 of 4 rows are not finite, first 'c'. If the values are too large for float16, "
        "use --dtype float32; if the network itself overflows, --precision fp32."
    )


def test_finite_rows_pass():
    require_finite(np.full((2, 2), np.finfo(np.float16).max, np.float16), what="layer", ids="ab")
    require_finite(np.zeros((0, 2)), what="layer", ids="")


def blocks(x):
    return Blocks(x.shape, x.dtype, lambda: iter(np.split(x, (1, 3))))


def test_rows_and_concatenation_of_features_out_of_memory(leaves):
    lazy = replace(leaves, x=blocks(leaves.x))
    part = lazy.rows(np.array([True, False, True, True]))
    assert isinstance(part.x, Blocks)
    assert part.fingerprint == leaves.rows(np.array([0, 2, 3])).fingerprint
    np.testing.assert_array_equal(np.asarray(part.x), leaves.x[[0, 2, 3]])
    np.testing.assert_array_equal(lazy.rows(np.array([3, 0])).x, leaves.x[[3, 0]])
    whole = concatenate([lazy, leaves], split="both")
    assert isinstance(whole.x, Blocks)
    np.testing.assert_array_equal(np.asarray(whole.x), np.concatenate([leaves.x] * 2))


def test_non_finite_values_are_found_out_of_memory():
    x = np.ones((4, 3), dtype=np.float16)
    x[3, 0] = np.nan
    with pytest.raises(NonFiniteError, match=r"1 of 4 rows are not finite, first 'd'"):
        require_finite(blocks(x), what="layer", ids="abcd")


def test_targets_and_views_follow_their_rows():
    known = {"size": np.arange(8.0).reshape(4, 2), "kind": np.array([0, 1, 0, 1])}
    x = np.arange(12.0).reshape(4, 3)
    rows = Features(x, np.zeros(4, int), list("abcd"), ("one",), targets=known, augmented=(x + 100,))
    chosen = rows.rows(np.array([2, 0]))
    assert chosen.targets["size"].tolist() == [[4, 5], [0, 1]]
    assert chosen.targets["kind"].tolist() == [0, 0]
    assert chosen.augmented[0].tolist() == (chosen.x + 100).tolist()
    both = concatenate([rows, chosen], split="both")
    assert both.targets["kind"].tolist() == [0, 1, 0, 1, 0, 0]
    assert both.augmented[0].tolist() == (both.x + 100).tolist()
    with pytest.raises(ShapeError, match=r"Augmented views of \[4, 3\] features need that shape, not \[\[4, 2\]\]"):
        replace(rows, augmented=(x[:, :2],))
    with pytest.raises(ShapeError, match="'kind' needs 4 rows, not 3"):
        replace(rows, targets={"kind": np.zeros(3)})


def test_groups_follow_their_rows(leaves):
    grouped = replace(leaves, groups=("tree 1", "tree 2", "tree 1", "tree 3"))
    assert grouped.rows(np.array([3, 0])).groups == ("tree 3", "tree 1")
    joined = concatenate([grouped, leaves], split="all")
    assert joined.groups == ("tree 1", "tree 2", "tree 1", "tree 3", *leaves.ids)
    assert concatenate([leaves, leaves], split="all").groups is None


def test_groups_of_another_length_are_rejected(leaves):
    with pytest.raises(ShapeError, match="Features of 4 rows need as many groups, not 1"):
        replace(leaves, groups=("tree 1",))
