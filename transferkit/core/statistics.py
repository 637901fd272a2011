"""Intervals for the numbers that are reported."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import ShapeError

Z95 = 1.959963984540054  # the standard normal's 97.5 % quantile

FEWEST = 5
"""Values from which an interval by Student's t is made: that of fewer is on average more than 1.4 times as
wide as 95 % of their means lie apart."""


FEWEST_RESAMPLED = 6
"""Rows or groups from which an interval is read from percentiles of a bootstrap: of five, even the outermost
draws hold the truth in 90 % of cases, of two in 49 %."""


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


def t_interval(values: ArrayLike) -> Interval:
    """Mean ± t s / √n by Student's t, for a few independent draws of about the same spread.

    Args:
        values: ``[n]``, n ≥ 2.

    Raises: ShapeError: if there are fewer than two values.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or len(values) < 2:
        raise ShapeError(f"Student's t needs a row of at least two values, not shape {values.shape}.")
    half = t_quantile(len(values) - 1) * float(values.std(ddof=1)) / math.sqrt(len(values))
    mean = float(values.mean())
    return Interval(mean - half, mean + half, "student t")


def wilson_interval(correct: int, n: int) -> Interval:
    """Wilson's score interval for a proportion [1]; stays inside 0 … 1 also at the ends.

    [1] Wilson, Probable inference, the law of succession, and statistical inference, JASA 1927.
    """
    if not 0 <= correct <= n or n == 0:
        raise ShapeError(f"{correct} of {n} is not a proportion.")
    return Interval(*wilson_limits(correct / n, n, Z95), "wilson")


def wilson_limits(p: float, n: float, z: float) -> tuple[float, float]:
    """The ends of Wilson's interval for a proportion ``p`` of ``n`` rows, any number above 0.

    Args:
        p: in 0 … 1.
        n: rows; an effective number of them may be a fraction.
        z: the quantile.
    """
    z2 = z**2
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = z / (1 + z2 / n) * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    low = 0.0 if p == 0 else centre - half  # exactly, not but for rounding
    high = 1.0 if p == 1 else centre + half
    return low, high


def t_quantile(freedom: float) -> float:
    """The 97.5 % quantile of Student's t; the standard normal's for infinitely many degrees of freedom."""
    from scipy.special import stdtrit  # slow to import, and seldom needed

    return Z95 if math.isinf(freedom) else float(stdtrit(freedom, 0.975))


def percentile_levels(n: int) -> tuple[float, float]:
    """The levels at which a bootstrap over ``n`` rows or groups is read for a 95 % interval [2].

    Resamples of ``n`` rows lie closer together than samples do, as the deviation over ``n`` does: the levels
    are those of the standard normal at ``± t √(n / (n - 1))``, and 0.025 and 0.975 for many rows.

    Args:
        n: two or more.

    [2] Hesterberg, What teachers should know about the bootstrap, The American Statistician 2015.
    """
    from scipy.special import ndtr  # slow to import, and seldom needed

    low = float(ndtr(-t_quantile(n - 1) * math.sqrt(n / (n - 1))))
    return low, 1 - low


def bootstrap_limits(drawn: NDArray[np.floating], value: float, n: int) -> tuple[float, float]:
    """The ends of the 95 % interval for ``value``, given bootstrap draws of it over ``n`` rows or groups.

    They are the percentiles at ``percentile_levels``. Draws of fewer rows than ``FEWEST_RESAMPLED`` do not
    reach as far as the interval, at any level: the ends are then those of ``deviation_limits``.
    """
    if n < FEWEST_RESAMPLED:
        return deviation_limits(drawn, value, n)
    low, high = np.quantile(drawn, percentile_levels(n))
    return float(low), float(high)


def deviation_limits(drawn: NDArray[np.floating], value: float, n: int) -> tuple[float, float]:
    """``value ± t √(n / (n - 1))`` standard deviations of bootstrap draws of it over ``n`` rows or groups.

    Draws of one row are all alike and say nothing of others: the ends are then infinitely far away.
    """
    if n < 2:
        return -math.inf, math.inf
    half = t_quantile(n - 1) * math.sqrt(n / (n - 1)) * float(np.std(drawn, ddof=1))
    return value - half, value + half


def joined_freedom(*parts: tuple[float, float]) -> float:
    """Degrees of freedom of a sum of estimated variances that have their own, by Welch and Satterthwaite.

    Infinitely many where no variance is above 0.
    """
    squares = sum(variance**2 / freedom for variance, freedom in parts)
    return sum(variance for variance, _ in parts) ** 2 / squares if squares > 0 else math.inf
