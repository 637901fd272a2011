"""Results over the depth of networks: one curve per model, one panel per data set or semantic level."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..core.fitted_table import Cell, Column, FittedTable, Name
from ..core.results import Result
from .figures import AxisLabels, Curve, curves

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_PANELS = 6


def depth_figure(
    records: Sequence[Result], y: str, *, panel: Callable[[Result], str] = lambda record: record.data
) -> "Figure":
    """Draw values over relative depth, where 0 is the image and 1 the last layer.

    Several data sets in one panel are averaged, and the interval is that of their mean. At most ``MAX_PANELS``
    panels are drawn, the first ones.

    Args:
        records: records in order of depth.
        y: label of the vertical axis.
        panel: function that returns the name of a record's panel.
    """
    panels = list(dict.fromkeys(panel(record) for record in records))[:MAX_PANELS]
    drawn = {name: _lines([r for r in records if panel(r) == name]) for name in panels}
    return curves(drawn, AxisLabels("", "depth", y))


def _lines(records: Sequence[Result]) -> Mapping[str, Curve]:
    lines = {}
    for model in dict.fromkeys(record.model for record in records):
        own = [record for record in records if record.model == model]
        layers = list(dict.fromkeys(record.layer for record in own))
        means = [_mean([record for record in own if record.layer == layer]) for layer in layers]
        depths = [(index + 1) / len(layers) for index in range(len(layers))]
        lines[model] = Curve(depths, *(list(column) for column in zip(*means, strict=True)))
    return lines


def _mean(records: Sequence[Result]) -> tuple[float, float, float]:
    """Return the mean of independent values and the two ends of its interval."""
    value = float(np.mean([record.value for record in records]))
    below = np.linalg.norm([record.value - record.ci_low for record in records]) / len(records)
    above = np.linalg.norm([record.ci_high - record.value for record in records]) / len(records)
    return value, value - float(below), value + float(above)


def semantic_table(records: Sequence[Result]) -> FittedTable:
    """Show the explained fraction of each semantic level: one row per model and layer, one column per level.

    Values are means over data sets. The mean normalised between the two baselines follows in parentheses if the
    records have baselines.

    Args:
        records: records of the protocol ``semantic``, in order of depth.
    """
    levels = list(dict.fromkeys(record.settings["level"] for record in records))
    columns = (
        Column("model", group=1),
        Column("layer"),
        *(Column(level, right=True, stacked=True) for level in levels),
    )
    rows: list[tuple[Cell, ...]] = []
    for model, layer in dict.fromkeys((record.model, record.layer) for record in records):
        own = [record for record in records if (record.model, record.layer) == (model, layer)]
        cells = (_semantic_cell([r for r in own if r.settings["level"] == level]) for level in levels)
        rows.append((Name(model), layer, *cells))
    title = "Semantics: explained fraction of the targets (normalised: 0 is the better baseline, 1 is complete)"
    return FittedTable(columns, rows, title=title)


def _semantic_cell(records: Sequence[Result]) -> str:
    if not records:
        return "–"
    value, low, high = _mean(records)
    known = [record.extra_metrics["normalised"] for record in records if "normalised" in record.extra_metrics]
    return f"{value:.3f} ±{(high - low) / 2:.3f}" + (f" ({np.mean(known):+.2f})" if known else "")


def depth_table(results: Sequence[Result], *, title: str) -> FittedTable:
    """Return means over data sets: one row per layer, the deepest last, and one column per model."""
    models = list(dict.fromkeys(r.model for r in results))
    columns = (Column("layer"), *(Column(model, right=True, stacked=True) for model in models))
    rows = []
    for layer in _by_depth(results):
        values = [[r.value for r in results if r.model == m and r.layer == layer] for m in models]
        rows.append((layer, *(f"{np.mean(v):.3f}" if v else "–" for v in values)))
    return FittedTable(columns, rows, title=title)


def _by_depth(results: Sequence[Result]) -> list[str]:
    """Return layers sorted by their mean relative depth; the records of each model are in order of depth."""
    depths: dict[str, list[float]] = {}
    for model in dict.fromkeys(r.model for r in results):
        layers = list(dict.fromkeys(r.layer for r in results if r.model == model))
        for index, layer in enumerate(layers, 1):
            depths.setdefault(layer, []).append(index / len(layers))
    return sorted(depths, key=lambda layer: math.fsum(depths[layer]) / len(depths[layer]))
