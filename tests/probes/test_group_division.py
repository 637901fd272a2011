"""Groups on the two sides of an episode."""

from itertools import product

import pytest

from transferkit.core.seeding import generator
from transferkit.probes.group_division import can_be_divided, divide


def divisions(sizes, queries, shots, fixed=None):
    """Every way of putting groups on two sides with enough rows each, by trying all."""
    return [
        sides
        for sides in (dict(zip(sizes, flags, strict=True)) for flags in product((True, False), repeat=len(sizes)))
        if sum(sizes[g] for g in sizes if sides[g]) >= queries
        and sum(sizes[g] for g in sizes if not sides[g]) >= shots
        and all(sides[g] == side for g, side in (fixed or {}).items() if g in sizes)
    ]


def random_case(number):
    rng = generator(0, "sides", number)
    sizes = dict(enumerate(rng.integers(1, 7, size=rng.integers(1, 8)).tolist()))
    fixed = {g: bool(rng.integers(2)) for g in (*sizes, 100) if rng.random() < 0.3}
    queries, shots = rng.integers(1, 12, size=2).tolist()
    return sizes, queries, shots, fixed


@pytest.mark.parametrize("number", range(60))
def test_a_division_is_found_whenever_there_is_one(number):
    sizes, queries, shots, fixed = random_case(number)
    assert can_be_divided(list(sizes.values()), queries, shots) == bool(divisions(sizes, queries, shots))
    found, known = divide(sizes, queries, shots, fixed), divisions(sizes, queries, shots, fixed)
    assert found in known if known else found is None


def test_there_are_both_kinds_of_cases():
    possible = [bool(divisions(*random_case(number))) for number in range(60)]
    assert 10 < sum(possible) < 50


def test_groups_go_to_the_sides_by_turns_where_there_is_room():
    assert divide({4: 2, 0: 2, 7: 2, 1: 2}, 2, 2, {}) == {4: True, 0: False, 7: True, 1: False}
    assert divide({4: 2, 0: 2, 7: 2, 1: 2}, 6, 2, {}) == {4: True, 0: False, 7: True, 1: True}
    assert divide({4: 2, 0: 2, 7: 2, 1: 2}, 2, 2, {4: False}) == {4: False, 0: True, 7: False, 1: True}
