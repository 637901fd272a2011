"""Accuracy, as fractions; ties go to the class with the lower index.

Shapes: ``n`` rows, ``c`` classes. A class without rows is ignored.
"""

import numpy as np
from numpy.typing import NDArray

from ..core.errors import ShapeError, UsageError


def ranks(scores: NDArray[np.floating], labels: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return the rank of the correct class, ``[n]``: 0 is a correct prediction.

    Args:
        scores: ``[n, c]``, higher is more likely.
        labels: ``[n]`` integers in ``0 … c-1``.

    Raises: ShapeError: if they do not fit, or there is no row.
    """
    require_scores(scores, labels)
    own = scores[np.arange(len(labels)), labels][:, None]  # [n, 1]
    earlier = np.arange(scores.shape[1]) < labels[:, None]  # [n, c]
    return ((scores > own) | ((scores == own) & earlier)).sum(axis=1)


def top_k_accuracy(scores: NDArray[np.floating], labels: NDArray[np.integer], *, k: int) -> float:
    """Return the fraction of rows whose correct class is among the ``k`` highest scores.

    >>> top_k_accuracy(np.array([[0.1, 0.7, 0.2], [0.5, 0.3, 0.2]]), np.array([2, 0]), k=1)
    0.5
    """
    if k < 1:
        raise UsageError(f"k={k} is invalid: give 1 or more.")
    return float((ranks(scores, labels) < k).mean())


def mean_per_class_accuracy(scores: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
    """Return the mean of the accuracies per class."""
    hits, count = class_hits(ranks(scores, labels), labels)
    return float((hits / count).mean())


def class_hits(rank: NDArray[np.integer], labels: NDArray[np.integer]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count the correct predictions and the rows of each class, ``[c']`` each.

    Args:
        rank: ``[n]``, from ``ranks``.
        labels: ``[n]``.

    Returns: counts of the ``c'`` classes with at least one row.
    """
    count = np.bincount(labels)
    hits = np.bincount(labels[rank == 0], minlength=len(count))
    return hits[count > 0], count[count > 0]


def require_scores(scores: NDArray[np.floating], labels: NDArray[np.integer]) -> None:
    """Refuse scores that are not ``[n, c]`` for ``n ≥ 1`` labels in ``0 … c-1``.

    Raises: ShapeError: if they are; the message has the shapes.
    """
    if scores.ndim != 2 or labels.shape != scores.shape[:1] or not len(labels):
        raise ShapeError(
            f"Scores [n, c] and labels [n] of at least one row are needed, "
            f"not {list(scores.shape)} and {list(labels.shape)}."
        )
    if labels.min() < 0 or labels.max() >= scores.shape[1]:
        raise ShapeError(f"Labels must be in 0 … {scores.shape[1] - 1}.")
