"""Stratified splits of rows, with or without groups."""

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
    """Split rows so that every part has about its fraction of every class, and no group is in two parts.

    A class with at least as many rows as there are parts has a row in every part; the rows of a smaller class go
    to the parts with the largest fractions. With groups of several rows, the same applies to groups: see
    ``split_groups``. Rows and groups are ordered by the raw output of ``rng``'s bit generator, which NumPy
    keeps the same across versions, unlike ``permutation``.

    Args:
        labels: ``[n]`` classes.
        fractions: fraction of each part; they are positive and add up to 1.
        rng: generator of the random order.
        groups: ``[n]`` groups of the rows.

    Returns: the row numbers of each part, ascending; every row is in one part.

    Raises:
        UsageError: if the fractions are invalid.
        ShapeError: if the labels are not ``[n]``, or the number of groups is not ``n``.
    """
    _require_fractions(fractions)
    if labels.ndim != 1:
        raise ShapeError(f"Labels must be [n], not {list(labels.shape)}.")
    numbers = _row_groups(len(labels), groups)
    n_groups = int(numbers.max(initial=-1)) + 1
    order = np.argsort(np.asarray(rng.bit_generator.random_raw(n_groups)), kind="stable")
    return _parts(labels, fractions, numbers, order)


def _row_groups(n: int, groups: Groups) -> NDArray[np.int64]:
    """Return the group number of each row, ``[n]``."""
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
    """Return the rows of each part, given the group number of each row and the order of the groups."""
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
    """Return integers near ``count * fractions`` that add up to ``count``, by the largest-remainder method.

    All are at least 1 if ``count`` is large enough; otherwise the largest fractions get 1 each.

    >>> shares(10, (0.6, 0.2, 0.2)), shares(3, (0.6, 0.2, 0.2)), shares(2, (0.2, 0.5, 0.3))
    ([6, 2, 2], [1, 1, 1], [0, 1, 1])
    """
    parts = range(len(fractions))
    if count < len(fractions):
        largest = sorted(parts, key=lambda part: -fractions[part])[:count]
        return [int(part in largest) for part in parts]
    exact = [round(count * fraction, 9) for fraction in fractions]
    rounded = [max(1, math.floor(quota)) for quota in exact]
    while sum(rounded) < count:
        rounded[max(parts, key=lambda part: exact[part] - rounded[part])] += 1
    while sum(rounded) > count:
        rounded[max(parts, key=lambda part: (rounded[part] > 1, rounded[part] - exact[part]))] -= 1
    return rounded


def hashed_order(ids: Sequence[str], name: str) -> NDArray[np.int64]:
    """Return the row numbers in the order of the SHA-256 of ``NAME/ID``, which depends on no random generator.

    >>> hashed_order(["a", "b", "c", "d"], "leaves").tolist()
    [3, 1, 0, 2]
    """
    digests = [hashlib.sha256(f"{name}/{row_id}".encode()).digest() for row_id in ids]
    return np.array(sorted(range(len(ids)), key=digests.__getitem__), dtype=np.int64)


def hashed_split(
    ids: Sequence[str],
    labels: NDArray[np.integer],
    fractions: Sequence[float],
    *,
    name: str,
    groups: Groups = None,
) -> tuple[NDArray[np.int64], ...]:
    """Split rows like ``stratified_split``, but in the order of ``hashed_order``, which the ids determine.

    Args:
        ids: ``[n]`` names of the rows.
        labels: ``[n]`` classes.
        fractions: fraction of each part; they are positive and add up to 1.
        name: name of the data set; another name gives other parts.
        groups: ``[n]`` groups of the rows; their names are hashed instead of the ids.

    Returns: the row numbers of each part, ascending; every row is in one part.

    Raises:
        UsageError: if the fractions are invalid.
        ShapeError: if the number of ids or groups is not that of the labels.
    """
    _require_fractions(fractions)
    if labels.shape != (len(ids),):
        raise ShapeError(f"{len(ids)} ids need as many labels, not {list(labels.shape)}.")
    names: Sequence[str] = ids if groups is None else group_numbers(groups)[0]
    return _parts(labels, fractions, _row_groups(len(ids), groups), hashed_order(names, name))


def _require_fractions(fractions: Sequence[float]) -> None:
    if not fractions or min(fractions) <= 0 or not math.isclose(sum(fractions), 1):
        raise UsageError(f"Fractions must be positive and add up to 1, not {tuple(fractions)}.")
