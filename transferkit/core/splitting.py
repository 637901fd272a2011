"""Dividing rows into parts that resemble each other."""

import hashlib
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .errors import ShapeError, UsageError
from .groups import Groups, group_numbers, split_groups


def stratified_split(
    labels: NDArray[np.integer],
    fractions: Sequence[float],
    *,
    rng: np.random.Generator,
    groups: Groups = None,
) -> tuple[NDArray[np.int64], ...]:
    """Divide rows so that every part has about its fraction of every class, and no two parts share a group.

    A class with at least as many rows as there are parts has a row in every part; a smaller one goes to
    the parts with the larger fractions first. With groups of several rows, the same holds of groups: see
    ``split_groups``. Rows and groups are ordered by the raw output of ``rng``'s bit generator, which NumPy
    keeps the same across versions, as it does not for ``permutation``.

    Args:
        labels: ``[n]``.
        fractions: of each part; positive, adding up to 1.
        rng: where the order comes from.
        groups: ``[n]`` of the rows.

    Returns: row numbers of each part, ascending; together every row once.

    Raises:
        UsageError: if the fractions are not that.
        ShapeError: if the labels are not ``[n]``, or there are not as many groups.
    """
    _require_fractions(fractions)
    if labels.ndim != 1:
        raise ShapeError(f"Labels must be [n], not {list(labels.shape)}.")
    numbers = _group_of_each(len(labels), groups)
    n_groups = int(numbers.max(initial=-1)) + 1
    order = np.argsort(np.asarray(rng.bit_generator.random_raw(n_groups)), kind="stable")
    return _parts(labels, fractions, numbers, order)


def _group_of_each(n: int, groups: Groups) -> NDArray[np.int64]:
    """``[n]`` number of the group of each row."""
    if groups is None:
        return np.arange(n)
    if len(groups) != n:
        raise ShapeError(f"{n} labels need as many groups, not {len(groups)}.")
    return group_numbers(groups)[1]


def _parts(
    labels: NDArray[np.integer],
    fractions: Sequence[float],
    numbers: NDArray[np.int64],
    order: NDArray[np.int64],
) -> tuple[NDArray[np.int64], ...]:
    """Rows of each part, given the number of the group of each row and the order of the groups."""
    if len(order) < len(labels):
        part_of = split_groups(labels, fractions, numbers, order)[numbers]
    else:  # each row is its own group
        by_class = order[np.argsort(labels[order], kind="stable")]
        starts = np.flatnonzero(np.diff(labels[by_class])) + 1
        part_of = np.empty(len(labels), dtype=np.int64)
        for members in np.split(by_class, starts):
            part_of[members] = np.repeat(np.arange(len(fractions)), shares(len(members), fractions))
    return tuple(np.flatnonzero(part_of == part) for part in range(len(fractions)))


def shares(count: int, fractions: Sequence[float]) -> list[int]:
    """Whole numbers near ``count * fractions`` that add up to ``count``, by largest remainder.

    None is zero if ``count`` suffices; else the larger fractions get one each.

    >>> shares(10, (0.6, 0.2, 0.2)), shares(3, (0.6, 0.2, 0.2)), shares(2, (0.2, 0.5, 0.3))
    ([6, 2, 2], [1, 1, 1], [0, 1, 1])
    """
    parts = range(len(fractions))
    if count < len(fractions):
        favoured = sorted(parts, key=lambda part: -fractions[part])[:count]
        return [int(part in favoured) for part in parts]
    exact = [round(count * fraction, 9) for fraction in fractions]
    whole = [max(1, math.floor(share)) for share in exact]
    while sum(whole) < count:
        whole[max(parts, key=lambda part: exact[part] - whole[part])] += 1
    while sum(whole) > count:
        whole[max(parts, key=lambda part: (whole[part] > 1, whole[part] - exact[part]))] -= 1
    return whole


def hashed_order(ids: Sequence[str], name: str) -> NDArray[np.int64]:
    """Row numbers in the order of the SHA-256 of ``NAME/ID``: the same for ever, from no random generator.

    >>> hashed_order(["a", "b", "c", "d"], "leaves").tolist()
    [3, 1, 0, 2]
    """
    digests = [hashlib.sha256(f"{name}/{one}".encode()).digest() for one in ids]
    return np.array(sorted(range(len(ids)), key=digests.__getitem__), dtype=np.int64)


def hashed_split(
    ids: Sequence[str],
    labels: NDArray[np.integer],
    fractions: Sequence[float],
    *,
    name: str,
    groups: Groups = None,
) -> tuple[NDArray[np.int64], ...]:
    """As ``stratified_split``, by ``hashed_order``: whoever has the ids can make the same parts.

    Args:
        ids: ``[n]``.
        labels: ``[n]``.
        fractions: of each part; positive, adding up to 1.
        name: of the data set; another name gives other parts.
        groups: ``[n]`` of the rows; their names are hashed in place of the ids.

    Returns: row numbers of each part, ascending; together every row once.

    Raises:
        UsageError: if the fractions are not that.
        ShapeError: if there are not as many ids or groups as labels.
    """
    _require_fractions(fractions)
    if labels.shape != (len(ids),):
        raise ShapeError(f"{len(ids)} ids need as many labels, not {list(labels.shape)}.")
    names: Sequence[str] = ids if groups is None else group_numbers(groups)[0]
    return _parts(labels, fractions, _group_of_each(len(ids), groups), hashed_order(names, name))


def _require_fractions(fractions: Sequence[float]) -> None:
    if not fractions or min(fractions) <= 0 or not math.isclose(sum(fractions), 1):
        raise UsageError(f"Fractions must be positive and add up to 1, not {tuple(fractions)}.")
