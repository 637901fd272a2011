"""Variance of a mean over few-shot episodes with respect to the images, estimated from half-samples.

Episodes are many, but they are drawn repeatedly from the same images: their spread shows how precise the mean
over *these* images is, but not how it would differ for other images of the same classes. Random halves of the
images show this.

Shapes: ``e`` episodes, ``b`` halvings. In each halving the images are divided into two halves at random. Each
half has a mean ``H`` over episodes of its own images alone, which is the mean of two batches of episodes.

Let ``θ`` be the accuracy in the population and ``U`` the mean over all episodes of a pool of images. The
variance to be estimated is ``V = E[U²] − θ²``. Over the halvings of one pool, halves have the mean ``U``; two
complementary halves have no image in common, so ``E[H₁ H₂] = θ²``, and ``−Cov(H₁, H₂)`` is an unbiased
estimate of ``V`` [1], but with few halvings its variance is large. ``Var(H)`` minus the variance ``v`` of
``H`` due to the drawn episodes has less variance; it equals ``V`` for a mean over images, and is too large if
accuracy depends on images jointly, that is, with few shots and few images. The estimate is the mean of both.
It needs only the differences of complementary halves::

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
"""Name of the method of intervals and tests over images."""

MIN_VARIANCE_FRACTION = 0.5
"""Lower bound of the variance over images, as a fraction of the variance of the drawn episodes. If both variances
are of similar size, an estimate from 25 halvings (``probes.halves.HALVINGS``) is often near 0 or negative; without
this bound, equally good models would differ with p < 0.05 in 8 to 12 % of cases."""

MIN_DOF = 6
"""Lower bound of the degrees of freedom. Where the variance happens to be estimated too small, so are the degrees of
freedom; values below this bound would make intervals needlessly wide."""

NO_HALVES = "a class is too small to be halved"
"""The reason why there is no interval over images."""

ONE_EPISODE = "one episode does not show how far episodes differ"
"""The reason why a single episode has no interval."""


def _variance_terms(halves: NDArray[np.float64]) -> tuple[float, float]:
    """Return the two terms whose difference estimates the variance over images, ``E[(H₁ − H₂)²] / 4`` and ``v / 2``.

    Args:
        halves: ``[b, 2, 2]`` means of two batches of episodes for both halves of each halving.

    Raises: ShapeError: if ``halves`` has another shape.
    """
    if halves.ndim != 3 or halves.shape[1:] != (2, 2) or not len(halves):
        raise ShapeError(f"Halves must be [b, 2, 2] with b at least 1, not {list(halves.shape)}.")
    means = halves.mean(axis=2)  # H₁ and H₂ [b, 2]
    batch_difference = float(np.mean((halves[:, :, 0] - halves[:, :, 1]) ** 2))  # 4 v
    return float(np.mean((means[:, 0] - means[:, 1]) ** 2)) / 4, batch_difference / 8


def variance_of_mean(values: NDArray[np.float64], halves: NDArray[np.float64]) -> tuple[float, float]:
    """Estimate the variance of the mean of ``values`` over images and over the drawn episodes.

    Args:
        values: ``[e]``, one per episode, two or more.
        halves: ``[b, 2, 2]`` means of both batches of each half.

    Returns: the variance, and its degrees of freedom by Satterthwaite, limited to ``MIN_DOF … b − 1``
        and to at most ``e − 1``.
    """
    episode_term = float(values.var(ddof=1)) / len(values)  # variance due to the drawn episodes
    half_term, batch_term = _variance_terms(halves)
    variance = max(half_term - batch_term, MIN_VARIANCE_FRACTION * episode_term) + episode_term
    max_dof = max(1, len(halves) - 1)
    spread = half_term**2 / max_dof + batch_term**2 / (2 * len(halves)) + episode_term**2 / (len(values) - 1)
    dof = min(max_dof, max(MIN_DOF, variance**2 / spread)) if spread > 0 else max_dof
    return variance, min(dof, len(values) - 1)


def interval_over_images(
    accuracies: NDArray[np.float64], halves: NDArray[np.float64] | None, *, images: int
) -> Interval:
    """Compute the 95 % interval of few-shot accuracy over images.

    It is Wilson's interval for the effective number of predictions ``n`` with the same variance,
    ``n = p (1 − p) / variance``, and with Student's t instead of the normal quantile: it is almost symmetric for
    medium accuracies, and stays inside 0 … 1. If all predictions are correct, or all are wrong, ``n`` is the
    number of images.

    Args:
        accuracies: ``[e]``, one per episode; a single episode has no interval.
        halves: ``[b, 2, 2]`` accuracies of both batches of each half; without them, there is no interval.
        images: number of images from which the episodes are drawn.
    """
    if halves is None or len(accuracies) < 2:
        return Interval.unknown(NO_HALVES if halves is None else ONE_EPISODE)
    p, (variance, dof) = float(accuracies.mean()), variance_of_mean(accuracies, halves)
    n = p * (1 - p) / variance if variance > 0 and 0 < p < 1 else images
    low, high = wilson_limits(p, n, t_quantile(dof))
    return Interval(max(0.0, low), min(1.0, high), OVER_IMAGES)


def difference_interval(values: NDArray[np.float64], halves: NDArray[np.float64]) -> Interval:
    """Compute the 95 % interval over images of a mean difference, by Student's t.

    Args:
        values: ``[e]`` differences of two models, one per episode; a single one has no interval.
        halves: ``[b, 2, 2]`` mean differences of both batches of each half.
    """
    if len(values) < 2:
        return Interval.unknown(ONE_EPISODE)
    mean, (variance, dof) = float(values.mean()), variance_of_mean(values, halves)
    margin = t_quantile(dof) * math.sqrt(variance)
    return Interval(mean - margin, mean + margin, OVER_IMAGES)


def difference_p(values: NDArray[np.float64], halves: NDArray[np.float64]) -> float:
    """Compute the two-sided p value of the null hypothesis that the mean difference in the population is 0.

    Args:
        values: ``[e]`` differences of two models, one per episode; the p value of a single one is 1.
        halves: ``[b, 2, 2]`` mean differences of both batches of each half.
    """
    mean = float(values.mean())
    if len(values) < 2 or mean == 0:
        return 1.0
    variance, dof = variance_of_mean(values, halves)
    return float(2 * stdtr(dof, -abs(mean) / math.sqrt(variance))) if variance > 0 else 0.0
