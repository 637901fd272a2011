"""Principal components, for scores that are computed in few directions."""

import numpy as np

from ..labelled import Array


def principal_components(x: Array, *, most: int | None = None, energy: float = 1.0) -> tuple[Array, Array]:
    """Compute the coordinates of ``x`` ``[n, d]`` along its first principal components.

    Args:
        x: finite float64.
        most: maximum number of components; None for no limit.
        energy: fraction of the variance to keep; the smallest number of components that reaches it is used.

    Returns: coordinates ``[n, k]``, scaled such that the largest entry of the centred ``x`` is 1, and the variances
        ``[k]`` in descending order. Constant features have one component of zeros.
    """
    x = x - x[0]  # a constant feature becomes exactly zero, without rounding errors
    x -= x.mean(axis=0)
    x /= np.abs(x).max() or 1.0
    n, d = x.shape
    values, vectors = np.linalg.eigh((x.T @ x if d <= n else x @ x.T) / n)
    values, vectors = values[::-1], vectors[:, ::-1]
    kept = max(1, int((values > values[0] * max(n, d) * np.finfo(np.float64).eps).sum()))
    values, vectors = values[:kept].clip(0), vectors[:, :kept]
    if energy < 1 and values[0] > 0:
        reached = np.cumsum(values) / values.sum()
        kept = int(np.searchsorted(reached, energy - 1e-12)) + 1
    kept = min(kept, most or kept)
    coordinates = x @ vectors if d <= n else vectors * np.sqrt(n * values)
    return coordinates[:, :kept], values[:kept]
