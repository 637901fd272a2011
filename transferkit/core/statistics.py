"""Confidence intervals of reported numbers."""

import math
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import ShapeError

Z95 = 1.959963984540054  # the standard normal's 97.5 % quantile

FEWEST = 5
"""Minimum number of values for an interval by Student's t: with fewer values, it is on average more than 1.4 times
as wide as the range that contains 95 % of their means."""


FEWEST_GROUPS = 7
"""Minimum number of groups, rows or images for an interval over them, as an effective number if groups differ in
size; with fewer, it can be more than 1.4 times too wide."""

TOO_FEW_RESAMPLED = f"fewer than {FEWEST_GROUPS} rows, groups or images"
"""The reason why there is no bootstrap interval."""

FEWEST_DRAWS = 4
"""Minimum number of draws of the training rows for an interval over rows and draws, for the same reason."""

FEWEST_SEEDS = 3
"""Minimum number of seeds for an interval over rows and seeds, for the same reason."""


@dataclass(frozen=True)
class Interval:
    """A 95 % confidence interval and the name of its method.

    Both limits are NaN if there is no interval. The method is then ``none``, followed by the reason.
    """

    low: float
    high: float
    method: str

    @classmethod
    def unknown(cls, reason: str = "") -> Self:
        """Return the interval of a value whose variance was not estimated, or cannot be estimated well enough."""
        return cls(math.nan, math.nan, f"none: {reason}" if reason else "none")

    @property
    def signed(self) -> str:
        """The limits of a difference as text: ``+0.012 to +0.034``; a dash if there is no interval."""
        return "–" if math.isnan(self.low) else f"{self.low:+.3f} to {self.high:+.3f}"

    def __str__(self) -> str:
        return "–" if math.isnan(self.low) else f"{self.low:.3f}–{self.high:.3f}"

    def clipped(self, low: float, high: float) -> Self:
        """Return the interval with its limits inside ``low … high``; NaN remains NaN."""
        return replace(self, low=float(np.clip(self.low, low, high)), high=float(np.clip(self.high, low, high)))

    @property
    def limits(self) -> list[float] | None:
        """Both limits, or None if there is no interval."""
        return None if math.isnan(self.low) else [self.low, self.high]

    @property
    def half_width(self) -> float:
        """Half the width of the interval; NaN if there is none."""
        return (self.high - self.low) / 2

    @property
    def margin(self) -> str:
        """The interval as text that follows the value, ``±0.012``; empty if there is none."""
        return "" if math.isnan(self.low) else f"±{self.half_width:.3f}"


def mean_interval(values: ArrayLike) -> Interval:
    """Compute mean ± 1.96 σ / √n over independent draws, as few-shot papers report it.

    Args:
        values: ``[n]``, n ≥ 1. The interval of a single value is the value itself.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or not len(values):
        raise ShapeError(f"An interval needs values [n] with n at least 1, not {list(values.shape)}.")
    mean = float(values.mean())
    half = Z95 * float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    return Interval(mean - half, mean + half, "normal")


def t_interval(values: ArrayLike) -> Interval:
    """Compute mean ± t s / √n by Student's t, for a few independent draws of similar variance.

    Args:
        values: ``[n]``, n ≥ 2.

    Raises: ShapeError: if there are fewer than two values.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or len(values) < 2:
        raise ShapeError(f"Student's t needs values [n] with n at least 2, not {list(values.shape)}.")
    half = t_quantile(len(values) - 1) * float(values.std(ddof=1)) / math.sqrt(len(values))
    mean = float(values.mean())
    return Interval(mean - half, mean + half, "student t")


def wilson_interval(correct: int, n: int) -> Interval:
    """Compute Wilson's score interval for a proportion [1], which stays inside 0 … 1.

    [1] Wilson, Probable inference, the law of succession, and statistical inference, JASA 1927.
    """
    if not 0 <= correct <= n or n == 0:
        raise ShapeError(f"{correct} of {n} is not a proportion: give 0 … n of at least 1.")
    return Interval(*wilson_limits(correct / n, n, Z95), "wilson")


def wilson_limits(p: float, n: float, z: float) -> tuple[float, float]:
    """Return the limits of Wilson's interval for a proportion.

    Args:
        p: proportion in 0 … 1.
        n: number of rows, above 0; an effective number of rows need not be an integer.
        z: quantile of the normal or of Student's t distribution.
    """
    z2 = z**2
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = z / (1 + z2 / n) * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    low = 0.0 if p == 0 else centre - half  # exactly 0, without a rounding error
    high = 1.0 if p == 1 else centre + half
    return low, high


def t_quantile(freedom: float) -> float:
    """Return the 97.5 % quantile of Student's t; the standard normal's for infinitely many degrees of freedom."""
    from scipy.special import stdtrit  # slow to import and rarely needed

    return Z95 if math.isinf(freedom) else float(stdtrit(freedom, 0.975))


def percentile_levels(n: int) -> tuple[float, float]:
    """Return the two levels whose percentiles of a bootstrap over ``n`` rows or groups are the 95 % interval [2].

    Resamples of ``n`` rows vary less than samples of the population, because their variance has the denominator
    ``n`` and not ``n - 1``. The levels are therefore those of the standard normal at ``± t √(n / (n - 1))``,
    which approach 0.025 and 0.975 for many rows.

    Args:
        n: number of rows or groups, two or more.

    [2] Hesterberg, What teachers should know about the bootstrap, The American Statistician 2015.
    """
    from scipy.special import ndtr  # slow to import and rarely needed

    low = float(ndtr(-t_quantile(n - 1) * math.sqrt(n / (n - 1))))
    return low, 1 - low


def percentile_interval(drawn: NDArray[np.floating], n: int, method: str) -> Interval:
    """Return the interval of a value from bootstrap draws of it over ``n`` rows, groups or images.

    Its limits are the percentiles at ``percentile_levels``.
    """
    if n < FEWEST_GROUPS:
        return Interval.unknown(TOO_FEW_RESAMPLED)
    low, high = np.quantile(drawn, percentile_levels(n))
    return Interval(float(low), float(high), method)


def deviation_interval(drawn: NDArray[np.floating], value: float, n: int, method: str) -> Interval:
    """Return ``value ± t √(n / (n - 1)) s``, with ``s`` the standard deviation of bootstrap draws over ``n`` rows."""
    if n < FEWEST_GROUPS:
        return Interval.unknown(TOO_FEW_RESAMPLED)
    half = t_quantile(n - 1) * math.sqrt(n / (n - 1)) * float(np.std(drawn, ddof=1))  # half the width
    return Interval(value - half, value + half, method)


def freedom_with_repeats(row_error: float, row_freedom: float, repeat_error: float, repeats: int) -> float:
    """Return the degrees of freedom of a difference over rows and over several draws or seeds.

    They are those of ``welch_satterthwaite``. Two repeats often have similar values by chance, which would make equally
    good models differ too often; with fewer than ``FEWEST_SEEDS`` repeats, only their own degrees of freedom count.

    Args:
        row_error: squared standard error over rows.
        row_freedom: its degrees of freedom.
        repeat_error: squared standard error over repeats.
        repeats: number of repeats, two or more.
    """
    if repeats < FEWEST_SEEDS:
        return repeats - 1
    return welch_satterthwaite((row_error, row_freedom), (repeat_error, repeats - 1))


def welch_satterthwaite(*parts: tuple[float, float]) -> float:
    """Return the degrees of freedom of a sum of estimated variances, by Welch and Satterthwaite.

    Args:
        parts: each variance with its degrees of freedom.

    Returns: ``(Σ v)² / Σ (v² / freedom)``; infinity if no variance is above 0.
    """
    squares = sum(variance**2 / freedom for variance, freedom in parts)
    return sum(variance for variance, _ in parts) ** 2 / squares if squares > 0 else math.inf
