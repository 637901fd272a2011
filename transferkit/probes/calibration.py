"""Calibration of probabilities: metrics, and temperature scaling.

Shapes: ``n`` rows, ``c`` classes; probabilities are ``[n, c]`` with rows that sum to 1.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..core.errors import ShapeError, UsageError
from ..core.json_dataclass import JsonDataclass
from .accuracy import require_scores

BINS = 15
"""Number of bins of the expected calibration error, as in the study and in [1]."""

SMALLEST = float(np.finfo(np.float64).eps)
"""Lower bound of probabilities, so that one impossible row costs 36 nats instead of infinity."""

TEMPERATURES = (1e-2, 1e2)
"""Range of the fitted temperature."""


@dataclass(frozen=True)
class Reliability(JsonDataclass):
    """Confidence and accuracy of the bins that contain a row.

    Attributes:
        confidence: mean highest probability of each bin.
        accuracy: fraction of correct rows of each bin.
        count: number of rows of each bin.
    """

    confidence: tuple[float, ...]
    accuracy: tuple[float, ...]
    count: tuple[int, ...]

    @property
    def error(self) -> float:
        """Mean absolute difference of confidence and accuracy, weighted by the rows of each bin."""
        gaps = np.abs(np.subtract(self.confidence, self.accuracy))
        return float(np.average(gaps, weights=self.count))


def reliability(
    probabilities: NDArray[np.floating],
    labels: NDArray[np.integer],
    *,
    bins: int = BINS,
    equal: Literal["width", "mass"] = "width",
) -> Reliability:
    """Compute the reliability curve [1].

    The confidence of a row is its highest probability. With equal widths, bin ``i`` is ``(i/bins, (i+1)/bins]``,
    and the first bin also contains 0. With equal mass [2], a row with ``r`` rows of lower confidence is in bin
    ``⌊bins · r / n⌋``: bins have equal numbers of rows, except that equal confidences share a bin.

    Raises:
        UsageError: if ``bins`` is below 1.
        ShapeError: if a row is not a distribution.

    [1] Guo et al., On calibration of modern neural networks, ICML 2017.
    [2] Nguyen and O'Connor, Posterior calibration and exploratory analysis for natural language processing
        models, EMNLP 2015.
    """
    require_probabilities(probabilities, labels)
    return _curve(*_confidence(probabilities, labels), bins, equal)


def _confidence(
    probabilities: NDArray[np.floating], labels: NDArray[np.integer]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the highest probabilities ``[n]``, and a mask ``[n]`` of correct predictions."""
    return probabilities.max(axis=1).astype(np.float64), probabilities.argmax(axis=1) == labels


def _curve(
    confidence: NDArray[np.float64], hit: NDArray[np.bool_], bins: int, equal: Literal["width", "mass"]
) -> Reliability:
    if bins < 1:
        raise UsageError(f"{bins} bins are too few: give 1 or more.")
    if equal == "width":
        bin_of = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    else:
        bin_of = np.searchsorted(np.sort(confidence), confidence) * bins // len(confidence)
    count = np.bincount(bin_of, minlength=bins)
    held = count > 0
    means = (np.bincount(bin_of, values, bins)[held] / count[held] for values in (confidence, hit))
    mean_confidence, accuracy = (tuple(values.tolist()) for values in means)
    return Reliability(mean_confidence, accuracy, tuple(count[held].tolist()))


def expected_calibration_error(
    probabilities: NDArray[np.floating],
    labels: NDArray[np.integer],
    *,
    bins: int = BINS,
    equal: Literal["width", "mass"] = "width",
) -> float:
    """Return the expected calibration error over the bins of ``reliability``; equal mass gives the adaptive error.

    Raises: the errors of ``reliability``.
    """
    return reliability(probabilities, labels, bins=bins, equal=equal).error


def negative_log_likelihood(probabilities: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
    """Return the mean ``−log p`` of the correct class, in nats."""
    require_probabilities(probabilities, labels)
    return _mean_nll(probabilities, labels)


def _mean_nll(probabilities: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
    own = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return float(-np.log(own.clip(SMALLEST, 1)).mean())


def brier_score(probabilities: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
    """Return the mean squared distance to the one-hot label, summed over classes: 0 … 2 [3].

    With ``y`` the correct class, the score of a row is ``Σp² − 2p_y + 1``.

    [3] Brier, Verification of forecasts expressed in terms of probability, Monthly Weather Review 1950.
    """
    require_probabilities(probabilities, labels)
    return _mean_brier(probabilities, labels)


def _mean_brier(probabilities: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
    own = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    squares = np.einsum("nc,nc->n", probabilities, probabilities, dtype=np.float64)
    return float((squares - 2 * own + 1).mean())


def calibration(probabilities: NDArray[np.floating], labels: NDArray[np.integer]) -> dict[str, Any]:
    """Return ``nll``, ``brier``, ``ece``, ``adaptive_ece``, and the ``reliability`` curve with 15 bins of equal width.

    Raises: ShapeError: if a row is not a distribution.
    """
    require_probabilities(probabilities, labels)
    confidence, hit = _confidence(probabilities, labels)
    curve = _curve(confidence, hit, BINS, "width")
    return {
        "nll": _mean_nll(probabilities, labels),
        "brier": _mean_brier(probabilities, labels),
        "ece": curve.error,
        "adaptive_ece": _curve(confidence, hit, BINS, "mass").error,
        "reliability": curve.to_json(),
    }


def tempered(probabilities: NDArray[np.floating], temperature: float) -> NDArray[np.float64]:
    """Return the probabilities ``[n, c]`` after their logits are divided by ``temperature``.

    The result is ``p^(1/T)``, normalised to a sum of 1, because logits are ``log p`` up to a constant. The most
    probable class does not change.

    Raises: UsageError: if the temperature is not above 0.
    """
    if not 0 < temperature < float("inf"):
        raise UsageError(f"A temperature of {temperature:g} is invalid: it must be above 0.")
    return _softmax(_logits(probabilities) / temperature)


def fitted_temperature(
    probabilities: NDArray[np.floating], labels: NDArray[np.integer], *, tolerance: float = 1e-8
) -> float | None:
    """Return the temperature whose ``tempered`` probabilities have the lowest negative log-likelihood [1].

    With ``z = log p`` and ``β = 1/T``, the log-likelihood ``Σ log softmax(βz)_y`` is concave in ``β``. Newton's
    method finds the zero of its derivative ``z_y − E_p[z]``, with bisection if a step leaves the bracket.

    Args:
        probabilities: ``[n, c]``, of rows that are used neither to fit nor to score the probe.
        labels: ``[n]``.
        tolerance: relative tolerance of ``β``.

    Returns: the temperature; None if there is no minimum within ``TEMPERATURES``: either all rows are correct, so
        the error rate at high confidence is unknown, or the predictions are worse than chance.
    Raises: ShapeError: if a row is not a distribution.
    """
    require_probabilities(probabilities, labels)
    z = _logits(probabilities)  # [n, c]
    own = z[np.arange(len(labels)), labels].mean()
    low, high = 1 / TEMPERATURES[1], 1 / TEMPERATURES[0]
    if _moments(z, low)[0] >= own or _moments(z, high)[0] <= own:
        return None
    beta = 1.0
    while high - low > tolerance * high:
        mean, variance = _moments(z, beta)
        low, high = (beta, high) if mean < own else (low, beta)
        new = beta + (own - mean) / variance if variance > 0 else low
        if abs(new - beta) <= tolerance * beta:
            return float(1 / new)
        beta = new if low < new < high else (low + high) / 2
    return float(1 / beta)


def _moments(z: NDArray[np.float64], beta: float) -> tuple[float, float]:
    """Return ``E_p[z]`` and ``Var_p[z]`` under ``p = softmax(βz)``, averaged over rows."""
    p = _softmax(beta * z)
    mean = (p * z).sum(axis=1)  # [n]
    return float(mean.mean()), float((p * (z - mean[:, None]) ** 2).sum(axis=1).mean())


def _logits(probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    return np.log(probabilities.astype(np.float64).clip(SMALLEST, 1))


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def require_probabilities(probabilities: NDArray[np.floating], labels: NDArray[np.integer]) -> None:
    """Check that all rows are distributions.

    Raises: ShapeError: if not; the message names the first such row.
    """
    require_scores(probabilities, labels)
    total = probabilities.sum(axis=1, dtype=np.float64)
    bad = ~(np.isclose(total, 1, atol=1e-3) & (probabilities >= 0).all(axis=1))
    if bad.any():
        row = int(bad.argmax())
        raise ShapeError(
            f"Row {row} is not a distribution: it sums to {total[row]:.4g}. Convert scores to probabilities first."
        )
