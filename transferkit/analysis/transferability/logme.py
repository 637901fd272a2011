"""LogME: the evidence of a Bayesian linear model of each class [1], by fixed-point iteration [2].

[1] You et al., LogME: practical assessment of pre-trained models for transfer learning, ICML 2021.
[2] You et al., Ranking and tuning pre-trained models: a new paradigm for exploiting model hubs, JMLR 2022.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..labelled import Array
from .score import SCORES, TransferScore, two_classes

ITERATIONS = 200
TOLERANCE = 1e-6
"""The iteration stops when the relative change of α / β is smaller."""

RANGE = (1e-12, 1e12)
"""Limits of α / β, in units of the largest eigenvalue of ``xᵀ x``."""

FLOOR = 1e-12
"""Minimum residual as a fraction of a target's sum of squares; without a residual, β would be infinite."""


def logme(x: ArrayLike, labels: ArrayLike) -> float:
    """Compute the mean over classes of the maximum log evidence per row of a Bayesian linear model.

    The target of a class is 1 for its rows and 0 for other rows. Weights are N(0, 1/α), targets N(xᵀw, 1/β), without
    a bias. Let σ be the eigenvalues of ``xᵀ x``, ``z`` the coordinates of the target along the left singular vectors
    of ``x``, ``r`` the squared length of the rest of the target, and ``t = α/β``. With the best β for ``t``, the log
    evidence is ``½ Σ log(t / (t + σ)) + ½ n log(n / E) - ½ n - ½ n log 2π``, where ``E = Σ z² t / (t + σ) + r``.
    The fixed-point iteration is ``t ← (γ / m) (e / (n - γ))``, where γ = Σ σ/(t + σ), m = Σ σ z² / (t + σ)²
    and e = Σ z² t² / (t + σ)² + r.

    Args:
        x: ``[n, d]``; the score does not change if it is scaled or rotated.
        labels: ``[n]`` integers of at least 2 classes.

    Raises: ShapeError, NonFiniteError, DataError: as ``two_classes``.
    """
    rows = two_classes(x, labels)
    sigma, z2 = _spectrum(rows.x / (np.abs(rows.x).max() or 1.0), rows.y, len(rows.count))
    residual = np.maximum(rows.count - z2.sum(axis=0), FLOOR * rows.count)  # [c], r
    t = np.ones(len(rows.count))
    if len(sigma):
        t = _fixed_point(sigma, z2, residual, n=len(rows.x))
    shrunk = t / (t + sigma[:, None])  # [k, c]
    unexplained = (z2 * shrunk).sum(axis=0) + residual  # [c], E
    n = len(rows.x)
    evidence = (np.log(shrunk).sum(axis=0) + n * (np.log(n / unexplained) - 1 - np.log(2 * np.pi))) / 2  # [c], log
    return float(evidence.mean() / n)


def _spectrum(x: Array, y: NDArray[np.int64], c: int) -> tuple[Array, Array]:
    """Return σ ``[k]`` without eigenvalues from rounding, and z² ``[k, c]``."""
    targets = np.eye(c)[y]  # [n, c]
    wide = x.shape[1] > x.shape[0]
    sigma, vectors = np.linalg.eigh(x @ x.T if wide else x.T @ x)
    kept = sigma > max(sigma[-1], 0) * max(x.shape) * np.finfo(np.float64).eps
    sigma, vectors = sigma[kept], vectors[:, kept]
    z = vectors.T @ targets if wide else vectors.T @ (x.T @ targets) / np.sqrt(sigma)[:, None]
    return sigma, z**2


def _fixed_point(sigma: Array, z2: Array, residual: Array, *, n: int) -> Array:
    """Compute ``t = α/β`` of each class, ``[c]``."""
    low, high = (bound * sigma[-1] for bound in RANGE)
    column, t = sigma[:, None], np.full(z2.shape[1], float(sigma.mean()))
    for _ in range(ITERATIONS):
        gamma = (column / (t + column)).sum(axis=0)
        m = (column * z2 / (t + column) ** 2).sum(axis=0)
        e = (z2 * (t / (t + column)) ** 2).sum(axis=0) + residual
        above, below = gamma * e, m * (n - gamma)
        new = np.clip(above / np.maximum(below, above / high), low, high)
        done = np.abs(np.log(new / t)).max() < TOLERANCE
        t = new
        if done:
            break
    return t


SCORES.register("logme")(TransferScore(logme, "features", "LogME"))
