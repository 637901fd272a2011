"""Division of groups of rows into query and support sides: support and query rows never share a group.

A group contains rows that are not independent: patches of one photograph, images of one patient.
"""

from collections.abc import Mapping, Sequence


def can_be_divided(sizes: Sequence[int], queries: int, shots: int) -> bool:
    """Return True if groups of these sizes can be divided into ``queries`` query rows and ``shots`` support rows.

    >>> can_be_divided([3, 3], queries=3, shots=2), can_be_divided([5, 1], queries=2, shots=2)
    (True, False)
    """
    return bool(_reachable(sizes)[0] & _allowed(sum(sizes), queries, shots))


def divide(sizes: Mapping[int, int], queries: int, shots: int, sides: Mapping[int, bool]) -> dict[int, bool] | None:
    """Assign each group of one class to the query side (True) or the support side (False) of an episode.

    Groups alternate between the two sides; if a side would have too few rows, a group is moved to the other side.
    A division is found whenever one exists.

    Args:
        sizes: number of rows of the class by group, groups in random order.
        queries: minimum number of rows on the query side.
        shots: minimum number of rows on the support side.
        sides: sides of groups that other classes of the episode have already assigned.

    Returns: the side of each group of the class; None if there is no division.
    """
    free = [group for group in sizes if group not in sides]
    known = {group: sides[group] for group in sizes if group in sides}
    by_turns = known | {group: turn % 2 == 0 for turn, group in enumerate(free)}
    rows = sum(sizes.values())
    if queries <= _query_rows(sizes, by_turns) <= rows - shots:
        return by_turns
    n_queries = _query_rows(sizes, known)
    reachable, allowed = _reachable([sizes[group] for group in free]), _allowed(rows, queries, shots)
    if not (reachable[0] << n_queries) & allowed:
        return None
    for turn, group in enumerate(free):
        is_query = turn % 2 == 0
        if not (reachable[turn + 1] << n_queries + sizes[group] * is_query) & allowed:
            is_query = not is_query
        known[group] = is_query
        n_queries += sizes[group] * is_query
    return known


def _query_rows(sizes: Mapping[int, int], sides: Mapping[int, bool]) -> int:
    """Return the number of rows on the query side."""
    return sum(sizes[group] for group, is_query in sides.items() if is_query)


def _reachable(sizes: Sequence[int]) -> list[int]:
    """Return the subset sums of each suffix of ``sizes``, as bits of an integer; ``[len(sizes) + 1]``."""
    found = [1]
    for size in reversed(sizes):
        found.append(found[-1] | found[-1] << size)
    return found[::-1]


def _allowed(rows: int, queries: int, shots: int) -> int:
    """Return the numbers of query rows that leave at least ``shots`` support rows, as bits of an integer."""
    most = rows - shots
    return (1 << most + 1) - (1 << queries) if most >= queries else 0
