"""Checked inputs of the analyses: finite rows and their classes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array

from ..core.errors import DataError, NonFiniteError, ShapeError

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Labelled:
    """Rows and their classes. Shapes: ``n`` rows, ``d`` features, ``c`` classes, each with at least one row.

    Attributes:
        x: ``[n, d]`` float64, finite.
        y: ``[n]`` integers in ``0 … c-1``.
        count: ``[c]``, number of rows of each class, at least 1.
    """

    x: Array
    y: NDArray[np.int64]
    count: NDArray[np.int64]

    def means(self, values: Array) -> Array:
        """Compute the mean of ``values`` ``[n, k]`` over the rows of each class, ``[c, k]``."""
        n, c = len(self.y), len(self.count)
        rows = csr_array((1 / self.count[self.y], (self.y, np.arange(n))), shape=(c, n))
        return rows @ values


def matrix(x: ArrayLike, *, name: str = "Features") -> Array:
    """Convert ``x`` to float64 ``[n, d]`` with n and d at least 1.

    Args:
        x: any real array that numpy can read.
        name: name of the array in errors.

    Raises:
        ShapeError: if ``x`` is not such a matrix.
        NonFiniteError: if ``x`` contains NaN or infinity; the message names the first such row.
    """
    x = np.asarray(x, dtype=np.float64)
    if x.ndim != 2 or not x.size:
        raise ShapeError(f"{name} must be [n, d] with at least one row and column, not {list(x.shape)}.")
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(x.sum()):  # the sum may overflow: each number is checked only if it is not finite
            return x
    finite = np.isfinite(x).all(axis=1)
    if not finite.all():
        raise NonFiniteError(
            f"{name} are NaN or infinite in {(~finite).sum()} of {len(x)} rows, first in row "
            f"{int(finite.argmin())}: leave such rows out."
        )
    return x


def labelled(x: ArrayLike, labels: ArrayLike, *, least: int = 1, name: str = "Features") -> Labelled:
    """Check rows and labels, and renumber the classes so that each of ``0 … c-1`` has a row.

    Args:
        x: ``[n, d]``.
        labels: ``[n]`` integers of any values.
        least: minimum number of classes.
        name: name of ``x`` in errors.

    Raises:
        ShapeError: if they do not fit, or the labels are not integers.
        NonFiniteError: if ``x`` contains NaN or infinity.
        DataError: if there are fewer classes than ``least``.
    """
    x, labels = matrix(x, name=name), np.asarray(labels)
    if labels.shape != x.shape[:1] or not np.issubdtype(labels.dtype, np.integer):
        raise ShapeError(f"{len(x)} rows need as many integer labels [n], not {labels.dtype} {list(labels.shape)}.")
    _, y, count = np.unique(labels, return_inverse=True, return_counts=True)
    if len(count) < least:
        raise DataError(
            f"All {len(x)} rows are of {len(count)} class: this needs at least {least}. Add rows of others."
        )
    return Labelled(x, y.astype(np.int64), count.astype(np.int64))
