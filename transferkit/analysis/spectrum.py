"""How many directions features use: the effective rank and the decay of their spectrum.

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
"""Ranks of the eigenvalues that the decay is fitted to, as in the released code of [2]."""

FEWEST = 10
"""Eigenvalues below which no decay is fitted."""


def effective_rank(x: ArrayLike) -> float | None:
    """RankMe [1]: exp of the entropy of the singular values of ``x`` ``[n, d]`` as they are, over their sum.

    Not centred, as in [1], and without the 1e-7 that it adds to each share: shares of zero count nothing.

    Returns: 1 … min(n, d), one direction to all alike; None if all is zero.
    Raises: ShapeError, NonFiniteError: if ``x`` is no finite matrix.

    >>> round(effective_rank(np.eye(5)), 6)
    5.0
    """
    singular = np.sqrt(eigenvalues(matrix(x)))
    if not singular.any():
        return None
    share = singular[singular > 0] / singular.sum()
    return float(np.exp(-(share * np.log(share)).sum()))


def spectrum_decay(x: ArrayLike) -> float | None:
    """α-ReQ [2]: α where the j-th eigenvalue of the covariance of ``x`` ``[n, d]`` falls like j⁻ᵅ.

    Least squares of log λ on log j over the ranks 4 to 100, or to the last that is not zero, weighted by
    1/j [3]. α near 1 is what [2] finds in good representations; above, few directions hold all.

    Returns: α; None if fewer than 10 eigenvalues lie in that range.
    Raises: ShapeError, NonFiniteError: if ``x`` is no finite matrix.
    """
    x = matrix(x)
    values = eigenvalues(x - x.mean(axis=0))
    rank = np.arange(1, len(values) + 1)
    used = (rank >= FIT[0]) & (rank <= FIT[1]) & (values > 0)
    if used.sum() < FEWEST:
        return None
    across, down, weight = np.log(rank[used]), np.log(values[used]), 1 / rank[used]
    across = across - np.average(across, weights=weight)
    return float(-(weight * across * down).sum() / (weight * across**2).sum())


def eigenvalues(x: Array) -> Array:
    """Of ``xᵀ x`` for ``x`` ``[n, d]`` float64, descending, ``[min(n, d)]``; rounding around zero is zero."""
    if not (scale := np.abs(x).max()):
        return np.zeros(min(x.shape))
    x = x / scale  # so that no square under- or overflows
    values = np.linalg.eigvalsh(x.T @ x if x.shape[1] <= x.shape[0] else x @ x.T)[::-1]
    noise = values[0] * max(x.shape) * np.finfo(np.float64).eps
    return np.where(values > noise, values, 0) * scale**2
