"""Dimensionality of features: the effective rank and the decay of their spectrum.

Shapes: ``n`` rows, ``d`` features. ``O(n d min(n, d))`` in time, ``min(n, d)²`` in memory.

[1] Garrido et al., RankMe: assessing the downstream performance of pretrained self-supervised representations
    by their rank, ICML 2023.
[2] Agrawal et al., α-ReQ: assessing representation quality in self-supervised learning by measuring
    eigenspectrum decay, NeurIPS 2022.
[3] Stringer et al., High-dimensional geometry of population responses in visual cortex, Nature 2019.
"""

import numpy as np
from numpy.typing import ArrayLike

from .labelled import Array, matrix

FIT = (4, 100)
"""Range of ranks of the eigenvalues to which the decay is fitted, as in the released code of [2]."""

MIN_EIGENVALUES = 10
"""Minimum number of eigenvalues for the fit of the decay."""


def effective_rank(x: ArrayLike) -> float | None:
    """Compute RankMe [1]: exp of the entropy of the normalised singular values of ``x`` ``[n, d]``.

    ``x`` is not centred, as in [1]. The 1e-7 that [1] adds to each value is omitted: zeros do not contribute.

    Returns: 1 (one direction) … min(n, d) (all directions equal); None if all values are zero.
    Raises: ShapeError, NonFiniteError: if ``x`` is not a finite matrix.

    >>> round(effective_rank(np.eye(5)), 6)
    5.0
    """
    singular = np.sqrt(eigenvalues(matrix(x)))
    if not singular.any():
        return None
    p = singular[singular > 0] / singular.sum()
    return float(np.exp(-(p * np.log(p)).sum()))


def spectrum_decay(x: ArrayLike) -> float | None:
    """Compute α-ReQ [2]: the exponent α for which the j-th eigenvalue of the covariance of ``x`` ``[n, d]`` is ∝ j⁻ᵅ.

    Least squares of log λ on log j over the ranks 4 to 100, or to the last nonzero one, weighted by 1/j [3]. Good
    representations in [2] have α near 1; for larger α, few directions dominate.

    Returns: α; None if fewer than 10 eigenvalues are in this range.
    Raises: ShapeError, NonFiniteError: if ``x`` is not a finite matrix.
    """
    x = matrix(x)
    values = eigenvalues(x - x.mean(axis=0))
    rank = np.arange(1, len(values) + 1)
    used = (rank >= FIT[0]) & (rank <= FIT[1]) & (values > 0)
    if used.sum() < MIN_EIGENVALUES:
        return None
    log_rank, log_value, weight = np.log(rank[used]), np.log(values[used]), 1 / rank[used]
    log_rank = log_rank - np.average(log_rank, weights=weight)
    return float(-(weight * log_rank * log_value).sum() / (weight * log_rank**2).sum())


def eigenvalues(x: Array) -> Array:
    """Compute the eigenvalues of ``xᵀ x`` for ``x`` ``[n, d]``, descending, ``[min(n, d)]``; rounding errors are 0."""
    if not (scale := np.abs(x).max()):
        return np.zeros(min(x.shape))
    x = x / scale  # so that no square under- or overflows
    values = np.linalg.eigvalsh(x.T @ x if x.shape[1] <= x.shape[0] else x @ x.T)[::-1]
    noise = values[0] * max(x.shape) * np.finfo(np.float64).eps
    return np.where(values > noise, values, 0) * scale**2
