"""Groups of rows that are not independent: patches of one photograph, images of one patient.

A group is a name, the same in every split. All rows of a group are in the same part of a split, and intervals
are over groups, not rows. ``None`` instead of groups means that each row is its own group.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .errors import DataError
from .files import digest_of

Groups = Sequence[str] | None
"""``[n]`` name of the group of each row, or None if each row is its own group."""


def group_numbers(groups: Sequence[str]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Return the names of the groups in order of first appearance, and the group number of each row ``[n]``.

    >>> group_numbers(["oak", "elm", "oak"])
    (('oak', 'elm'), array([0, 1, 0]))
    """
    number: dict[str, int] = {}
    numbers = np.fromiter((number.setdefault(name, len(number)) for name in groups), np.int64, len(groups))
    return tuple(number), numbers


def groups_per_class(labels: NDArray[np.integer], groups: Groups, n_classes: int) -> NDArray[np.int64]:
    """Return the number of groups that have rows of each class, ``[c]``.

    Args:
        labels: ``[n]`` integers in ``0 … c-1``.
        groups: groups of the rows.
        n_classes: ``c``.
    """
    if groups is None:
        return np.bincount(labels, minlength=n_classes)
    pairs = np.unique(np.stack([labels, group_numbers(groups)[1]]), axis=1)
    return np.bincount(pairs[0], minlength=n_classes)


class Grouped(Protocol):
    """Rows with ids and optional groups."""

    @property
    def ids(self) -> Sequence[str]:
        """``[n]`` names of the rows."""

    @property
    def groups(self) -> Groups:
        """``[n]`` group names of the rows, or None."""


def joined_groups(parts: Sequence[Grouped]) -> tuple[str, ...] | None:
    """Return the groups of the rows of all parts; in a part without groups, each row's id names its group."""
    if all(part.groups is None for part in parts):
        return None
    return tuple(name for part in parts for name in (part.ids if part.groups is None else part.groups))


def grouped_fingerprint(fingerprint: str, groups: Groups) -> str:
    """Return the fingerprint of rows together with their groups; it is unchanged if each row is its own group.

    Features do not depend on groups; splits, episodes and intervals do.
    """
    return fingerprint if groups is None else digest_of([fingerprint, list(groups)])


def require_disjoint_groups(parts: Mapping[str, Groups], *, data: str) -> None:
    """Raise an error if two parts contain rows of the same group.

    Args:
        parts: name of each part → groups of its rows.
        data: name of the data set.

    Raises: DataError: if there is such a group; the message names it and both parts.
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

    Groups are assigned greedily, larger ones first and those of similar size in the given order, each to the part
    where it minimises the chi-square distance between the rows present and the rows wanted. If a class has no
    more groups left than parts without it, those parts take precedence, so that a class whose groups contain no
    other class is in every part if it has as many groups as there are parts.

    Shapes: ``n`` rows, ``g`` groups, ``k`` parts, ``c`` classes.

    Args:
        labels: ``[n]``.
        fractions: ``[k]`` fraction of each part; they add up to 1.
        numbers: ``[n]`` number of the group of each row, ``0 … g-1``.
        order: ``[g]`` numbers of the groups in random order.

    Returns: ``[g]`` part of each group.
    """
    classes = np.unique(labels, return_inverse=True)[1]
    pairs, counts = np.unique(np.stack([numbers, classes]), axis=1, return_counts=True)  # sorted by group
    starts = np.searchsorted(pairs[0], np.arange(len(order) + 1)).tolist()
    pair_labels, rows = pairs[1].tolist(), counts.tolist()
    wanted = np.outer(fractions, np.bincount(classes)).tolist()  # rows wanted [k, c]
    present = np.zeros_like(wanted).tolist()  # rows assigned so far [k, c]
    groups_left = np.bincount(pairs[1]).tolist()  # unassigned groups per class [c]
    lacking = [len(fractions)] * len(groups_left)  # number of parts without a row of the class [c]

    def preference(part: int) -> tuple[int, float]:
        """Return minus the number of classes that need this group in this part, and the increase of chi-square."""
        urgent, cost = 0, 0.0
        for i in own:
            label = pair_labels[i]
            urgent += present[part][label] == 0 and groups_left[label] <= lacking[label]
            excess = present[part][label] - wanted[part][label]
            cost += rows[i] * (2 * excess + rows[i]) / wanted[part][label]  # ((excess + rows)² − excess²) / wanted
        return -urgent, cost

    size_class = np.floor(np.log2(np.bincount(numbers)))  # equal for groups of similar size [g]
    part_of = np.empty(len(order), np.int64)
    for group in order[np.argsort(-size_class[order], kind="stable")].tolist():
        own = range(starts[group], starts[group + 1])
        part_of[group] = part = min(range(len(fractions)), key=preference)
        for i in own:
            lacking[pair_labels[i]] -= present[part][pair_labels[i]] == 0
            present[part][pair_labels[i]] += rows[i]
            groups_left[pair_labels[i]] -= 1
    return part_of
