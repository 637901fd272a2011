"""How far a mean over few-shot episodes may be from that over other images of the same classes.

Episodes are many, but they are drawn from the same images again and again: their spread says how well the
mean over *these* images is known, and nothing about other images. Random halves of the images do.

Shapes: ``e`` episodes, ``b`` halvings. In each halving the images are divided into two halves at random. Each
half has a mean ``H`` over episodes of its own images alone, and that is the mean of two batches of episodes.

With ``θ`` the accuracy in the population and ``U`` the mean over all episodes of a pool, the variance to be
estimated is ``V = E[U²] − θ²``. Over the halvings of one pool, halves have the mean ``U``; two complementary
ones have no image in common, so ``E[H₁ H₂] = θ²``, and ``−Cov(H₁, H₂)`` is ``V`` without bias [1]. But it
varies a lot with the few halvings. ``Var(H)``, less the variance ``v`` that the drawn episodes give to ``H``,
varies less; it is ``V`` for a mean over images, and too large where accuracy depends on images jointly: with
few shots and few images. The mean of both is used. It needs the differences of complementary halves alone::

    (Var(H) − v − Cov(H₁, H₂)) / 2 = E[(H₁ − H₂)²] / 4 − v / 2

[1] Wang and Lindsay, Variance estimation of a general U-statistic with application to cross-validation,
    Statistica Sinica 2014.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr

from .errors import ShapeError
from .statistics import Interval, t_quantile, wilson_limits

OVER_IMAGES = "Student's t over images, from half-samples"
"""The method of intervals and tests over images."""

LEAST = 0.5
"""The least variance over images that is assumed, as a part of that of the drawn episodes. Where both are of
one size, an estimate from 25 halvings is often near 0 or below; taken as it is, it makes equally good models
differ by p < 0.05 in 8 to 12 % of cases."""

FEWEST_FREEDOM = 6
"""The fewest degrees of freedom that are assumed. Estimated ones are few where the estimated variance happens
to be small, so that fewer than these make intervals needlessly wide."""

NO_HALVES = "none over images: a class is too small to be halved"
"""The method of an interval that cannot be known."""

ONE_EPISODE = "none: one episode does not show how far episodes differ"
"""The method of an interval of a single episode."""


def image_variance(halves: NDArray[np.float64]) -> float:
    """The variance of a mean over episodes that other images of the same classes would cause.

    Args:
        halves: ``[b, 2, 2]`` means of two batches of episodes for both halves of each halving.

    Returns: the estimate; below 0 where chance exceeds what there is.

    Raises: ShapeError: if ``halves`` has another shape.
    """
    if halves.ndim != 3 or halves.shape[1:] != (2, 2) or not len(halves):
        raise ShapeError(f"Halves must be [b, 2, 2] with b at least 1, not {list(halves.shape)}.")
    of_halves, of_batches = _of_halves_and_batches(halves)
    return of_halves - of_batches


def _of_halves_and_batches(halves: NDArray[np.float64]) -> tuple[float, float]:
    """``E[(H₁ − H₂)²] / 4`` and ``v / 2``."""
    means = halves.mean(axis=2)  # [b, 2]
    apart = float(np.mean((halves[:, :, 0] - halves[:, :, 1]) ** 2))  # 4 v
    return float(np.mean((means[:, 0] - means[:, 1]) ** 2)) / 4, apart / 8


def squared_error(values: NDArray[np.float64], halves: NDArray[np.float64]) -> tuple[float, float]:
    """The variance of the mean of ``values`` over images and over the episodes that were drawn.

    Args:
        values: ``[e]``, one per episode, two or more.
        halves: ``[b, 2, 2]`` means of both batches of each half.

    Returns: the estimate, and its degrees of freedom: those of Satterthwaite, from ``FEWEST_FREEDOM`` to
        ``b − 1``, and at most ``e − 1``.
    """
    of_draws = float(values.var(ddof=1)) / len(values)
    of_halves, of_batches = _of_halves_and_batches(halves)
    squared = max(of_halves - of_batches, LEAST * of_draws) + of_draws
    most = max(1, len(halves) - 1)
    noise = of_halves**2 / most + of_batches**2 / (2 * len(halves)) + of_draws**2 / (len(values) - 1)
    freedom = min(most, max(FEWEST_FREEDOM, squared**2 / noise)) if noise > 0 else most
    return squared, min(freedom, len(values) - 1)


def interval_over_images(
    accuracies: NDArray[np.float64], halves: NDArray[np.float64] | None, *, images: int
) -> Interval:
    """The 95 % interval of few-shot accuracy over images.

    It is Wilson's for as many answers ``n`` as would have the same variance, ``n = p (1 − p) / variance``,
    with Student's t in place of the normal quantile: it is symmetric in the middle, and stays inside 0 … 1 at
    the ends. Where all episodes are right, or all wrong, ``n`` is the number of images.

    Args:
        accuracies: ``[e]``, one per episode; of a single one the interval is 0 … 1.
        halves: ``[b, 2, 2]`` accuracies of both batches of each half; without them nothing is known, and the
            interval is 0 … 1.
        images: from which the episodes are drawn.
    """
    if halves is None or len(accuracies) < 2:
        return Interval(0.0, 1.0, NO_HALVES if halves is None else ONE_EPISODE)
    p, (variance, freedom) = float(accuracies.mean()), squared_error(accuracies, halves)
    n = p * (1 - p) / variance if variance > 0 else images
    low, high = wilson_limits(p, n, t_quantile(freedom))
    return Interval(max(0.0, low), min(1.0, high), OVER_IMAGES)


def difference_interval(values: NDArray[np.float64], halves: NDArray[np.float64]) -> Interval:
    """The 95 % interval over images of a mean difference, by Student's t.

    Args:
        values: ``[e]`` differences of two models, one per episode; of a single one the interval is −1 … 1.
        halves: ``[b, 2, 2]`` mean differences of both batches of each half.
    """
    if len(values) < 2:
        return Interval(-1.0, 1.0, ONE_EPISODE)
    mean, (squared, freedom) = float(values.mean()), squared_error(values, halves)
    half = t_quantile(freedom) * math.sqrt(squared)
    return Interval(mean - half, mean + half, OVER_IMAGES)


def difference_p(values: NDArray[np.float64], halves: NDArray[np.float64]) -> float:
    """The two-sided probability of a mean of ``values`` this far from 0 if that over the population were 0.

    Args:
        values: ``[e]`` differences of two models, one per episode; a single one has the probability 1.
        halves: ``[b, 2, 2]`` mean differences of both batches of each half.
    """
    mean = float(values.mean())
    if len(values) < 2 or mean == 0:
        return 1.0
    squared, freedom = squared_error(values, halves)
    return float(2 * stdtr(freedom, -abs(mean) / math.sqrt(squared))) if squared > 0 else 0.0
