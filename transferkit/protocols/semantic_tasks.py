"""Tasks made by changing images: each takes several views of an image, and asks which one it sees."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..core.features import Features
from ..core.files import digest_of
from ..core.registry import Registry
from ..data.variants import GRID, PLAIN
from ..semantics.target import semantics_digest

MOST_ROWS = 2400
"""Of a split that a task stacks, all views together; of larger splits an even selection takes part."""


@dataclass(frozen=True)
class MidLevelTask:
    """A question about changed images.

    Attributes:
        variants: the views that it takes.
        rows_per_image: stacked rows that it makes of each image.
        stacked: from the features of each view to those of the task, with its targets. All rows of one image
            are one group, so that they are held out together and intervals resample images.
        version: of the definition; every change of a number needs a new one.
    """

    variants: tuple[str, ...]
    rows_per_image: int
    stacked: Callable[[Mapping[str, Features]], Features]
    version: int = 1


TASKS: Registry[MidLevelTask] = Registry("transform")


def definitions_digest() -> str:
    """Changes when a semantic target or task is added, removed, or has a new definition."""
    return digest_of([semantics_digest(), {name: task.version for name, task in TASKS.items()}])


def _rows(views: Mapping[str, Features], pairs: Sequence[tuple[str, ...]], **targets: Any) -> Features:
    """For each of ``pairs`` the features of its views side by side, one stack after another.

    Args:
        views: of the same rows.
        pairs: names of views.
        targets: of each pair, by name.
    """
    first = next(iter(views.values()))
    n, k = len(first), len(pairs)
    blocks = [np.concatenate([np.asarray(views[name].x) for name in pair], axis=1) for pair in pairs]
    return replace(
        first,
        x=np.concatenate(blocks),
        labels=np.concatenate([first.labels] * k),
        ids=[f"{one}@{'+'.join(pair)}" for pair in pairs for one in first.ids],
        groups=tuple(first.ids if first.groups is None else first.groups) * k,
        targets={name: np.repeat(np.asarray(values), n, axis=0) for name, values in targets.items()},
    )


_TURNS = (PLAIN, "rotate:90", "rotate:180", "rotate:270")
TASKS.register("rotation")(
    MidLevelTask(_TURNS, len(_TURNS), lambda views: _rows(views, [(turn,) for turn in _TURNS], rotation=np.arange(4)))
)

_MIDDLE = f"patch:{GRID * GRID // 2}"
_AROUND = tuple(f"patch:{place}" for place in range(GRID * GRID) if f"patch:{place}" != _MIDDLE)
TASKS.register("patch")(
    MidLevelTask(
        (_MIDDLE, *_AROUND),
        len(_AROUND),
        lambda views: _rows(views, [(_MIDDLE, other) for other in _AROUND], patch=np.arange(len(_AROUND))),
    )
)

_DAMAGED = tuple(f"{kind}:{severity}" for kind in ("noise", "blur", "contrast", "jpeg") for severity in (1, 3, 5))
TASKS.register("corruption")(
    MidLevelTask(
        _DAMAGED,
        len(_DAMAGED),
        lambda views: _rows(
            views,
            [(view,) for view in _DAMAGED],
            corruption=np.arange(len(_DAMAGED)) // 3,
            severity=np.tile([[1.0], [3.0], [5.0]], (4, 1)),
        ),
    )
)
