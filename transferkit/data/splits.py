"""Splits for a set that does not come with all of them, as for ``folder:``.

- train and test, with or without val: as they are.
- train and val: a stratified 20 % of train become test.
- one split alone: a seeded, stratified 60 % train, 20 % val and 20 % test; without labels it is all train.

Rows of one group are always in one split.
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


def divided(splits: Mapping[str, Split], *, seed: int, draw: str) -> dict[str, Split]:
    """``splits``, and what is cut from the first of them where some are missing.

    Args:
        splits: by name, at least one; all of the same classes.
        seed: of what is drawn.
        draw: names the draw, so that kinds of data sets draw independently.

    Raises: DataError: if a class has too few images to be divided.
    """
    first = next(iter(splits.values()))
    if len(splits) == 1 and first.classes == (UNLABELLED,):
        return {"train": chosen_rows(first, np.arange(len(first)), name="train")}
    if "train" in splits and "test" in splits:
        return {name: splits[name] for name in ORDER if name in splits}
    ways = THREE_WAYS if len(splits) == 1 else TWO_WAYS
    source = splits.get("train", first)
    _require_each_class(source, fewest=len(ways))
    index = stratified_split(
        source.labels, tuple(ways.values()), rng=generator(seed, draw, "split"), groups=source.groups
    )
    cut = {name: chosen_rows(source, rows, name=name) for name, rows in zip(ways, index, strict=True)}
    for part in cut.values():
        _require_rows_of_each_class(part)
    whole = {**splits, **cut} if len(splits) > 1 else cut
    return {name: whole[name] for name in ORDER if name in whole}


def _require_each_class(split: Split, *, fewest: int) -> None:
    counts = np.bincount(split.labels, minlength=len(split.classes))
    groups = groups_per_class(split.labels, split.groups, len(split.classes))
    if (groups < fewest).any():
        few = int(groups.argmin())
        images, remedy = counted(int(counts[few]), "image"), "Add images"
        if split.groups is not None:
            images, remedy = f"{images} in {counted(int(groups[few]), 'group')}", "Add images of other groups"
        raise DataError(
            f"{split.dataset} comes without test, and its class {split.classes[few]!r} has {images}, too few "
            f"to be divided: each class needs {fewest} or more{'' if split.groups is None else ' groups'}. "
            f"{remedy}, or bring a test split."
        )


def _require_rows_of_each_class(split: Split) -> None:
    """Refuse a part that lacks a class because groups with several classes leave no better division."""
    counts = np.bincount(split.labels, minlength=len(split.classes))
    if not counts.all():
        missing = split.classes[int(counts.argmin())]
        raise DataError(
            f"{split.dataset} comes without test, and its groups cannot be divided so that every class is in "
            f"every split: {split.name} would have no image of {missing!r}. Use smaller groups, or bring a "
            "test split."
        )
