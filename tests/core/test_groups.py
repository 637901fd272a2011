import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transferkit.core.errors import DataError, ShapeError
from transferkit.core.groups import (
    group_numbers,
    grouped_fingerprint,
    groups_per_class,
    require_disjoint_groups,
)
from transferkit.core.seeding import generator
from transferkit.core.splitting import hashed_split, stratified_split

ROWS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 12)), max_size=80)
THREE = (0.6, 0.2, 0.2)


def parts_of(labels, groups, fractions, how, seed=0):
    if how == "stratified":
        return stratified_split(labels, fractions, rng=generator(seed, "x"), groups=groups)
    ids = [f"{row}.jpg" for row in range(len(labels))]
    return hashed_split(ids, labels, fractions, name=f"x{seed}", groups=groups)


def pure(sizes_by_class):
    """Labels and groups, where each group has one class: ``[[3, 1], [2]]`` has two groups of class 0."""
    labels, groups = [], []
    for label, sizes in enumerate(sizes_by_class):
        for number, size in enumerate(sizes):
            labels += [label] * size
            groups += [f"{label}/{number}"] * size
    order = generator(7, "order").permutation(len(labels))
    return np.array(labels)[order], [groups[i] for i in order]


@pytest.mark.parametrize("how", ["stratified", "hashed"])
@given(ROWS)
def test_no_group_is_in_two_parts_and_together_they_are_every_row_once(how, rows):
    labels, groups = np.array([a for a, _ in rows], dtype=np.int64), [str(b) for _, b in rows]
    parts = parts_of(labels, groups, THREE, how)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(labels)))
    assert all((np.diff(part) > 0).all() for part in parts)
    held = [{groups[row] for row in part} for part in parts]
    assert sum(map(len, held)) == len(set(groups))


@pytest.mark.parametrize("how", ["stratified", "hashed"])
@given(st.lists(st.lists(st.integers(1, 30), min_size=3, max_size=12), min_size=1, max_size=4))
def test_a_class_with_as_many_groups_as_parts_is_in_every_part(how, sizes):
    labels, groups = pure(sizes)
    for part in parts_of(labels, groups, THREE, how):
        assert set(labels[part].tolist()) == set(range(len(sizes)))


@given(st.lists(st.lists(st.integers(1, 9), min_size=12, max_size=30), min_size=1, max_size=4))
def test_parts_have_about_their_fraction_of_every_class(sizes):
    labels, groups = pure(sizes)
    parts = parts_of(labels, groups, THREE, "stratified")
    for label, own in enumerate(sizes):
        found = np.array([(labels[part] == label).sum() for part in parts])
        assert np.abs(found - np.array(THREE) * sum(own)).max() <= max(own)


@pytest.mark.parametrize("how", ["stratified", "hashed"])
@given(ROWS)
def test_groups_of_one_row_each_change_nothing_but_names(how, rows):
    labels = np.array([a for a, _ in rows], dtype=np.int64)
    own = [f"{row}.jpg" for row in range(len(labels))]
    with_groups, without = (parts_of(labels, groups, THREE, how) for groups in (own, None))
    assert [part.tolist() for part in with_groups] == [part.tolist() for part in without]


def test_each_seed_holds_out_other_groups_and_each_group_is_held_out_equally_often():
    labels, groups = pure([[5] * 10])
    held = [
        group
        for seed in range(400)
        for group in {groups[row] for row in parts_of(labels, groups, (0.8, 0.2), "stratified", seed)[1]}
    ]
    counts = np.unique(held, return_counts=True)[1] / len(held)
    assert len(counts) == 10
    assert np.abs(counts - 0.1).max() < 0.04


def test_the_order_of_rows_does_not_change_a_hashed_split():
    labels, groups = pure([[3, 4, 5, 1, 1], [2, 2, 2, 6]])
    order = generator(1, "x").permutation(len(labels))
    first = parts_of(labels, groups, (0.7, 0.3), "hashed")[0]
    again = parts_of(labels[order], [groups[i] for i in order], (0.7, 0.3), "hashed")[0]
    assert {groups[row] for row in first} == {groups[order[row]] for row in again}


def test_a_large_group_goes_to_the_part_that_can_hold_it():
    labels, groups = pure([[42, 8, 6, 1, 1, 26]])
    train, held = parts_of(labels, groups, (0.8, 0.2), "stratified")
    assert 42 <= len(train) < 84
    assert len(held) >= 8


def test_rows_of_a_class_in_one_group_stay_together_in_the_largest_part():
    labels, groups = pure([[10], [3, 3, 3, 3, 3]])
    train, held = parts_of(labels, groups, (0.8, 0.2), "stratified")
    assert (labels[train] == 0).sum() == 10
    assert (labels[held] == 1).sum() == 3


def test_groups_are_counted_per_class():
    labels, groups = np.array([0, 0, 0, 2, 2]), ["a", "a", "b", "b", "c"]
    assert groups_per_class(labels, groups, 3).tolist() == [2, 0, 2]
    assert groups_per_class(labels, None, 3).tolist() == [3, 0, 2]


def test_groups_are_numbered_as_they_appear():
    names, numbers = group_numbers(["b", "a", "b"])
    assert (names, numbers.tolist()) == (("b", "a"), [0, 1, 0])


def test_groups_change_the_fingerprint_and_none_do_not():
    assert grouped_fingerprint("abc", None) == "abc"
    assert len({grouped_fingerprint("abc", groups) for groups in (None, ("a", "a"), ("a", "b"))}) == 3


def test_a_group_in_two_parts_is_rejected():
    require_disjoint_groups({"train": ("a", "b"), "val": None, "test": ("c",)}, data="d")
    with pytest.raises(DataError, match=r"d: the group 'b' has rows in train and in test\. Rows of one group"):
        require_disjoint_groups({"train": ("a", "b"), "val": ("d",), "test": ("c", "b")}, data="d")


def test_another_number_of_groups_is_rejected():
    with pytest.raises(ShapeError, match="3 labels need as many groups, not 2"):
        stratified_split(np.zeros(3, int), (0.5, 0.5), rng=generator(0, "x"), groups=["a", "b"])
