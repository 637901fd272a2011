"""Intervals for the numbers that are reported."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import ShapeError

Z95 = 1.959963984540054  # the standard normal's 97.5 % quantile


@dataclass(frozen=True)
class Interval:
    """A 95 % interval and how it was made."""

    low: float
    high: float
    method: str


def mean_interval(values: ArrayLike) -> Interval:
    """Mean ± 1.96 σ / √n over independent draws, as few-shot papers report it.

    Args:
        values: ``[n]``, n ≥ 1. One value has no spread: its interval is the value itself.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or not len(values):
        raise ShapeError(f"An interval needs a row of at least one value, not shape {values.shape}.")
    mean = float(values.mean())
    half = Z95 * float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    return Interval(mean - half, mean + half, "normal")


def wilson_interval(correct: int, n: int) -> Interval:
    """Wilson's score interval for a proportion [1]; stays inside 0 … 1 also at the ends.

    [1] Wilson, Probable inference, the law of succession, and statistical inference, JASA 1927.
    """
    if not 0 <= correct <= n or n == 0:
        raise ShapeError(f"{correct} of {n} is not a proportion.")
    p, z2 = correct / n, Z95**2
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 / (1 + z2 / n) * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    low = 0.0 if correct == 0 else centre - half  # exactly, not but for rounding
    high = 1.0 if correct == n else centre + half
    return Interval(low, high, "wilson")


def bootstrap_mean_interval(values: NDArray[np.float64], *, draws: int, rng: np.random.Generator) -> Interval:
    """Percentile interval of the mean over rows drawn with replacement.

    Args:
        values: ``[n]``.
        draws: how many resamples.
        rng: where the draws come from.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or not len(values):
        raise ShapeError(f"A bootstrap needs a row of at least one value, not shape {values.shape}.")
    means = np.array([values[rng.integers(len(values), size=len(values))].mean() for _ in range(draws)])
    low, high = np.quantile(means, [0.025, 0.975])
    return Interval(float(low), float(high), f"bootstrap of {draws}")
