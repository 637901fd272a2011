"""Scores that predict transfer, against the accuracy that was then measured."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..core.results import Result
from .figures import Words, scatter

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def agreement_figures(scores: Sequence[Result], accuracies: Sequence[Result]) -> dict[str, "Figure"]:
    """One figure a data set and protocol, one panel a score, one point a model and layer.

    Args:
        scores: records whose metric is the score's name.
        accuracies: records of the same models, data sets and layers.
    """
    figures = {}
    for data, protocol in dict.fromkeys((r.data, r.protocol) for r in accuracies):
        reached = {
            (r.model, r.layer): r.value for r in accuracies if (r.data, r.protocol) == (data, protocol)
        }
        panels: dict[str, dict[str, tuple[float, float]]] = {}
        for record in scores:
            key = record.model, record.layer
            if record.data == data and key in reached:
                panels.setdefault(record.metric, {})[" ".join(key)] = record.value, reached[key]
        words = Words(f"{data}: scores against {protocol} accuracy", "score", "accuracy")
        figures[f"{data}-{protocol}"] = scatter(panels, words)
    return figures
