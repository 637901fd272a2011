"""Splits for a set that does not come with all of them, as for ``folder:``.

- train and test, with or without val: as they are.
- train and val: a stratified 20 % of train become test.
- one split alone: a seeded, stratified 60 % train, 20 % val and 20 % test; without labels it is all train.
"""

from collections.abc import Mapping

import numpy as np

from ..core.errors import DataError
from ..core.seeding import generator
from ..core.splitting import stratified_split
from .dataset import Split
from .folder import THREE_WAYS, TWO_WAYS
from .parts import chosen_rows
from .scanning import UNLABELLED

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
    index = stratified_split(source.labels, tuple(ways.values()), rng=generator(seed, draw, "split"))
    cut = {name: chosen_rows(source, rows, name=name) for name, rows in zip(ways, index, strict=True)}
    whole = {**splits, **cut} if len(splits) > 1 else cut
    return {name: whole[name] for name in ORDER if name in whole}


def _require_each_class(split: Split, *, fewest: int) -> None:
    counts = np.bincount(split.labels, minlength=len(split.classes))
    if (counts < fewest).any():
        few = int(counts.argmin())
        raise DataError(
            f"{split.dataset} comes without test, and its class {split.classes[few]!r} has {counts[few]} "
            f"images, too few to be divided: each needs {fewest} or more. Add images, or bring a test split."
        )
