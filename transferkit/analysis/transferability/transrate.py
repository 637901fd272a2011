"""TransRate: what the labels tell of the features, measured by coding rates [1].

[1] Huang et al., Frustratingly easy transferability estimation, ICML 2022.
"""

import numpy as np
from numpy.typing import ArrayLike

from ..labelled import Array
from .score import SCORES, TransferScore, two_classes

DISTORTION = 1e-4
"""ε of [1]: the squared error up to which features are coded."""


def transrate(x: ArrayLike, labels: ArrayLike) -> float:
    """``R(Z) - Σ_y n_y/n R(Z_y)``, ``R(Z) = ½ log det(I + Zᵀ Z / (n ε))`` [1], in nats.

    Rows are centred and then scaled to unit length, as in the released code of [1]: without the latter a
    model would score by the size of its numbers. Classes weigh by their rows; the listing in [1] takes them
    as equal.

    Args:
        x: ``[n, d]``. No scale, shift or rotation of it matters.
        labels: ``[n]`` integers of at least 2 classes.

    Raises: as ``two_classes``.
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
    """R of ``z`` ``[n, d]``, from whichever of its two Gram matrices is smaller."""
    n, d = z.shape
    gram = (z.T @ z if d <= n else z @ z.T) / (n * DISTORTION)
    gram.flat[:: len(gram) + 1] += 1
    return float(np.log(np.diag(np.linalg.cholesky(gram))).sum())


SCORES.register("transrate")(TransferScore(transrate, "features", "TransRate"))
