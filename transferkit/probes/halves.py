"""Episodes of random halves of the images, from which the interval of few-shot accuracy is computed.

The images of each class are divided at random into two halves, many times; groups of images stay whole. Each
half has its own episodes, which contain no image of the other half. All generators are determined by the seed
and the halving, and rows are sorted by name, so all models get the same episodes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..core.seeding import generator
from .episodes import Indices, Shape

HALVINGS = 25
"""Number of divisions of the images into two halves."""

EPISODES = 30
"""Episodes per batch. Each half has two batches: their difference measures the variance of the draw."""

QUERIES = 40
"""Maximum query rows per class in an episode of a half. More queries make the mean of a half more precise and
do not change its expectation."""


@dataclass(frozen=True, eq=False)
class Halves:
    """Episodes of both halves of each halving: ``b`` halvings, two batches of ``m`` episodes per half.

    Attributes:
        support: ``[b, 2, 2, m, ways, shots]``, row numbers; axes 1 and 2 are half and batch.
        query: ``[b, 2, 2, m, ways, queries]``, row numbers. Rows of a class with fewer rows are repeated; with
            groups of very different sizes, those of the support are too.
    """

    support: Indices
    query: Indices

    @property
    def shots(self) -> int:
        """Support rows per class: fewer than in episodes of all rows if half of a class has too few."""
        return int(self.support.shape[-1])

    @property
    def predictions(self) -> int:
        """Number of predictions per batch: episodes × ways × queries."""
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

    Without groups, the rows of each class of a half are in random order: an episode takes the next ``shots`` of
    them as support and the following rows as queries. With groups, each half is divided into two parts: even
    episodes take their support from the first part and their queries from the second, odd episodes the reverse.

    Args:
        labels: ``[n]``, of the eligible classes only.
        names: ``[n]``, unique.
        shape: sizes of the episodes of all rows.
        seed: seed of all draws.
        groups: ``[n]``, names of groups that are not divided; None if each row is its own group.

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
        labels: ``[n]``, integers ``0 … c-1``, each of which occurs.
        units: ``[n]``, numbers of the rows or groups, which are assigned to one part.
        parts: number of parts.
    """

    labels: Indices
    units: Indices
    parts: int

    @cached_property
    def unit_labels(self) -> Indices:
        """Class of each unit ``[u]``: that of its first row."""
        return self.labels[np.unique(self.units, return_index=True)[1]]


def _size(pool: _Pool, shape: Shape) -> Shape:
    """Return the sizes of an episode of a half; some rows of the smallest class are reserved for queries."""
    rows = np.bincount(pool.labels)
    smallest, largest = int(rows.min()), int(rows.max())
    max_shots = smallest // 2 * 3 // 4 if pool.parts == 2 else smallest // 4
    shots = max(1, min(shape.shots, max_shots))
    return Shape(shape.ways, shots, max(1, min(QUERIES, -(-largest // 2) - shots)), EPISODES)


def _raw(rng: np.random.Generator, *shape: int) -> NDArray[np.uint64]:
    """Draw random sorting keys from the raw output, which NumPy keeps stable across versions."""
    return np.asarray(rng.bit_generator.random_raw(int(np.prod(shape)))).reshape(shape)


def _parts(pool: _Pool, rng: np.random.Generator) -> Indices | None:
    """Assign the units of each class to the parts in turn, in random order.

    Returns: ``[n]``, part of each row; None if, in ten attempts, some class has no row in some part, which can
        happen if groups have rows of several classes.
    """
    counts = np.bincount(pool.unit_labels, minlength=int(pool.labels.max()) + 1)
    starts = np.cumsum(counts) - counts
    for _ in range(10):
        order = np.lexsort((_raw(rng, len(pool.unit_labels)), pool.unit_labels))
        part_of_unit = np.empty(len(order), dtype=np.int64)
        part_of_unit[order] = (np.arange(len(order)) - np.repeat(starts, counts)) % pool.parts
        part = part_of_unit[pool.units]
        if len(np.unique(pool.labels * pool.parts + part)) == len(counts) * pool.parts:
            return part
    return None


def _draw_batch(
    pool: _Pool, inside: Sequence[NDArray[np.bool_]], size: Shape, rng: np.random.Generator
) -> tuple[Indices, Indices]:
    """Draw support ``[m, ways, shots]`` and query ``[m, ways, queries]`` of one batch of episodes of a half.

    Args:
        pool: all rows.
        inside: one mask ``[n]`` of the rows of each part of the half.
        size: sizes of the episodes.
        rng: random generator.
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
    """Draw the classes of each episode ``[m, ways]``: random orders of all classes are cut into episodes."""
    each = count // size.ways  # episodes of one order
    orders = _raw(rng, -(-size.episodes // each), count).argsort(axis=1, kind="stable")
    return orders[:, : each * size.ways].reshape(-1, size.ways)[: size.episodes]


def _in_turn(rows: Indices, times: int, count: int, rng: np.random.Generator) -> tuple[Indices, Indices]:
    """Draw ``count`` rows ``times`` times; rows repeat only after all rows were drawn.

    Returns: drawn rows ``[times, count]``, and the remaining rows ``[times, len(rows) - count]`` in random order.
    """
    h = len(rows)
    each = max(1, h // count)  # windows of one order
    orders = rows[_raw(rng, -(-times // each), h).argsort(axis=1, kind="stable")]
    turn = np.arange(times)
    places = (turn % each * count)[:, None] + np.arange(max(h, count))
    drawn = orders[(turn // each)[:, None], places % h]
    return drawn[:, :count], drawn[:, count:]
