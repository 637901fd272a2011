"""Recorded factors of synthetic images as targets, in addition to targets measured from pixels."""

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

PREFIX = "factor:"
"""Prefix of the names of these targets: a measured target may have the same name."""

PERIODS = {"rotation": math.tau, "light_direction": math.tau, "bearing": math.tau, "hue": 1.0}
"""Factors that are angles, and their period."""

ORIGINS = frozenset({"photograph", "box", "sample"})
"""Factors that identify the source of an image and not its content."""

Factors = Mapping[str, NDArray]


def factor_targets(splits: Mapping[str, Factors]) -> dict[str, dict[str, NDArray]]:
    """Return the targets of each split: numbers ``[n, k]``, angles as (cos, sin) ``[n, 2]``, categories ``[n]``.

    Categories are integers or booleans. ``ORIGINS`` are left out.

    Args:
        splits: factors ``[n]`` or ``[n, k]`` of all rows, by split.
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
