"""Tasks of transformed images: predict which of several transformations was applied to an image."""

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
"""Maximum number of rows per split in a task, over all variants; larger splits are subsampled evenly."""


@dataclass(frozen=True)
class MidLevelTask:
    """A task of transformed images.

    Attributes:
        variants: variants of the images that the task uses.
        rows_per_image: number of rows per image.
        stack: function from the features of each variant to those of the task, with its targets. All rows of
            an image form one group, so that they are held out together and intervals resample images.
        variants_per_row: number of variants whose features are concatenated in a row.
        version: version of the definition; each change of results needs a new one.
    """

    variants: tuple[str, ...]
    rows_per_image: int
    stack: Callable[[Mapping[str, Features]], Features]
    variants_per_row: int = 1
    version: int = 1


TASKS: Registry[MidLevelTask] = Registry("transform")


def definitions_digest() -> str:
    """Return a digest that changes if a semantic target or task is added, removed or redefined."""
    return digest_of([semantics_digest(), {name: task.version for name, task in TASKS.items()}])


def _rows(views: Mapping[str, Features], pairs: Sequence[tuple[str, ...]], **targets: Any) -> Features:
    """Concatenate the features of the variants of each tuple in ``pairs``, and stack the tuples.

    Args:
        views: features of the same rows by variant.
        pairs: tuples of names of variants.
        targets: targets of each tuple, by name.
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


_ROTATIONS = (PLAIN, "rotate:90", "rotate:180", "rotate:270")
TASKS.register("rotation")(
    MidLevelTask(
        _ROTATIONS,
        len(_ROTATIONS),
        lambda views: _rows(views, [(rotation,) for rotation in _ROTATIONS], rotation=np.arange(4)),
    )
)

_CENTRE = f"patch:{GRID * GRID // 2}"
_NEIGHBOURS = tuple(f"patch:{index}" for index in range(GRID * GRID) if f"patch:{index}" != _CENTRE)
TASKS.register("patch")(
    MidLevelTask(
        (_CENTRE, *_NEIGHBOURS),
        len(_NEIGHBOURS),
        lambda views: _rows(views, [(_CENTRE, other) for other in _NEIGHBOURS], patch=np.arange(len(_NEIGHBOURS))),
        variants_per_row=2,
    )
)

_CORRUPTIONS = tuple(f"{kind}:{severity}" for kind in ("noise", "blur", "contrast", "jpeg") for severity in (1, 3, 5))
TASKS.register("corruption")(
    MidLevelTask(
        _CORRUPTIONS,
        len(_CORRUPTIONS),
        lambda views: _rows(
            views,
            [(view,) for view in _CORRUPTIONS],
            corruption=np.arange(len(_CORRUPTIONS)) // 3,
            severity=np.tile([[1.0], [3.0], [5.0]], (4, 1)),
        ),
    )
)
