"""Episodes of random halves of the images: what the interval of few-shot accuracy is made of.

The images of each class are divided at random into two halves, many times; groups of images stay whole. Each
half has episodes of its own, and no image of the other half is in them. Everything is drawn from generators
that are named by the seed and the halving, over rows in the order of their names: all models get the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..core.seeding import generator
from .episodes import Indices, Shape

HALVINGS = 25
"""How often the images are divided into two halves."""

EPISODES = 30
"""Episodes of one batch. Each half has two batches: their difference says what the draw contributes."""

QUERIES = 40
"""Most query rows per class in an episode of a half. More queries make the mean of a half more precise and
leave its expectation as it is."""


@dataclass(frozen=True, eq=False)
class Halves:
    """Episodes of both halves of each halving: ``b`` halvings, two batches of ``m`` episodes per half.

    Attributes:
        support: ``[b, 2, 2, m, ways, shots]`` row numbers; axes 1 and 2 are half and batch.
        query: ``[b, 2, 2, m, ways, queries]`` row numbers; a class with fewer has some of them repeatedly.
    """

    support: Indices
    query: Indices

    @property
    def shots(self) -> int:
        """Support rows per class: fewer than in episodes of all rows where half of a class has too few."""
        return int(self.support.shape[-1])

    @property
    def answers(self) -> int:
        """Answers of one batch: episodes x ways x queries."""
        return int(np.prod(self.query.shape[3:]))


def draw_halves(
    labels: NDArray[np.integer],
    names: Sequence[str],
    shape: Shape,
    *,
    seed: int,
    groups: Sequence[str] | None = None,
) -> Halves | None:
    """Divide the rows into halves, and draw episodes of each half.

    Without groups, a half has its rows of each class in a random order: an episode takes the next ``shots``
    of them as support and asks those that follow. With groups, each half is divided into two parts again:
    every other episode takes its support from the first part and its queries from the second, the others the
    reverse.

    Args:
        labels: ``[n]`` of the classes that take part, and of no others.
        names: ``[n]``, unique.
        shape: of the episodes of all rows.
        seed: of every draw.
        groups: ``[n]`` names of groups that stay whole; None where each row is its own group.

    Returns: None if a class has fewer than 4 rows, or too few groups to have rows in all four parts.
    """
    order = np.array(sorted(range(len(names)), key=names.__getitem__))
    units = np.arange(len(names)) if groups is None else np.unique(groups, return_inverse=True)[1][order]
    pool = _Pool(np.unique(np.asarray(labels)[order], return_inverse=True)[1], units, 2 if groups is None else 4)
    if np.bincount(pool.labels).min() < 4:
        return None
    size = _size(pool, shape)
    supports, queries = [], []
    for b in range(HALVINGS):
        rng = generator(seed, "fewshot", "halves", b)
        if (part := _parts(pool, rng)) is None:
            return None
        for half in (0, 1):
            parts = [half] if groups is None else [2 * half, 2 * half + 1]
            for _batch in (0, 1):
                support, query = _draw_batch(pool, [part == one for one in parts], size, rng)
                supports.append(order[support])
                queries.append(order[query])
    both = (np.stack(one).reshape(HALVINGS, 2, 2, *one[0].shape) for one in (supports, queries))
    return Halves(*both)


@dataclass(frozen=True, eq=False)
class _Pool:
    """Rows in the order of their names.

    Attributes:
        labels: ``[n]`` integers ``0 … c-1``, each of which occurs.
        units: ``[n]`` numbers of what is dealt as a whole: rows or groups.
        parts: into how many parts they are dealt.
    """

    labels: Indices
    units: Indices
    parts: int

    @cached_property
    def unit_labels(self) -> Indices:
        """``[u]`` the class of each unit: that of its first row."""
        return self.labels[np.unique(self.units, return_index=True)[1]]


def _size(pool: _Pool, shape: Shape) -> Shape:
    """What an episode of a half looks like: a part of the smallest class keeps rows for its queries."""
    rows = np.bincount(pool.labels)
    smallest, largest = int(rows.min()), int(rows.max())
    room = smallest // 2 * 3 // 4 if pool.parts == 2 else smallest // 4
    shots = max(1, min(shape.shots, room))
    return Shape(shape.ways, shots, max(1, min(QUERIES, -(-largest // 2) - shots)), EPISODES)


def _raw(rng: np.random.Generator, *shape: int) -> NDArray[np.uint64]:
    """Random sorting keys, from the raw output that NumPy keeps the same across versions."""
    return np.asarray(rng.bit_generator.random_raw(int(np.prod(shape)))).reshape(shape)


def _parts(pool: _Pool, rng: np.random.Generator) -> Indices | None:
    """Deal the units of each class to the parts in turn, in a random order.

    Returns: ``[n]`` the part of each row; None if ten deals leave some class without a row in some part, as
        may happen where groups have rows of several classes.
    """
    counts = np.bincount(pool.unit_labels, minlength=int(pool.labels.max()) + 1)
    starts = np.cumsum(counts) - counts
    for _ in range(10):
        dealt = np.lexsort((_raw(rng, len(pool.unit_labels)), pool.unit_labels))
        part_of_unit = np.empty(len(dealt), dtype=np.int64)
        part_of_unit[dealt] = (np.arange(len(dealt)) - np.repeat(starts, counts)) % pool.parts
        part = part_of_unit[pool.units]
        if len(np.unique(pool.labels * pool.parts + part)) == len(counts) * pool.parts:
            return part
    return None


def _draw_batch(
    pool: _Pool, inside: Sequence[NDArray[np.bool_]], size: Shape, rng: np.random.Generator
) -> tuple[Indices, Indices]:
    """Support ``[m, ways, shots]`` and query ``[m, ways, queries]`` of one batch of episodes of a half.

    Args:
        pool: all rows.
        inside: ``[n]`` which rows are in the half; of two parts, which are in each.
        size: of the episodes.
        rng: where the draws come from.
    """
    classes = _balanced_classes(int(pool.labels.max()) + 1, size, rng)  # [m, ways]
    support = np.empty((*classes.shape, size.shots), dtype=np.int64)
    query = np.empty((*classes.shape, size.queries), dtype=np.int64)
    for label in np.unique(classes).tolist():
        rows = [np.flatnonzero((pool.labels == label) & part) for part in inside]
        e, way = np.nonzero(classes == label)
        for turn in range(len(rows)):
            now = e % len(rows) == turn
            where = (e[now], way[now])
            support[where], rest = _in_turn(rows[turn], int(now.sum()), size.shots, rng)
            if len(rows) > 1:
                rest = _in_turn(rows[1 - turn], int(now.sum()), size.queries, rng)[0]
            query[where] = rest[:, np.arange(size.queries) % rest.shape[1]]
    return support, query


def _balanced_classes(count: int, size: Shape, rng: np.random.Generator) -> Indices:
    """Classes of each episode ``[m, ways]``: a random order of all is cut into episodes, again and again."""
    each = count // size.ways  # episodes of one order
    orders = _raw(rng, -(-size.episodes // each), count).argsort(axis=1, kind="stable")
    return orders[:, : each * size.ways].reshape(-1, size.ways)[: size.episodes]


def _in_turn(rows: Indices, times: int, count: int, rng: np.random.Generator) -> tuple[Indices, Indices]:
    """Take ``count`` rows, so many times; rows repeat only after all others were taken.

    Returns: those taken ``[times, count]``, and all others ``[times, len(rows) - count]`` in a random order.
    """
    h = len(rows)
    each = max(1, h // count)  # windows of one order
    orders = rows[_raw(rng, -(-times // each), h).argsort(axis=1, kind="stable")]
    turn = np.arange(times)
    places = (turn % each * count)[:, None] + np.arange(max(h, count))
    drawn = orders[(turn // each)[:, None], places % h]
    return drawn[:, :count], drawn[:, count:]
