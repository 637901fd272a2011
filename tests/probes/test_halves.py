"""Episodes of halves of the images."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from transferkit.core.seeding import generator
from transferkit.probes.episodes import Shape
from transferkit.probes.halves import EPISODES, HALVINGS, QUERIES, draw_halves

SHAPE = Shape(ways=3, shots=2, queries=6, episodes=20)
LABELS = np.repeat(np.arange(7), [30, 25, 20, 21, 20, 13, 9])
NAMES = [f"leaf/{i:03}.jpg" for i in range(len(LABELS))]
GROUPS = [f"photo {i // 2:03}" for i in range(len(LABELS))]  # some have rows of two classes


def drawn(labels=LABELS, names=NAMES, shape=SHAPE, seed=0, groups=None):
    found = draw_halves(labels, names, shape, seed=seed, groups=groups)
    assert found is not None
    return found


def used(halves, b, side):
    """All rows in the episodes of one half."""
    return {*halves.support[b, side].ravel().tolist(), *halves.query[b, side].ravel().tolist()}


@pytest.mark.parametrize("groups", [None, GROUPS])
def test_what_the_episodes_of_a_half_are(groups):
    halves = drawn(groups=groups)
    assert halves.support.shape == (HALVINGS, 2, 2, EPISODES, 3, 2)
    assert halves.query.shape[:5] == (HALVINGS, 2, 2, EPISODES, 3)
    assert halves.predictions == EPISODES * 3 * halves.query.shape[5]
    classes = LABELS[halves.support[..., 0]]  # [b, 2, 2, m, ways]
    assert_array_equal(LABELS[halves.support], np.broadcast_to(classes[..., None], halves.support.shape))
    assert_array_equal(LABELS[halves.query], np.broadcast_to(classes[..., None], halves.query.shape))
    assert (np.diff(np.sort(classes, axis=-1), axis=-1) > 0).all()  # no class twice in an episode


@pytest.mark.parametrize("groups", [None, GROUPS])
def test_no_row_and_no_group_is_in_both_halves(groups):
    halves = drawn(groups=groups)
    names = NAMES if groups is None else groups
    for b in range(HALVINGS):
        first, second = ({names[row] for row in used(halves, b, side)} for side in (0, 1))
        assert not first & second


@pytest.mark.parametrize("groups", [None, GROUPS])
def test_support_and_queries_share_no_row_and_no_group(groups):
    halves = drawn(groups=groups)
    names = np.array(NAMES if groups is None else groups)
    supports, queries = (one.reshape(HALVINGS * 4 * EPISODES, -1) for one in (halves.support, halves.query))
    for support, query in zip(names[supports].tolist(), names[queries].tolist(), strict=True):
        assert not set(support) & set(query)


def test_halves_are_balanced_and_hold_all_rows_but_odd_ones():
    halves = drawn(shape=replace(SHAPE, shots=1))
    for b in range(HALVINGS):
        counts = np.array([np.bincount(LABELS[list(used(halves, b, side))], minlength=7) for side in (0, 1)])
        assert_array_equal(counts.sum(axis=0), np.bincount(LABELS))
        assert abs(counts[0] - counts[1]).max() <= 1


def test_each_row_is_as_often_in_either_half():
    labels, names = np.repeat(np.arange(3), 8), [f"{i:02}" for i in range(24)]
    times = np.zeros((2, 24))
    for seed in range(20):
        halves = drawn(labels, names, seed=seed)
        for b in range(HALVINGS):
            for side in (0, 1):
                times[side, list(used(halves, b, side))] += 1
    assert_array_equal(abs(times - 250) < 60, True)  # 500 halvings, standard deviation 11


def test_classes_and_rows_are_used_about_equally_often():
    halves = drawn(shape=replace(SHAPE, ways=2, shots=1))
    for b in range(HALVINGS):
        classes = np.bincount(LABELS[halves.support[b, 0, 0, :, :, 0]].ravel(), minlength=7)
        assert classes.max() - classes.min() <= EPISODES // 3
        times = np.bincount(halves.support[b, 0, 0].ravel(), minlength=len(LABELS))
        for label in range(7):
            own = times[(label == LABELS) & (times > 0)]
            assert own.max() - own.min() <= 1


def test_order_of_rows_does_not_matter():
    order = generator(0, "order").permutation(len(NAMES))
    for groups in (None, GROUPS):
        moved = drawn(LABELS[order], [NAMES[i] for i in order], groups=groups and [groups[i] for i in order])
        assert_array_equal(order[moved.support], drawn(groups=groups).support)
        assert_array_equal(order[moved.query], drawn(groups=groups).query)


def test_names_of_groups_do_not_matter_but_their_order():
    renamed = [f"image of {group}" for group in GROUPS]
    assert_array_equal(drawn(groups=renamed).support, drawn(groups=GROUPS).support)


def test_seeds_differ_and_halvings_differ():
    halves = drawn()
    assert_array_equal(drawn().support, halves.support)
    assert (drawn(seed=1).support != halves.support).any()
    assert len({frozenset(used(halves, b, 0)) for b in range(HALVINGS)}) == HALVINGS


def test_the_draw_is_pinned():
    """Halves must be the same in all versions, since records of two versions are compared on the same halves."""
    halves = drawn(np.repeat([0, 1], 8), [f"{i:02}" for i in range(16)], Shape(2, 1, 2, 5))
    assert halves.support[0, :, 0, :2, :, 0].tolist() == [[[1, 8], [11, 2]], [[9, 7], [6, 12]]]
    assert halves.query[0, 0, 0, 0].tolist() == [[2, 4, 3], [11, 13, 14]]


@pytest.mark.parametrize(("rows", "shots", "in_halves", "queries"), [
    (20, 5, 5, 5), (36, 20, 13, 5), (52, 20, 19, 7), (500, 5, 5, QUERIES), (4, 3, 1, 1), (5, 1, 1, 2),
])  # fmt: skip
def test_small_halves_have_fewer_shots_and_leave_rows_to_ask(rows, shots, in_halves, queries):
    labels = np.repeat(np.arange(3), rows)
    halves = drawn(labels, [f"{i:05}" for i in range(3 * rows)], replace(SHAPE, shots=shots))
    assert (halves.shots, halves.query.shape[-1]) == (in_halves, queries)


def test_a_small_class_asks_its_rows_repeatedly():
    labels = np.repeat(np.arange(3), [40, 40, 6])
    halves = drawn(labels, [f"{i:05}" for i in range(86)])
    assert halves.query.shape[-1] == 18
    of_small = halves.query[labels[halves.query[..., 0]] == 2]  # 3 rows in each half, 2 of them support
    assert {len(set(one)) for one in of_small.tolist()} == {1}


@pytest.mark.parametrize(
    ("counts", "groups_of"), [([30, 30, 3], 1), ([30, 30, 30], 10), ([12, 12, 12], 4), ([1, 9, 9], 1)]
)
def test_classes_that_cannot_be_halved_have_no_halves(counts, groups_of):
    labels = np.repeat(np.arange(3), counts)
    names = [f"{i:03}" for i in range(len(labels))]
    groups = None if groups_of == 1 else [f"g{i // groups_of}" for i in range(len(labels))]
    assert draw_halves(labels, names, SHAPE, seed=0, groups=groups) is None


def test_four_groups_per_class_are_enough():
    labels = np.repeat(np.arange(3), 12)
    groups = [f"g{i // 3}" for i in range(36)]
    halves = drawn(labels, [f"{i:03}" for i in range(36)], groups=groups)
    assert halves.shots == 2
