import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transferkit.core.errors import ShapeError, UsageError
from transferkit.core.seeding import generator
from transferkit.core.splitting import hashed_order, hashed_split, shares, stratified_split

FRACTIONS = st.lists(st.floats(0.05, 1), min_size=1, max_size=5).map(
    lambda values: [value / sum(values) for value in values]
)
LABELS = st.lists(st.integers(0, 6), max_size=80).map(lambda values: np.array(values, dtype=np.int64))


@given(LABELS, FRACTIONS)
def test_together_the_parts_are_every_row_once(labels, fractions):
    parts = stratified_split(labels, fractions, rng=generator(0, "x"))
    assert len(parts) == len(fractions)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(labels)))
    assert all((np.diff(part) > 0).all() for part in parts)


@given(st.integers(0, 500), FRACTIONS)
def test_shares_are_near_their_fractions(count, fractions):
    found = shares(count, fractions)
    assert sum(found) == count
    if count >= len(fractions):
        assert min(found) >= 1
    exact = np.array(fractions) * count
    if count and exact.min() >= 1:
        assert np.abs(found - exact).max() < 1


def test_every_class_is_in_every_part_in_proportion():
    labels = np.repeat([4, 0, 7], [100, 50, 3])
    train, val, test = stratified_split(labels, (0.6, 0.2, 0.2), rng=generator(3, "x"))
    assert np.unique(labels[train], return_counts=True)[1].tolist() == [30, 60, 1]
    assert np.unique(labels[val], return_counts=True)[1].tolist() == [10, 20, 1]
    assert np.unique(labels[test], return_counts=True)[1].tolist() == [10, 20, 1]


def test_small_classes_go_to_the_larger_parts_first():
    labels = np.array([0, 1, 1])
    train, val, test = stratified_split(labels, (0.2, 0.3, 0.5), rng=generator(0, "x"))
    assert (len(train), len(val), len(test)) == (0, 1, 2)


def test_the_same_rows_on_every_machine_and_version():
    parts = stratified_split(np.repeat([0, 1], 6), (0.5, 0.5), rng=generator(0, "x"))
    assert [part.tolist() for part in parts] == [[1, 4, 5, 8, 9, 11], [0, 2, 3, 6, 7, 10]]
    other = stratified_split(np.repeat([0, 1], 6), (0.5, 0.5), rng=generator(1, "x"))
    assert [part.tolist() for part in other] == [[1, 2, 5, 7, 8, 10], [0, 3, 4, 6, 9, 11]]


def test_names_of_classes_do_not_matter():
    labels = np.array([2, 0, 2, 0, 0, 2, 2])
    first = stratified_split(labels, (0.7, 0.3), rng=generator(0, "x"))
    other = stratified_split(10 - 3 * labels, (0.7, 0.3), rng=generator(0, "x"))
    assert [part.tolist() for part in first] == [part.tolist() for part in other]


@pytest.mark.parametrize("fractions", [(), (0.5, 0.6), (1.0, 0.0), (-0.5, 1.5)])
def test_fractions_must_divide_the_whole(fractions):
    with pytest.raises(UsageError, match="positive and add up to 1, not"):
        stratified_split(np.array([0, 1]), fractions, rng=generator(0, "x"))


def test_labels_must_be_a_row():
    with pytest.raises(ShapeError, match=r"\[n\], not \[2, 2\]"):
        stratified_split(np.zeros((2, 2), int), (0.5, 0.5), rng=generator(0, "x"))


@given(LABELS, FRACTIONS)
def test_hashed_parts_are_every_row_once(labels, fractions):
    parts = hashed_split([str(i) for i in range(len(labels))], labels, fractions, name="x")
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(labels)))
    assert all((np.diff(part) > 0).all() for part in parts)


def test_hashes_order_rows_whatever_their_order_was():
    ids = [f"{i}.jpg" for i in range(50)]
    by_hash = [ids[i] for i in hashed_order(ids, "leaves")]
    assert [ids[::-1][i] for i in hashed_order(ids[::-1], "leaves")] == by_hash
    assert [ids[i] for i in hashed_order(ids, "trees")] != by_hash


def test_hashed_parts_follow_the_ids():
    ids, labels = [f"{i}.jpg" for i in range(40)], np.arange(40) % 3
    order = generator(1, "x").permutation(40)
    train, _ = hashed_split(ids, labels, (0.7, 0.3), name="x")
    again, _ = hashed_split([ids[i] for i in order], labels[order], (0.7, 0.3), name="x")
    assert {ids[i] for i in train} == {ids[order[i]] for i in again}


def test_invalid_arguments_of_hashed_splits_are_rejected():
    with pytest.raises(UsageError, match="add up to 1"):
        hashed_split(["a"], np.array([0]), (0.7, 0.7), name="x")
    with pytest.raises(ShapeError, match=r"1 ids need as many labels, not \[2\]"):
        hashed_split(["a"], np.array([0, 1]), (0.7, 0.3), name="x")
