"""GBC, the Gaussian Bhattacharyya coefficient: the overlap of the classes, modelled as Gaussians [1].

[1] Pándy et al., Transferability estimation using Bhattacharyya class separability, CVPR 2022.
"""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from ..labelled import Array
from .directions import principal_components
from .score import SCORES, TransferScore, two_classes

Gaussian = Literal["spherical", "diagonal"]

DIRECTIONS = 64
"""Maximum number of principal components in which the Gaussians are fitted, as in [1]."""

FLOOR = 1e-4
"""Minimum variance of a class as a fraction of the variance of all rows; a class with one row would have none."""


def bhattacharyya_score(x: ArrayLike, labels: ArrayLike, *, gaussian: Gaussian = "spherical") -> float:
    """Compute GBC [1]: the negative sum of ``exp(-D)`` over ordered pairs of classes; 0 if no classes overlap.

    The Bhattacharyya distance of classes a and b with means μ and variances v, summed over directions, is
    ``D = ⅛ Σ (μ_a - μ_b)² / v + ½ Σ log(v / √(v_a v_b))`` with ``v = (v_a + v_b)/2``. The released code of [1]
    adds the logarithm of a spherical variance once instead of once per direction.

    Args:
        x: ``[n, d]``; the score does not change if it is scaled, shifted or rotated.
        labels: ``[n]`` integers of at least 2 classes.
        gaussian: ``spherical``, one variance per class, or ``diagonal``, one per class and principal component.

    Raises: ShapeError, NonFiniteError, DataError: as ``two_classes``.
    """
    rows = two_classes(x, labels)
    z, _ = principal_components(rows.x, most=DIRECTIONS)
    if not z.any():
        return -float(len(rows.count) * (len(rows.count) - 1))
    means = rows.means(z)  # [c, k]
    variance = rows.means((z - means[rows.y]) ** 2)
    if gaussian == "spherical":
        variance = np.broadcast_to(variance.mean(axis=1, keepdims=True), variance.shape)
    variance = np.maximum(variance, FLOOR * float((z**2).mean()))
    overlap = sum(
        float(np.exp(-_distances(means[a], variance[a], means[a + 1 :], variance[a + 1 :])).sum())
        for a in range(len(means) - 1)
    )
    return -2.0 * overlap


def _distances(mean: Array, variance: Array, means: Array, variances: Array) -> Array:
    """Compute the distances D ``[m]`` of a class with mean and variance ``[k]`` to ``m`` classes ``[m, k]``."""
    middle = (variance + variances) / 2
    of_means = ((mean - means) ** 2 / middle).sum(axis=1) / 8
    return of_means + (np.log(middle) - (np.log(variance) + np.log(variances)) / 2).sum(axis=1) / 2


SCORES.register("gbc")(TransferScore(bhattacharyya_score, "features", "GBC"))
