"""Correlation of a measured target with a recorded factor of synthetic images."""

import math

import numpy as np
from numpy.typing import ArrayLike

from ..core.errors import ShapeError


def agreement(estimated: ArrayLike, factor: ArrayLike, *, period: float | None = None) -> float:
    """Compute the correlation of a target with a recorded factor of synthetic images, −1 … 1.

    This is Pearson's coefficient; for angles that of Fisher and Lee [1], which is invariant to rotations of either.
    It is 0 if one of them is constant.

    Args:
        estimated: ``[n]`` or ``[n, 1]``; with a period ``[n, 2]``, points on the circle. Rows of (0, 0)
            have no angle and are ignored.
        factor: ``[n]``; with a period, angles in the unit of the period.
        period: period of the factor: 1 for a hue in turns, 2π for a direction in radians.

    Raises: ShapeError: if the shapes do not match, or fewer than two rows remain.

    [1] Fisher & Lee, A correlation coefficient for circular data, Biometrika 1983, equation 2.
    """
    values, truth = np.asarray(estimated, np.float64), np.asarray(factor, np.float64)
    columns = 1 if period is None else 2
    if period is None and values.ndim == 1:
        values = values[:, None]
    if truth.ndim != 1 or values.shape != (len(truth), columns):
        raise ShapeError(
            f"Estimates {list(values.shape)} and a factor {list(truth.shape)} do not match: "
            f"give [n, {columns}] and [n]."
        )
    known = values.any(axis=1) if period is not None else np.ones(len(truth), bool)
    if known.sum() < 2:
        raise ShapeError(f"A correlation needs two rows or more, not {known.sum()}.")
    if period is None:
        return _pearson(values[:, 0], truth)
    return _fisher_lee(np.arctan2(values[known, 1], values[known, 0]), truth[known] * (math.tau / period))


def _pearson(x: np.ndarray, y: np.ndarray) -> float:
    x, y = x - x.mean(), y - y.mean()
    return _quotient(float(x @ y), float(x @ x), float(y @ y), scale=len(x))


def _fisher_lee(a: np.ndarray, b: np.ndarray) -> float:
    """Compute Fisher and Lee's circular correlation from sums over rows.

    It is ``Σ sin(a_i − a_j) sin(b_i − b_j) / √(Σ sin²(a_i − a_j) Σ sin²(b_i − b_j))`` over pairs.
    """
    product = np.cos(a) @ np.cos(b) * (np.sin(a) @ np.sin(b)) - np.cos(a) @ np.sin(b) * (np.sin(a) @ np.cos(b))
    spread = [len(x) ** 2 - abs(np.exp(2j * x).sum()) ** 2 for x in (a, b)]
    return _quotient(4 * float(product), *spread, scale=len(a) ** 2)


def _quotient(product: float, first: float, second: float, *, scale: float) -> float:
    """Compute ``product / √(first · second)``; 0 if a factor is 0 up to rounding."""
    if min(first, second) <= 1e-12 * scale:
        return 0.0
    return product / math.sqrt(first * second)
