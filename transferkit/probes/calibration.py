"""Whether probabilities mean what they say, and the one number that makes them mean it better.

Shapes: ``n`` rows, ``c`` classes; probabilities are ``[n, c]`` with rows that sum to 1.
"""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..core.errors import ShapeError, UsageError
from .accuracy import require_scores

BINS = 15
"""Of the expected calibration error, as in the study and in [1]."""

SMALLEST = float(np.finfo(np.float64).eps)
"""Probabilities below count as this one, so that one impossible row costs 36 nats and not infinity."""

TEMPERATURES = (1e-2, 1e2)
"""Between these a temperature is sought."""


@dataclass(frozen=True)
class Reliability:
    """Confidence against accuracy, bin by bin, of the bins that hold a row.

    Attributes:
        confidence: mean highest probability of each bin.
        accuracy: part of its rows that are right.
        count: its rows.
    """

    confidence: tuple[float, ...]
    accuracy: tuple[float, ...]
    count: tuple[int, ...]

    @property
    def error(self) -> float:
        """The mean gap between confidence and accuracy, every bin weighing as many rows as it holds."""
        gaps = np.abs(np.subtract(self.confidence, self.accuracy))
        return float(np.average(gaps, weights=self.count))

    def to_json(self) -> dict[str, list[float]]:
        """Plain values."""
        return {name: list(values) for name, values in asdict(self).items()}


def reliability(
    probabilities: NDArray[np.floating],
    labels: NDArray[np.integer],
    *,
    bins: int = BINS,
    equal: Literal["width", "mass"] = "width",
) -> Reliability:
    """The reliability curve [1].

    A row's confidence is its highest probability. Of equal width, the bin ``(i/bins, (i+1)/bins]`` holds
    what lies in it, and the first one 0 too. Of equal mass [2], the row that ``r`` rows lie below is in bin
    ``⌊bins · r / n⌋``: as many rows each, except that equal confidences stay together.

    Raises:
        UsageError: if ``bins`` is below 1.
        ShapeError: if a row is no distribution.

    [1] Guo et al., On calibration of modern neural networks, ICML 2017.
    [2] Nguyen and O'Connor, Posterior calibration and exploratory analysis for natural language processing
        models, EMNLP 2015.
    """
    require_probabilities(probabilities, labels)
    return _curve(*_confidence(probabilities, labels), bins, equal)


def _confidence(
    probabilities: NDArray[np.floating], labels: NDArray[np.integer]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Highest probabilities ``[n]``, and whether they are the right class's."""
    return probabilities.max(axis=1).astype(np.float64), probabilities.argmax(axis=1) == labels


def _curve(
    confidence: NDArray[np.float64], hit: NDArray[np.bool_], bins: int, equal: Literal["width", "mass"]
) -> Reliability:
    if bins < 1:
        raise UsageError(f"{bins} bins hold nothing: give 1 or more.")
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
    """The mean gap between confidence and accuracy over the bins of ``reliability``; of equal mass: adaptive.

    Raises: as ``reliability``.
    """
    return reliability(probabilities, labels, bins=bins, equal=equal).error


def negative_log_likelihood(probabilities: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
    """Mean ``−log p`` of the right class, in nats."""
    require_probabilities(probabilities, labels)
    return _surprise(probabilities, labels)


def _surprise(probabilities: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
    own = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return float(-np.log(own.clip(SMALLEST, 1)).mean())


def brier_score(probabilities: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
    """Mean squared distance to the one-hot truth, summed over classes: 0 … 2 [3].

    With ``y`` the right class, a row's is ``Σp² − 2p_y + 1``.

    [3] Brier, Verification of forecasts expressed in terms of probability, Monthly Weather Review 1950.
    """
    require_probabilities(probabilities, labels)
    return _distance(probabilities, labels)


def _distance(probabilities: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
    own = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    squares = np.einsum("nc,nc->n", probabilities, probabilities, dtype=np.float64)
    return float((squares - 2 * own + 1).mean())


def calibration(probabilities: NDArray[np.floating], labels: NDArray[np.integer]) -> dict[str, Any]:
    """``nll``, ``brier``, ``ece``, ``adaptive_ece``, and the ``reliability`` curve of equal widths, 15 bins.

    Raises: ShapeError: if a row is no distribution.
    """
    require_probabilities(probabilities, labels)
    confidence, hit = _confidence(probabilities, labels)
    curve = _curve(confidence, hit, BINS, "width")
    return {
        "nll": _surprise(probabilities, labels),
        "brier": _distance(probabilities, labels),
        "ece": curve.error,
        "adaptive_ece": _curve(confidence, hit, BINS, "mass").error,
        "reliability": curve.to_json(),
    }


def tempered(probabilities: NDArray[np.floating], temperature: float) -> NDArray[np.float64]:
    """What the probabilities become when their logits are divided by ``temperature``, ``[n, c]``.

    ``p^(1/T)``, brought to a sum of 1: logits are ``log p`` but for what all classes share. The most
    probable class stays so.

    Raises: UsageError: if the temperature is not above 0.
    """
    if not 0 < temperature < float("inf"):
        raise UsageError(f"A temperature of {temperature:g} scales nothing: it must be above 0.")
    return _softmax(_logits(probabilities) / temperature)


def fitted_temperature(
    probabilities: NDArray[np.floating], labels: NDArray[np.integer], *, tolerance: float = 1e-8
) -> float | None:
    """The temperature whose ``tempered`` probabilities have the lowest negative log-likelihood [1].

    With ``z = log p`` and ``β = 1/T``, the likelihood ``Σ log softmax(βz)_y`` is concave in ``β``. Newton's
    steps look for the zero of its slope ``E_p[z] − z_y``, halving the bracket where they leave it.

    Args:
        probabilities: ``[n, c]``, of rows that neither fitted the probe nor will score it.
        labels: ``[n]``.
        tolerance: of ``β``, relative.

    Returns: None where it has no minimum within ``TEMPERATURES``: every row is right, so that none says how
        often a confident answer is wrong; or the answers are worse than guessing.
    Raises: ShapeError: if a row is no distribution.
    """
    require_probabilities(probabilities, labels)
    z = _logits(probabilities)  # [n, c]
    own = z[np.arange(len(labels)), labels].mean()
    low, high = 1 / TEMPERATURES[1], 1 / TEMPERATURES[0]
    if _slope(z, low)[0] >= own or _slope(z, high)[0] <= own:
        return None
    beta = 1.0
    while high - low > tolerance * high:
        mean, bend = _slope(z, beta)
        low, high = (beta, high) if mean < own else (low, beta)
        new = beta + (own - mean) / bend if bend > 0 else low
        if abs(new - beta) <= tolerance * beta:
            return float(1 / new)
        beta = new if low < new < high else (low + high) / 2
    return float(1 / beta)


def _slope(z: NDArray[np.float64], beta: float) -> tuple[float, float]:
    """``E_p[z]`` and ``Var_p[z]`` under ``p = softmax(βz)``, averaged over rows."""
    p = _softmax(beta * z)
    mean = (p * z).sum(axis=1)  # [n]
    return float(mean.mean()), float((p * (z - mean[:, None]) ** 2).sum(axis=1).mean())


def _logits(probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    return np.log(probabilities.astype(np.float64).clip(SMALLEST, 1))


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


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
            f"Row {row} is no distribution: it sums to {total[row]:.4g}. Turn scores into probabilities first."
        )
