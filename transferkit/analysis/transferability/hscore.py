"""H-score [1], and its variant with a shrunk covariance, which is accurate for few rows [2].

[1] Bao et al., An information-theoretic approach to transferability in task transfer learning, ICIP 2019.
[2] Ibrahim et al., Newer is not always better: rethinking transferability metrics, their peculiarities,
    stability and performance, ECML PKDD 2022.
[3] Ledoit and Wolf, A well-conditioned estimator for large-dimensional covariance matrices, 2004.
"""

import numpy as np
from numpy.typing import ArrayLike
from sklearn.covariance import ledoit_wolf_shrinkage

from ..labelled import Array
from .score import SCORES, TransferScore, two_classes


def h_score(x: ArrayLike, labels: ArrayLike) -> float:
    """Compute ``tr(cov(x)⁺ cov(E[x | y]))`` [1]: the number of directions of ``x`` that classes explain, 0 … c-1.

    With fewer rows than features it tends to c-1 for any features: use ``regularized_h_score`` instead.

    Args:
        x: ``[n, d]``; the score does not change under an invertible linear map.
        labels: ``[n]`` integers of at least 2 classes.

    Raises: ShapeError, NonFiniteError, DataError: as ``two_classes``.
    """
    rows = two_classes(x, labels)
    x = _coordinates(_centred(rows.x))
    frequency, means = rows.count / len(x), rows.means(x)
    return _explained(x.T @ x / len(x), means * np.sqrt(frequency)[:, None])


def regularized_h_score(x: ArrayLike, labels: ArrayLike) -> float:
    """Compute ``(1 - s) tr(C⁻¹ cov(E[x | y]))`` with ``C = (1 - s) cov(x) + s tr(cov(x))/d I`` [2].

    The shrinkage ``s`` is that of Ledoit and Wolf [3].

    Args:
        x: ``[n, d]``; the score does not change if it is scaled, shifted or rotated.
        labels: ``[n]`` integers of at least 2 classes.

    Raises: ShapeError, NonFiniteError, DataError: as ``two_classes``.
    """
    rows = two_classes(x, labels)
    x = _centred(rows.x)
    if not x.any():
        return 0.0
    shrinkage = float(ledoit_wolf_shrinkage(x, assume_centered=True))
    variance = (x**2).sum() / x.size
    x = _coordinates(x)
    covariance = (1 - shrinkage) * (x.T @ x / len(x))
    covariance.flat[:: x.shape[1] + 1] += shrinkage * variance
    frequency, means = rows.count / len(x), rows.means(x)
    return (1 - shrinkage) * _explained(covariance, means * np.sqrt(frequency)[:, None])


def _centred(x: Array) -> Array:
    """Subtract the mean of ``x`` and scale its largest entry to 1; a constant column becomes exactly zero."""
    x = x - x[0]
    x = np.where((x == 0).all(axis=0), 0, x - x.mean(axis=0))
    return x / (np.abs(x).max() or 1.0)


def _coordinates(x: Array) -> Array:
    """Return ``x`` ``[n, d]`` in coordinates of its row space, ``[n, n]``, if that is smaller, else ``x``."""
    if len(x) >= x.shape[1]:
        return x
    _, upper = np.linalg.qr(x.T)
    return np.asarray(upper).T


def _explained(covariance: Array, means: Array) -> float:
    """Compute ``tr(covariance⁺ Mᵀ M)`` for ``[d, d]`` and means ``M`` ``[c, d]``, without eigenvalues from rounding."""
    values, vectors = np.linalg.eigh(covariance)
    kept = values > max(values[-1], 0) * len(values) * np.finfo(np.float64).eps
    return float(((means @ vectors[:, kept]) ** 2 / values[kept]).sum())


SCORES.register("hscore")(TransferScore(h_score, "features", "H-score"))
SCORES.register("hscore-regularized")(TransferScore(regularized_h_score, "features", "regularised H-score"))
