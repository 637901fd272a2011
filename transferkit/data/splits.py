"""Splits for data sets that lack some of them, as for ``folder:``.

- train and test, with or without val: unchanged.
- train and val: a stratified 20 % of train become test.
- one split: a seeded, stratified 60 % train, 20 % val and 20 % test; without labels all images are train.

All rows of a group are in one split.
"""

from collections.abc import Mapping

import numpy as np

from ..core.errors import DataError
from ..core.groups import groups_per_class
from ..core.seeding import generator
from ..core.splitting import stratified_split
from ..core.wording import counted
from .dataset import Split
from .folder import THREE_WAYS, TWO_WAYS
from .scanning import UNLABELLED
from .subset import chosen_rows

ORDER = ("train", "val", "test")


def add_missing_splits(splits: Mapping[str, Split], *, seed: int, draw: str) -> dict[str, Split]:
    """Add missing splits, which are drawn from the first of ``splits``.

    Args:
        splits: One or more splits by name, all with the same classes.
        seed: Seed of the division.
        draw: Name of the random stream, so that kinds of data sets draw independently.

    Raises: DataError: If a class has too few images to be divided.
    """
    first = next(iter(splits.values()))
    if len(splits) == 1 and first.classes == (UNLABELLED,):
        return {"train": chosen_rows(first, np.arange(len(first)), name="train")}
    if "train" in splits and "test" in splits:
        return {name: splits[name] for name in ORDER if name in splits}
    fractions = THREE_WAYS if len(splits) == 1 else TWO_WAYS
    source = splits.get("train", first)
    _require_each_class(source, fewest=len(fractions))
    index = stratified_split(
        source.labels, tuple(fractions.values()), rng=generator(seed, draw, "split"), groups=source.groups
    )
    drawn = {name: chosen_rows(source, rows, name=name) for name, rows in zip(fractions, index, strict=True)}
    for part in drawn.values():
        _require_rows_of_each_class(part)
    complete = {**splits, **drawn} if len(splits) > 1 else drawn
    return {name: complete[name] for name in ORDER if name in complete}


def _require_each_class(split: Split, *, fewest: int) -> None:
    counts = np.bincount(split.labels, minlength=len(split.classes))
    groups = groups_per_class(split.labels, split.groups, len(split.classes))
    if (groups < fewest).any():
        few = int(groups.argmin())
        images, remedy = counted(int(counts[few]), "image"), "Add images"
        if split.groups is not None:
            images, remedy = f"{images} in {counted(int(groups[few]), 'group')}", "Add images of other groups"
        raise DataError(
            f"{split.dataset} has no test split, and its class {split.classes[few]!r} has {images}, too few "
            f"to be divided: each class needs {fewest} or more{'' if split.groups is None else ' groups'}. "
            f"{remedy}, or provide a test split."
        )


def _require_rows_of_each_class(split: Split) -> None:
    """Raise a DataError for a split without a class, which groups of several classes can cause."""
    counts = np.bincount(split.labels, minlength=len(split.classes))
    if not counts.all():
        missing = split.classes[int(counts.argmin())]
        raise DataError(
            f"{split.dataset} has no test split, and its groups cannot be divided so that every class is in "
            f"every split: {split.name} would have no image of {missing!r}. Use smaller groups, or provide a "
            "test split."
        )
