"""Whether probabilities mean what they say.

Shapes: ``n`` rows, ``c`` classes; probabilities are ``[n, c]`` with rows that sum to 1.
"""

import numpy as np
from numpy.typing import NDArray

from ..core.errors import ShapeError, UsageError
from .accuracy import require_scores

BINS = 15
"""Of the expected calibration error, as in the study and in [1]."""

SMALLEST = float(np.finfo(np.float64).eps)
"""Probabilities below count as this one, so that one impossible row costs 36 nats and not infinity."""


def expected_calibration_error(
    probabilities: NDArray[np.floating], labels: NDArray[np.integer], *, bins: int = BINS
) -> float:
    """The mean gap between confidence and accuracy, over bins of equal width [1].

    A row's confidence is its highest probability. The bin ``(i/bins, (i+1)/bins]`` weighs as many rows
    as it holds; the first one holds 0 too.

    [1] Guo et al., On calibration of modern neural networks, ICML 2017.
    """
    require_probabilities(probabilities, labels)
    if bins < 1:
        raise UsageError(f"{bins} bins hold nothing: give 1 or more.")
    confidence = probabilities.max(axis=1).astype(np.float64)  # [n]
    hit = probabilities.argmax(axis=1) == labels
    bin_of = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    gaps = np.bincount(bin_of, weights=hit - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(labels))


def negative_log_likelihood(probabilities: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
    """Mean ``−log p`` of the right class, in nats."""
    require_probabilities(probabilities, labels)
    own = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return float(-np.log(own.clip(SMALLEST, 1)).mean())


def brier_score(probabilities: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
    """Mean squared distance to the one-hot truth, summed over classes: 0 … 2 [2].

    [2] Brier, Verification of forecasts expressed in terms of probability, Monthly Weather Review 1950.
    """
    require_probabilities(probabilities, labels)
    truth = np.eye(probabilities.shape[1])[labels]
    return float(((probabilities - truth) ** 2).sum(axis=1).mean())


def require_probabilities(probabilities: NDArray[np.floating], labels: NDArray[np.integer]) -> None:
    """Refuse rows that are no distributions.

    Raises: ShapeError: naming the first such row.
    """
    require_scores(probabilities, labels)
    total = probabilities.sum(axis=1, dtype=np.float64)
    bad = ~(np.isclose(total, 1, atol=1e-3) & (probabilities >= 0).all(axis=1))
    if bad.any():
        row = int(bad.argmax())
        raise ShapeError(
            f"Row {row} is no distribution: it sums to {total[row]:.4g}. "
            "Turn scores into probabilities first."
        )
