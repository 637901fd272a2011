"""Scores that predict transfer, against the accuracy that was then measured."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..protocols.analyses.transferability import ScoreAccuracy
from .figures import AxisLabels, scatter

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def agreement_figures(pairs: Sequence[ScoreAccuracy]) -> dict[str, "Figure"]:
    """One figure a data set and protocol, one panel a score, one point a model and layer.

    Args:
        pairs: scores beside the accuracies that they are held against.
    """
    figures = {}
    for data, protocol in dict.fromkeys((pair.data, pair.protocol) for pair in pairs):
        panels: dict[str, dict[str, tuple[float, float]]] = {}
        for pair in pairs:
            if (pair.data, pair.protocol) == (data, protocol):
                points = panels.setdefault(pair.score, {})
                points[f"{pair.model} {pair.layer}"] = pair.value, pair.reached
        words = AxisLabels(f"{data}: scores against {protocol} accuracy", "score", "accuracy")
        figures[f"{data}-{protocol}"] = scatter(panels, words)
    return figures
