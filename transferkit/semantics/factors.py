"""What was chosen when an image was drawn, as targets beside those that are read off its pixels."""

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

PREFIX = "factor:"
"""Begins the names of such targets: a measured one may be called the same."""

PERIODS = {"rotation": math.tau, "light_direction": math.tau, "bearing": math.tau, "hue": 1.0}
"""Factors that are angles, and what a whole turn is in their unit."""

MOST_CATEGORIES = 64
"""Whole numbers up to here are categories; larger ones number the originals that images were drawn from."""

Factors = Mapping[str, NDArray]


def factor_targets(splits: Mapping[str, Factors]) -> dict[str, dict[str, NDArray]]:
    """Targets of each split's rows: numbers ``[n, k]``, angles as (cos, sin) ``[n, 2]``, categories ``[n]``.

    Left out is what tells where an image comes from and not what it shows: boxes in an original, and its
    number.

    Args:
        splits: by name, the factors ``[n]`` or ``[n, k]`` of all its rows; the same in every split.
    """
    found: dict[str, dict[str, NDArray]] = {name: {} for name in splits}
    for factor in next(iter(splits.values()), {}):
        values = {split: np.asarray(factors[factor]) for split, factors in splits.items()}
        whole = all(column.dtype.kind in "iub" for column in values.values())
        if whole and any(c.ndim > 1 or c.max(initial=0) >= MOST_CATEGORIES for c in values.values()):
            continue
        for split, column in values.items():
            found[split][PREFIX + factor] = _target(factor, column, whole=whole)
    return found


def _target(factor: str, values: NDArray, *, whole: bool) -> NDArray:
    if factor in PERIODS:
        angle = values * (math.tau / PERIODS[factor])
        return np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
    if whole:
        return values.astype(np.int64)
    return values.reshape(len(values), -1).astype(np.float32)
