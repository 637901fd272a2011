"""TransRate: the information that labels give about features, estimated from coding rates [1].

[1] Huang et al., Frustratingly easy transferability estimation, ICML 2022.
"""

import numpy as np
from numpy.typing import ArrayLike

from ..labelled import Array
from .score import SCORES, TransferScore, two_classes

DISTORTION = 1e-4
"""Squared error ε of the coding in [1]."""


def transrate(x: ArrayLike, labels: ArrayLike) -> float:
    """Compute ``R(Z) - Σ_y n_y/n R(Z_y)`` with ``R(Z) = ½ log det(I + Zᵀ Z / (n ε))`` [1], in nats.

    Rows are centred and then scaled to unit length, as in the released code of [1]: otherwise the score would
    depend on the scale of the features. Each class is weighted by its number of rows; the listing in [1] weights
    all classes equally.

    Args:
        x: ``[n, d]``; the score does not change if it is scaled, shifted or rotated.
        labels: ``[n]`` integers of at least 2 classes.

    Raises: ShapeError, NonFiniteError, DataError: as ``two_classes``.
    """
    rows = two_classes(x, labels)
    z = rows.x - rows.x[0]
    z -= z.mean(axis=0)
    largest = np.abs(z).max(axis=1, keepdims=True)
    z = np.divide(z, largest, out=np.zeros_like(z), where=largest > 0)
    length = np.linalg.norm(z, axis=1, keepdims=True)
    z = np.divide(z, length, out=z, where=length > 0)
    of_classes = sum(count * _rate(z[rows.y == y]) for y, count in enumerate(rows.count))
    return float(_rate(z) - of_classes / len(z))


def _rate(z: Array) -> float:
    """Compute R of ``z`` ``[n, d]`` from the smaller of its two Gram matrices."""
    n, d = z.shape
    gram = (z.T @ z if d <= n else z @ z.T) / (n * DISTORTION)
    gram.flat[:: len(gram) + 1] += 1
    return float(np.log(np.diag(np.linalg.cholesky(gram))).sum())


SCORES.register("transrate")(TransferScore(transrate, "features", "TransRate"))
