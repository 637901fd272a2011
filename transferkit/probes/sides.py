"""Which groups of rows are on which side of an episode: support and query rows never share a group.

Groups are names of rows that are not independent: patches of one photograph, images of one patient.
"""

from collections.abc import Mapping, Sequence


def can_be_divided(sizes: Sequence[int], queries: int, shots: int) -> bool:
    """Whether groups of these sizes have two sides, of at least so many query rows and support rows.

    >>> can_be_divided([3, 3], queries=3, shots=2), can_be_divided([5, 1], queries=2, shots=2)
    (True, False)
    """
    return bool(_reachable(sizes)[0] & _allowed(sum(sizes), queries, shots))


def divide(sizes: Mapping[int, int], queries: int, shots: int, sides: Mapping[int, bool]) -> dict[int, bool] | None:
    """Put each group of one class on the query side (True) or the support side of an episode.

    Groups go to the two sides by turns; where that would leave a side with too few rows, a group goes to the
    other one. A division is found whenever there is one.

    Args:
        sizes: group → its rows of the class, groups in a random order.
        queries: rows that the query side needs.
        shots: rows that the support side needs.
        sides: group → its side, for groups that other classes of the episode have divided.

    Returns: the side of each group of the class; None if there is no such division.
    """
    free = [group for group in sizes if group not in sides]
    known = {group: sides[group] for group in sizes if group in sides}
    by_turns = known | {group: turn % 2 == 0 for turn, group in enumerate(free)}
    rows = sum(sizes.values())
    if queries <= _asked(sizes, by_turns) <= rows - shots:
        return by_turns
    asked = _asked(sizes, known)
    reachable, allowed = _reachable([sizes[group] for group in free]), _allowed(rows, queries, shots)
    if not (reachable[0] << asked) & allowed:
        return None
    for turn, group in enumerate(free):
        is_query = turn % 2 == 0
        if not (reachable[turn + 1] << asked + sizes[group] * is_query) & allowed:
            is_query = not is_query
        known[group] = is_query
        asked += sizes[group] * is_query
    return known


def _asked(sizes: Mapping[int, int], sides: Mapping[int, bool]) -> int:
    """Rows on the query side."""
    return sum(sizes[group] for group, is_query in sides.items() if is_query)


def _reachable(sizes: Sequence[int]) -> list[int]:
    """For each suffix of ``sizes``, the sums of its subsets, as bits of an integer; ``[len(sizes) + 1]``."""
    found = [1]
    for size in reversed(sizes):
        found.append(found[-1] | found[-1] << size)
    return found[::-1]


def _allowed(rows: int, queries: int, shots: int) -> int:
    """The numbers of query rows that leave ``shots`` of ``rows`` for the support, as bits of an integer."""
    most = rows - shots
    return (1 << most + 1) - (1 << queries) if most >= queries else 0
