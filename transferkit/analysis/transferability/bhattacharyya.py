"""GBC: how much the classes overlap as Gaussians [1].

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
"""Principal components that the Gaussians live in, as in [1]; all, where there are fewer."""

FLOOR = 1e-4
"""The least variance of a class, as a share of that of all rows: one row of a class would have none."""


def bhattacharyya_score(x: ArrayLike, labels: ArrayLike, *, gaussian: Gaussian = "spherical") -> float:
    """GBC [1]: less the sum of ``exp(-D)`` over ordered pairs of classes; 0 if none overlap.

    ``D = ⅛ Σ (μ_a - μ_b)² / v + ½ Σ log(v / √(v_a v_b))`` over directions, ``v = (v_a + v_b)/2``. The
    released code of [1] counts the logarithm of a spherical variance once, not once a direction as here.

    Args:
        x: ``[n, d]``. No scale, shift or rotation of it matters.
        labels: ``[n]`` integers of at least 2 classes.
        gaussian: ``spherical``, one variance a class, or ``diagonal``, one a principal component.

    Raises: as ``two_classes``.
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
    """D of one class ``[k]`` to others ``[m, k]``, ``[m]``."""
    middle = (variance + variances) / 2
    apart = ((mean - means) ** 2 / middle).sum(axis=1) / 8
    return apart + (np.log(middle) - (np.log(variance) + np.log(variances)) / 2).sum(axis=1) / 2


SCORES.register("gbc")(TransferScore(bhattacharyya_score, "features", "GBC"))
