"""Scatter plots of transferability scores against measured accuracy."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..protocols.analyses.transferability import ScoreAccuracy
from .figures import AxisLabels, scatter

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def agreement_figures(pairs: Sequence[ScoreAccuracy]) -> dict[str, "Figure"]:
    """Draw one figure per data set and protocol, with one panel per score and one point per model and layer.

    Args:
        pairs: transferability scores with the accuracies that they predict.

    Returns: figures by file name, ``DATA-PROTOCOL``.
    """
    figures = {}
    for data, protocol in dict.fromkeys((pair.data, pair.protocol) for pair in pairs):
        panels: dict[str, dict[str, tuple[float, float]]] = {}
        for pair in pairs:
            if (pair.data, pair.protocol) == (data, protocol):
                points = panels.setdefault(pair.score, {})
                points[f"{pair.model} {pair.layer}"] = pair.value, pair.reached
        labels = AxisLabels(f"{data}: scores against {protocol} accuracy", "score", "accuracy")
        figures[f"{data}-{protocol}"] = scatter(panels, labels)
    return figures
