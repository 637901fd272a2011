"""What was chosen when an image was drawn, as targets beside those that are read off its pixels."""

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

PREFIX = "factor:"
"""Begins the names of such targets: a measured one may be called the same."""

PERIODS = {"rotation": math.tau, "light_direction": math.tau, "bearing": math.tau, "hue": 1.0}
"""Factors that are angles, and what a whole turn is in their unit."""

ORIGINS = frozenset({"photograph", "box", "sample"})
"""Factors that tell where an image was taken from, and not what it shows."""

Factors = Mapping[str, NDArray]


def factor_targets(splits: Mapping[str, Factors]) -> dict[str, dict[str, NDArray]]:
    """Targets of each split's rows: numbers ``[n, k]``, angles as (cos, sin) ``[n, 2]``, categories ``[n]``.

    Categories are whole numbers, or yes and no. ``ORIGINS`` are left out.

    Args:
        splits: by name, the factors ``[n]`` or ``[n, k]`` of all its rows.
    """
    return {
        split: {PREFIX + name: _target(name, values) for name, values in factors.items() if name not in ORIGINS}
        for split, factors in splits.items()
    }


def _target(factor: str, values: NDArray) -> NDArray:
    if factor in PERIODS:
        angle = values * (math.tau / PERIODS[factor])
        return np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
    if values.ndim == 1 and values.dtype.kind in "iub":
        return values.astype(np.int64)
    return values.reshape(len(values), -1).astype(np.float32)
