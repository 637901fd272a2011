"""How often the right class is named; fractions, ties go to the class that comes first.

Shapes: ``n`` rows, ``c`` classes. A class that no row has takes no part.
"""

import numpy as np
from numpy.typing import NDArray

from ..core.errors import ShapeError, UsageError


def ranks(scores: NDArray[np.floating], labels: NDArray[np.integer]) -> NDArray[np.int64]:
    """How many classes stand before the right one, ``[n]``: 0 is a hit.

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
    """How often the right class is among the ``k`` highest scores.

    >>> top_k_accuracy(np.array([[0.1, 0.7, 0.2], [0.5, 0.3, 0.2]]), np.array([2, 0]), k=1)
    0.5
    """
    if k < 1:
        raise UsageError(f"The top {k} classes are none: give 1 or more.")
    return float((ranks(scores, labels) < k).mean())


def mean_per_class_accuracy(scores: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
    """The mean over classes of how often each is recognised."""
    hits, count = class_hits(ranks(scores, labels), labels)
    return float((hits / count).mean())


def class_hits(rank: NDArray[np.integer], labels: NDArray[np.integer]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """How many rows of each class are recognised, and how many there are, ``[c']`` each.

    Args:
        rank: ``[n]``, as ``ranks`` gives it.
        labels: ``[n]``.

    Returns: only of the ``c'`` classes that have a row.
    """
    count = np.bincount(labels)
    hits = np.bincount(labels[rank == 0], minlength=len(count))
    return hits[count > 0], count[count > 0]


def require_scores(scores: NDArray[np.floating], labels: NDArray[np.integer]) -> None:
    """Refuse scores that are not ``[n, c]`` for ``n ≥ 1`` labels in ``0 … c-1``.

    Raises: ShapeError: saying what was given.
    """
    if scores.ndim != 2 or labels.shape != scores.shape[:1] or not len(labels):
        raise ShapeError(
            f"Scores [n, c] and labels [n] of at least one row are needed, "
            f"not {list(scores.shape)} and {list(labels.shape)}."
        )
    if labels.min() < 0 or labels.max() >= scores.shape[1]:
        raise ShapeError(f"Labels must lie in 0 … {scores.shape[1] - 1}.")
