"""Groups of rows that are not independent: patches of one photograph, images of one patient.

A group is a name, the same in every split. Two rows of one group never lie in different parts of a split, and
intervals are over groups, not rows. ``None`` in place of groups means that each row is its own group.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .errors import DataError
from .files import digest_of

Groups = Sequence[str] | None
"""``[n]`` name of the group of each row, or None where each row is its own group."""


def group_numbers(groups: Sequence[str]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """The names of the groups in order of first appearance, and the number of the group of each row ``[n]``.

    >>> group_numbers(["oak", "elm", "oak"])
    (('oak', 'elm'), array([0, 1, 0]))
    """
    number: dict[str, int] = {}
    numbers = np.fromiter((number.setdefault(name, len(number)) for name in groups), np.int64, len(groups))
    return tuple(number), numbers


def groups_per_class(labels: NDArray[np.integer], groups: Groups, n_classes: int) -> NDArray[np.int64]:
    """How many groups have rows of each class, ``[c]``.

    Args:
        labels: ``[n]`` integers in ``0 … c-1``.
        groups: of the rows.
        n_classes: ``c``.
    """
    if groups is None:
        return np.bincount(labels, minlength=n_classes)
    pairs = np.unique(np.stack([labels, group_numbers(groups)[1]]), axis=1)
    return np.bincount(pairs[0], minlength=n_classes)


class Grouped(Protocol):
    """Rows with ids, and perhaps groups."""

    @property
    def ids(self) -> Sequence[str]:
        """``[n]``."""

    @property
    def groups(self) -> Groups:
        """``[n]``, or None."""


def joined_groups(parts: Sequence[Grouped]) -> tuple[str, ...] | None:
    """The groups of all rows of several parts; a row of a part without groups is a group named by its id."""
    if all(part.groups is None for part in parts):
        return None
    return tuple(name for part in parts for name in (part.ids if part.groups is None else part.groups))


def grouped_fingerprint(fingerprint: str, groups: Groups) -> str:
    """The fingerprint of rows together with their groups; unchanged where each row is its own group.

    Features do not depend on groups; splits, episodes and intervals do.
    """
    return fingerprint if groups is None else digest_of([fingerprint, list(groups)])


def require_disjoint_groups(parts: Mapping[str, Groups], *, data: str) -> None:
    """Refuse parts that share a group.

    Args:
        parts: groups of the rows of each part, by the name of the part.
        data: name of the data set.

    Raises: DataError: naming a group and the two parts that have it.
    """
    owner: dict[str, str] = {}
    for part, groups in parts.items():
        for group in dict.fromkeys(groups or ()):
            if (other := owner.setdefault(group, part)) != part:
                raise DataError(
                    f"{data}: the group {group!r} has rows in {other} and in {part}. Rows of one group must "
                    "be in one split. Move them into one split, or leave the groups out."
                )


def split_groups(
    labels: NDArray[np.integer],
    fractions: Sequence[float],
    numbers: NDArray[np.int64],
    order: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Assign whole groups to parts so that every part has about its fraction of every class.

    Groups are assigned one at a time, larger ones first and those of similar size in the given order, each to
    the part where it keeps the chi-square distance between the rows present and the rows wanted smallest.
    A class with no more groups left than parts that lack it fills those parts first, so that a class whose
    groups contain no other class is in every part if it has as many groups as there are parts.

    Shapes: ``n`` rows, ``g`` groups, ``k`` parts, ``c`` classes.

    Args:
        labels: ``[n]``.
        fractions: ``[k]`` of each part, adding up to 1.
        numbers: ``[n]`` number of the group of each row, ``0 … g-1``.
        order: ``[g]`` the groups in random order.

    Returns: ``[g]`` the part of each group.
    """
    classes = np.unique(labels, return_inverse=True)[1]
    pairs, counts = np.unique(np.stack([numbers, classes]), axis=1, return_counts=True)  # sorted by group
    starts = np.searchsorted(pairs[0], np.arange(len(order) + 1)).tolist()
    kinds, rows = pairs[1].tolist(), counts.tolist()
    wanted = np.outer(fractions, np.bincount(classes)).tolist()  # [k, c]
    present = np.zeros_like(wanted).tolist()  # [k, c]
    groups_left = np.bincount(pairs[1]).tolist()  # [c]
    lacking = [len(fractions)] * len(groups_left)  # [c] how many parts have no row of the class

    def preference(part: int) -> tuple[int, float]:
        """How many classes must have this group in this part, negated, and the increase of chi-square."""
        urgent, cost = 0, 0.0
        for i in own:
            kind = kinds[i]
            urgent += present[part][kind] == 0 and groups_left[kind] <= lacking[kind]
            gap = present[part][kind] - wanted[part][kind]
            cost += rows[i] * (2 * gap + rows[i]) / wanted[part][kind]
        return -urgent, cost

    octave = np.floor(np.log2(np.bincount(numbers)))  # groups of similar size share one
    part_of = np.empty(len(order), np.int64)
    for group in order[np.argsort(-octave[order], kind="stable")].tolist():
        own = range(starts[group], starts[group + 1])
        part_of[group] = part = min(range(len(fractions)), key=preference)
        for i in own:
            lacking[kinds[i]] -= present[part][kinds[i]] == 0
            present[part][kinds[i]] += rows[i]
            groups_left[kinds[i]] -= 1
    return part_of
