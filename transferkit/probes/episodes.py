"""Few-shot episodes: drawn once, kept as a file, replayed for every model and layer.

Everything is drawn by name. An episode's classes and a class's rows have generators of their own, so that
one more episode changes no other; and queries come before supports, so that 1-shot, 5-shot and
20-shot ask the same queries and each support is part of the next. With groups of rows, the groups of a class
are divided first, and queries and supports come from different ones.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DamagedError, DataError, UsageError
from ..core.files import digest_of, write_json
from ..core.seeding import generator
from ..core.wording import counted
from .sides import can_be_divided, divide

Indices = NDArray[np.int64]

ATTEMPTS = 20
"""How often groups of several classes are divided before an episode is given up."""


@dataclass(frozen=True)
class Shape:
    """What an episode looks like, and how many there are.

    Attributes:
        ways: classes an episode.
        shots: labelled rows a class.
        queries: rows a class whose class is asked.
        episodes: how many.
    """

    ways: int
    shots: int
    queries: int
    episodes: int

    def __post_init__(self) -> None:
        for name, value, least in (
            ("ways", self.ways, 2),
            ("shots", self.shots, 1),
            ("queries", self.queries, 1),
            ("episodes", self.episodes, 1),
        ):
            if value < least:
                raise UsageError(f"--{name} {value} is too few: give {least} or more.")


@dataclass(frozen=True, eq=False)
class Episodes:
    """``e`` episodes over named rows; places in an episode are ``ways``, then ``shots`` or ``queries``.

    Attributes:
        shape: what they look like.
        seed: they were drawn with.
        names: ``[n]`` of all rows they were drawn from, sorted.
        classes: ``[e, ways]`` labels.
        support: ``[e, ways, shots]`` indices into ``names``.
        query: ``[e, ways, queries]`` indices into ``names``.
        left_out: classes with too few rows to take part.
    """

    shape: Shape
    seed: int
    names: tuple[str, ...]
    classes: Indices
    support: Indices
    query: Indices
    left_out: int

    def to_json(self) -> dict[str, Any]:
        """Plain values, one object an episode."""
        return {
            **vars(self.shape),
            "seed": self.seed,
            "left_out": self.left_out,
            "names": list(self.names),
            "drawn": [
                {"classes": c.tolist(), "support": s.tolist(), "query": q.tolist()}
                for c, s, q in zip(self.classes, self.support, self.query, strict=True)
            ],
        }

    @cached_property
    def digest(self) -> str:
        """Hex digest of all of it, 64 characters."""
        return digest_of(self.to_json())

    def save(self, path: Path) -> None:
        """Write them as JSON, whole or not at all."""
        write_json(path, {"digest": self.digest, **self.to_json()})

    @classmethod
    def load(cls, path: Path) -> "Episodes":
        """Read what ``save`` wrote.

        Raises: DamagedError: if the file is not what was written.
        """
        try:
            kept = json.loads(path.read_text(encoding="utf-8"))
            loaded = cls._of(kept)
            sound = loaded.digest == kept["digest"]
        except (KeyError, TypeError, ValueError, UsageError) as error:
            raise DamagedError(f"{path} holds no episodes ({error!r}). Delete it; they are drawn anew.") from error
        if not sound:
            raise DamagedError(f"{path} is not as it was written. Delete it; its episodes are drawn anew.")
        return loaded

    @classmethod
    def _of(cls, kept: dict[str, Any]) -> "Episodes":
        shape = Shape(**{name: kept[name] for name in ("ways", "shots", "queries", "episodes")})
        classes, support, query = (
            np.array([episode[name] for episode in kept["drawn"]], dtype=np.int64)
            for name in ("classes", "support", "query")
        )
        return cls(shape, kept["seed"], tuple(kept["names"]), classes, support, query, kept["left_out"])

    def rows(self, names: Sequence[str]) -> tuple[Indices, Indices]:
        """Support and query as row numbers of features whose rows are called ``names``, in any order.

        Raises: DataError: if a row that takes part is not there.
        """
        row_of = {name: row for row, name in enumerate(names)}
        where = np.array([row_of.get(name, -1) for name in self.names])
        support, query = where[self.support], where[self.query]
        if min(support.min(), query.min()) < 0:
            missing = next(name for name, row in zip(self.names, where, strict=True) if row < 0)
            raise DataError(
                f"These episodes were drawn from other rows: {missing!r} is not among the {len(names)} here. "
                "Draw episodes for this data set."
            )
        return support, query


def draw_episodes(
    labels: NDArray[np.integer],
    names: Sequence[str],
    shape: Shape,
    *,
    seed: int,
    groups: Sequence[str] | None = None,
) -> Episodes:
    """Episodes over all classes with enough rows; the order of the rows does not matter.

    Args:
        labels: ``[n]``.
        names: ``[n]``, unique.
        shape: of the episodes.
        seed: of every draw.
        groups: ``[n]`` names of groups; support and query rows of an episode never share one. None where
            each row is its own group.

    Raises: DataError: if names repeat, or fewer than ``ways`` classes have ``shots + queries`` rows, in
        groups that can be divided.
    """
    order = sorted(range(len(names)), key=names.__getitem__)
    ordered = tuple(names[row] for row in order)
    _require_unique(ordered)
    sorted_labels = np.asarray(labels)[order]
    rows_of = {label: np.flatnonzero(sorted_labels == label) for label in np.unique(sorted_labels).tolist()}
    kinds = None if groups is None else np.unique(groups, return_inverse=True)[1][order]
    eligible = eligible_classes(sorted_labels, shape, kinds)
    _require_ways(eligible, rows_of, shape, kinds)
    classes = np.array([_draw_classes(rows_of, eligible, shape.ways, seed, e) for e in range(shape.episodes)])
    drawn = np.array([_draw_rows(rows_of, row, shape, (seed, e), kinds) for e, row in enumerate(classes.tolist())])
    query, support = drawn[..., : shape.queries], drawn[..., shape.queries :]  # of [e, ways, queries + shots]
    return Episodes(shape, seed, ordered, classes, support, query, len(rows_of) - len(eligible))


def eligible_classes(
    labels: NDArray[np.integer], shape: Shape, groups: Sequence[str] | Indices | None = None
) -> set[int]:
    """The classes that have rows for an episode.

    Args:
        labels: ``[n]``.
        shape: of the episodes.
        groups: ``[n]``; with them, a class must have queries and shots in different groups.
    """
    needed = shape.shots + shape.queries
    found, counts = np.unique(labels, return_counts=True)
    enough = set(found[counts >= needed].tolist())
    if groups is None:
        return enough
    kinds = np.unique(groups, return_inverse=True)[1]
    sizes = {label: np.unique(kinds[labels == label], return_counts=True)[1].tolist() for label in enough}
    return {label for label in enough if can_be_divided(sizes[label], shape.queries, shape.shots)}


def _require_unique(ordered: tuple[str, ...]) -> None:
    twice = [a for a, b in pairwise(ordered) if a == b]
    if twice:
        raise DataError(f"Episodes need rows of different names, but {twice[0]!r} stands there twice.")


def _require_ways(eligible: set[int], rows_of: dict[int, Indices], shape: Shape, groups: Indices | None) -> None:
    if len(eligible) >= shape.ways:
        return
    needed = shape.shots + shape.queries
    episodes = (
        f"{shape.ways}-way episodes of {counted(shape.shots, 'shot')} and {counted(shape.queries, 'query', 'queries')}"
    )
    asked = f"{episodes} need {shape.ways} classes"
    if groups is None:
        raise DataError(
            f"{asked} of at least {needed} rows; {len(eligible)} of {len(rows_of)} have them. "
            "Ask for fewer --ways, --shots or --queries."
        )
    raise DataError(
        f"{asked} with so many rows in different groups, as no group may be in the support and in the "
        f"queries of one episode; {len(eligible)} of {len(rows_of)} have them. Ask for fewer --ways, --shots "
        f"or --queries{_possible(rows_of, shape, groups)}."
    )


def _possible(rows_of: dict[int, Indices], shape: Shape, groups: Indices) -> str:
    """Shots and queries that groups allow: as many queries as possible, and then as many shots.

    No numbers where a group has rows of several classes: what each class allows, an episode may not.
    """
    if len(np.unique(groups)) < sum(len(np.unique(groups[rows])) for rows in rows_of.values()):
        return ", or give the classes more groups"
    sizes = [np.unique(groups[rows], return_counts=True)[1].tolist() for rows in rows_of.values()]
    ways = min(shape.ways, sum(len(one) > 1 for one in sizes))
    for queries in range(shape.queries, 0, -1):
        for shots in range(shape.shots, 0, -1):
            if ways > 1 and sum(can_be_divided(one, queries, shots) for one in sizes) >= ways:
                return f": --ways {ways} --shots {shots} --queries {queries} would do"
    return ", or give the classes more groups"


def _draw_classes(rows_of: dict[int, Indices], eligible: set[int], ways: int, seed: int, e: int) -> list[int]:
    """The first ``ways`` eligible classes of a shuffle of all, so that episodes of other shots agree."""
    order = shuffled(np.array(list(rows_of)), seed, "classes", e).tolist()
    return [label for label in order if label in eligible][:ways]


def _draw_rows(
    rows_of: dict[int, Indices], classes: list[int], shape: Shape, at: tuple[int, int], groups: Indices | None
) -> list[Indices]:
    """Rows of an episode's classes, ``[ways, queries + shots]``.

    Args:
        rows_of: all rows of each class.
        classes: of the episode.
        shape: of the episode.
        at: seed, and the number of the episode.
        groups: ``[n]`` of all rows, or None.

    Raises: DataError: if groups with rows of several classes leave no way to divide them.
    """
    seed, e = at
    orders = [shuffled(rows_of[label], seed, "rows", e, label) for label in classes]
    if groups is None:
        return [order[: shape.queries + shape.shots] for order in orders]
    asked = _query_groups(orders, groups, shape, (seed, "groups", e))
    return [
        np.append(order[asked[groups[order]]][: shape.queries], order[~asked[groups[order]]][: shape.shots])
        for order in orders
    ]


def _query_groups(
    orders: list[Indices], groups: Indices, shape: Shape, named: tuple[int, str, int]
) -> NDArray[np.bool_]:
    """Which groups may be queries of an episode, ``[g]``; all others of its classes may be support.

    Groups of several classes are on the same side in all of them. A division that fails is tried again in
    another random order.
    """
    for attempt in range(ATTEMPTS):
        sides: dict[int, bool] = {}
        for way, order in enumerate(orders):
            sizes = np.bincount(groups[order])
            order_of_groups = shuffled(np.flatnonzero(sizes), *named, way, attempt).tolist()
            known = divide({group: int(sizes[group]) for group in order_of_groups}, shape.queries, shape.shots, sides)
            if known is None:
                break
            sides |= known
        else:
            return np.array([sides.get(group, False) for group in range(int(groups.max()) + 1)])
    raise DataError(
        f"Episode {named[2]} cannot be drawn: in {ATTEMPTS} divisions, groups with rows of several classes "
        f"left a class fewer than {counted(shape.queries, 'query', 'queries')} or "
        f"{counted(shape.shots, 'shot')} in groups of their own. Ask for fewer --ways, --shots or --queries."
    )


def shuffled(values: Indices, seed: int, *labels: str | int) -> Indices:
    """The values in an order that ``seed`` and ``labels`` name.

    It is made from the raw output of the bit generator, which NumPy keeps the same across versions.
    """
    keys = generator(seed, "fewshot", *labels).bit_generator.random_raw(len(values))
    return values[np.argsort(keys, kind="stable")]


def episodes_for(
    folder: Path | None,
    labels: NDArray[np.integer],
    names: Sequence[str],
    shape: Shape,
    *,
    seed: int,
    groups: Sequence[str] | None = None,
) -> Episodes:
    """The episodes of these rows: read from ``folder`` if they were drawn before, else drawn and kept there.

    Without a folder they are drawn in memory; they are the same.
    """
    if folder is None:
        return draw_episodes(labels, names, shape, seed=seed, groups=groups)
    columns = (names, np.asarray(labels).tolist()) if groups is None else (names, labels.tolist(), groups)
    rows = sorted(zip(*columns, strict=True))
    path = folder / f"{digest_of({'rows': rows, 'seed': seed, **vars(shape)})[:32]}.json"
    if path.exists():
        return Episodes.load(path)
    episodes = draw_episodes(labels, names, shape, seed=seed, groups=groups)
    episodes.save(path)
    return episodes
