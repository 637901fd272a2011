"""Few-shot episodes: drawn once, stored in a file, and reused for every model and layer.

All draws depend on names. The classes of an episode and the rows of a class have separate generators, so one
more episode changes no other. Queries are drawn before supports, so 1-shot, 5-shot and 20-shot episodes have
the same queries, and each support set is part of the next. With groups of rows, the groups of a class are
divided first, and queries and supports come from different groups.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DamagedError, DataError, UsageError
from ..core.files import digest_of, write_json
from ..core.seeding import generator
from ..core.settings import Limits, PositiveInt, Settings
from ..core.wording import counted
from .group_division import can_be_divided, divide

Indices = NDArray[np.int64]

ATTEMPTS = 20
"""Number of attempts to divide groups of several classes before an episode is given up."""


Ways = Annotated[int, Limits(2)]
"""Number of classes per episode."""


@dataclass(frozen=True)
class Shape(Settings):
    """Sizes of an episode, and the number of episodes.

    Attributes:
        ways: Classes per episode.
        shots: Support rows per class.
        queries: Query rows per class.
        episodes: Number of episodes.
    """

    ways: Ways
    shots: PositiveInt
    queries: PositiveInt
    episodes: PositiveInt


@dataclass(frozen=True, eq=False)
class Episodes:
    """``e`` episodes over named rows.

    Attributes:
        shape: sizes of the episodes.
        seed: seed of the draws.
        names: ``[n]``, sorted names of all rows.
        classes: ``[e, ways]``, labels.
        support: ``[e, ways, shots]``, indices into ``names``.
        query: ``[e, ways, queries]``, indices into ``names``.
        left_out: number of classes with too few rows.
    """

    shape: Shape
    seed: int
    names: tuple[str, ...]
    classes: Indices
    support: Indices
    query: Indices
    left_out: int

    def to_json(self) -> dict[str, Any]:
        """Return plain values, with one object per episode."""
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
        """Hex digest of the episodes, 64 characters."""
        return digest_of(self.to_json())

    def save(self, path: Path) -> None:
        """Write the episodes as JSON, atomically."""
        write_json(path, {"digest": self.digest, **self.to_json()})

    @classmethod
    def load(cls, path: Path) -> "Episodes":
        """Read episodes that ``save`` wrote.

        Raises: DamagedError: if the file was changed.
        """
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
            loaded = cls._of(value)
            intact = loaded.digest == value["digest"]
        except (KeyError, TypeError, ValueError, UsageError) as error:
            raise DamagedError(
                f"{path} holds no episodes ({error!r}). Delete it; the episodes are drawn again."
            ) from error
        if not intact:
            raise DamagedError(f"{path} is not as it was written. Delete it; its episodes are drawn again.")
        return loaded

    @classmethod
    def _of(cls, value: dict[str, Any]) -> "Episodes":
        shape = Shape(**{name: value[name] for name in ("ways", "shots", "queries", "episodes")})
        classes, support, query = (
            np.array([episode[name] for episode in value["drawn"]], dtype=np.int64)
            for name in ("classes", "support", "query")
        )
        return cls(shape, value["seed"], tuple(value["names"]), classes, support, query, value["left_out"])

    def rows(self, names: Sequence[str]) -> tuple[Indices, Indices]:
        """Return support and query as row numbers of features with rows ``names``, in any order.

        Raises: DataError: if a row of the episodes is missing.
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
    """Draw episodes from all classes with enough rows; the order of the rows does not matter.

    Args:
        labels: ``[n]``.
        names: ``[n]``, unique.
        shape: sizes of the episodes.
        seed: seed of all draws.
        groups: ``[n]`` names of groups; support and query rows of an episode never share one. None if
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
    """Return the classes with enough rows for an episode.

    Args:
        labels: ``[n]``.
        shape: sizes of the episodes.
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
        raise DataError(f"Episodes need rows of different names, but {twice[0]!r} occurs twice. Rename one of them.")


def _require_ways(eligible: set[int], rows_of: dict[int, Indices], shape: Shape, groups: Indices | None) -> None:
    if len(eligible) >= shape.ways:
        return
    needed = shape.shots + shape.queries
    episodes = (
        f"{shape.ways}-way episodes of {counted(shape.shots, 'shot')} and {counted(shape.queries, 'query', 'queries')}"
    )
    needs = f"{episodes} need {shape.ways} classes"
    if groups is None:
        raise DataError(
            f"{needs} of at least {needed} rows; {len(eligible)} of {len(rows_of)} have them. "
            "Use fewer --ways, --shots or --queries."
        )
    raise DataError(
        f"{needs} with so many rows in different groups, as no group may be in the support and in the "
        f"queries of one episode; {len(eligible)} of {len(rows_of)} have them. Use fewer --ways, --shots "
        f"or --queries{_possible(rows_of, shape, groups)}."
    )


def _possible(rows_of: dict[int, Indices], shape: Shape, groups: Indices) -> str:
    """Suggest shots and queries that the groups allow: as many queries as possible, and then as many shots.

    There is no suggestion if a group has rows of several classes, because a division of each class may then not
    be a division of the episode.
    """
    if len(np.unique(groups)) < sum(len(np.unique(groups[rows])) for rows in rows_of.values()):
        return ", or give the classes more groups"
    sizes = [np.unique(groups[rows], return_counts=True)[1].tolist() for rows in rows_of.values()]
    ways = min(shape.ways, sum(len(one) > 1 for one in sizes))
    for queries in range(shape.queries, 0, -1):
        for shots in range(shape.shots, 0, -1):
            if ways > 1 and sum(can_be_divided(one, queries, shots) for one in sizes) >= ways:
                return f": --ways {ways} --shots {shots} --queries {queries} is possible"
    return ", or give the classes more groups"


def _draw_classes(rows_of: dict[int, Indices], eligible: set[int], ways: int, seed: int, e: int) -> list[int]:
    """Return the first ``ways`` eligible classes in a shuffle of all, which is the same for all shots."""
    order = shuffled(np.array(list(rows_of)), seed, "classes", e).tolist()
    return [label for label in order if label in eligible][:ways]


def _draw_rows(
    rows_of: dict[int, Indices], classes: list[int], shape: Shape, at: tuple[int, int], groups: Indices | None
) -> list[Indices]:
    """Draw the rows of an episode, ``[ways, queries + shots]``.

    Args:
        rows_of: all rows of each class.
        classes: classes of the episode.
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
    """Return a mask ``[g]`` of the groups for queries of an episode; its remaining groups are for support.

    A group with several classes is on the same side in all of them. A division that fails is repeated in
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
        f"{counted(shape.shots, 'shot')} in groups of their own. Use fewer --ways, --shots or --queries."
    )


def shuffled(values: Indices, seed: int, *labels: str | int) -> Indices:
    """Shuffle the values in an order that depends on ``seed`` and ``labels``.

    The order is computed from the raw output of the bit generator, which NumPy keeps stable across versions.
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
    """Return the episodes of these rows: read from ``folder`` if they were drawn before, else drawn and stored.

    Without a folder the same episodes are drawn in memory.
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
