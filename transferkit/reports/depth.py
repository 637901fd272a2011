"""Numbers over the depth of networks: one curve a model, one panel a data set or level."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from rich import box
from rich.table import Table
from rich.text import Text

from ..core.results import Result
from .figures import AxisLabels, Curve, curves

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_PANELS = 6


def depth_figure(
    records: Sequence[Result], y: str, *, panel: Callable[[Result], str] = lambda record: record.data
) -> "Figure":
    """Values by how far along its network a layer lies, 0 the image and 1 the last layer.

    Several data sets in one panel are averaged; the interval is that of their mean. Of more panels than fit,
    those that come first are drawn.

    Args:
        records: in order of depth.
        y: what the values are.
        panel: which panel a record belongs to.
    """
    panels = list(dict.fromkeys(panel(record) for record in records))[:MOST_PANELS]
    drawn = {name: _lines([r for r in records if panel(r) == name]) for name in panels}
    return curves(drawn, AxisLabels("", "depth", y))


def _lines(records: Sequence[Result]) -> Mapping[str, Curve]:
    lines = {}
    for model in dict.fromkeys(record.model for record in records):
        own = [record for record in records if record.model == model]
        layers = list(dict.fromkeys(record.layer for record in own))
        means = [_mean([record for record in own if record.layer == layer]) for layer in layers]
        places = [(index + 1) / len(layers) for index in range(len(layers))]
        lines[model] = Curve(places, *(list(column) for column in zip(*means, strict=True)))
    return lines


def _mean(records: Sequence[Result]) -> tuple[float, float, float]:
    """The mean of independent values, and its interval."""
    value = float(np.mean([record.value for record in records]))
    below = np.linalg.norm([record.value - record.ci_low for record in records]) / len(records)
    above = np.linalg.norm([record.ci_high - record.value for record in records]) / len(records)
    return value, value - float(below), value + float(above)


def semantic_table(records: Sequence[Result]) -> Table:
    """What layers say of each level: means over data sets, and where they lie between their floors.

    One row a model and layer; a column a level, with the normalised mean behind it where there are floors.

    Args:
        records: of the protocol ``semantic``, in order of depth.
    """
    levels = list(dict.fromkeys(record.settings["level"] for record in records))
    table = Table(
        title="Semantics: explained share of the targets, and (normalised) between the floors and all",
        box=box.SIMPLE_HEAD,
        title_justify="left",
        pad_edge=False,
    )
    for heading in ("model", "layer", *levels):
        table.add_column(heading, justify="right" if heading in levels else "left")
    for model, layer in dict.fromkeys((record.model, record.layer) for record in records):
        own = [record for record in records if (record.model, record.layer) == (model, layer)]
        cells = [_semantic_cell([r for r in own if r.settings["level"] == level]) for level in levels]
        table.add_row(Text(model), Text(layer), *cells)
    return table


def _semantic_cell(records: Sequence[Result]) -> str:
    if not records:
        return "–"
    value, low, high = _mean(records)
    known = [record.extra_metrics["normalised"] for record in records if "normalised" in record.extra_metrics]
    return f"{value:.3f} ±{(high - low) / 2:.3f}" + (f" ({np.mean(known):+.2f})" if known else "")


def depth_table(results: Sequence[Result], *, title: str) -> Table:
    """Mean over data sets, layer by layer: one row a layer, the deepest last; one column a model."""
    table = Table(title=Text(title), box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    models = list(dict.fromkeys(r.model for r in results))
    table.add_column("layer")
    for model in models:
        table.add_column(Text(model), justify="right")
    for layer in _by_depth(results):
        here = [[r.value for r in results if r.model == m and r.layer == layer] for m in models]
        table.add_row(Text(layer), *(f"{np.mean(v):.3f}" if v else "–" for v in here))
    return table


def _by_depth(results: Sequence[Result]) -> list[str]:
    """Layers by how far along their networks they lie; records come in order of depth."""
    depths: dict[str, list[float]] = {}
    for model in dict.fromkeys(r.model for r in results):
        layers = list(dict.fromkeys(r.layer for r in results if r.model == model))
        for index, layer in enumerate(layers, 1):
            depths.setdefault(layer, []).append(index / len(layers))
    return sorted(depths, key=lambda layer: math.fsum(depths[layer]) / len(depths[layer]))
