"""Charts as Plotly specifications; the page adapts their colours to the light and dark theme.

Names are escaped, because Plotly reads HTML markup in text.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from ..figures import COLOURS, Curve, marker
from .chart import Bars, Chart, Curves, Heat, Panel, Points, RankLines

PATTERNS = ("", "/", "x", ".", "-", "+", "|", "\\")
SYMBOLS = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "x", "star")
DASHES = ("solid", "dash", "dot", "dashdot")
_DIGITS = 4

Spec = dict[str, Any]


def spec_of(chart: Chart) -> Spec:
    """Return the chart's panels with Plotly data and layout, in the format of the page's script."""
    panels = [{"name": name, **_panel(chart, panel)} for name, panel in chart.panels.items()]
    return {"key": chart.key, "panels": panels}


def _panel(chart: Chart, panel: Panel) -> Spec:
    if isinstance(panel, Curves):
        return _curves(chart, panel)
    if isinstance(panel, Bars):
        return _bars(chart, panel)
    if isinstance(panel, Heat):
        return _heat(panel)
    return _points(chart, panel) if isinstance(panel, Points) else _rank_lines(chart, panel)


def _axes(chart: Chart) -> Spec:
    start = {"rangemode": "tozero"} if chart.x == "depth" else {}
    return {"xaxis": {"title": {"text": chart.x}, **start}, "yaxis": {"title": {"text": chart.y}}}


def _curves(chart: Chart, panel: Curves) -> Spec:
    data: list[Spec] = []
    if panel.diagonal:
        line = {"color": "#999999", "dash": "dot", "width": 1}
        ends = [0, 1]
        data.append({"x": ends, "y": ends, "mode": "lines", "line": line, "showlegend": False, "hoverinfo": "skip"})
    for name, line_of in panel.lines.items():
        position = chart.position(name)
        data += _band(line_of, position, escape(name))
        data.append(
            {
                "x": _rounded(line_of.x),
                "y": _rounded(line_of.y),
                "name": escape(name),
                "legendgroup": escape(name),
                "mode": "lines+markers",
                "line": {"color": _colour(position), "dash": DASHES[position // len(COLOURS) % len(DASHES)]},
                "marker": {"symbol": SYMBOLS[marker(position)], "size": 7},
                "hovertemplate": "%{y:.3f} at %{x:.3g}",
            }
        )
    return {"data": data, "layout": _axes(chart)}


def _band(line: Curve, position: int, name: str) -> Iterator[Spec]:
    """Yield the interval as an area without a border."""
    if len(line.low):
        x = _rounded([*line.x, *reversed(line.x)])
        yield {
            "x": x,
            "y": _rounded([*line.high, *reversed(line.low)]),
            "fill": "toself",
            "fillcolor": _colour(position),
            "opacity": 0.15,
            "mode": "lines",
            "line": {"width": 0},
            "legendgroup": name,
            "showlegend": False,
            "hoverinfo": "skip",
        }


def _bars(chart: Chart, panel: Bars) -> Spec:
    data = [
        {
            "type": "bar",
            "x": [escape(group) for group in panel.groups],
            "y": [None if y is None else round(y, _DIGITS) for y in heights],
            "name": escape(name),
            "marker": {"color": _colour(position), "pattern": _pattern(position)},
            "hovertemplate": "%{y:.3f}",
        }
        for name, heights in panel.series.items()
        for position in [chart.position(name)]
    ]
    return {"data": data, "layout": {**_axes(chart), "barmode": "group"}}


def _heat(panel: Heat) -> Spec:
    values = [[None if not np.isfinite(v) else round(float(v), 3) for v in line] for line in panel.values]
    few = len(panel.columns) <= 12
    data = {
        "type": "heatmap",
        "z": values,
        "x": [escape(name) for name in panel.columns],
        "y": [escape(name) for name in panel.rows],
        "zmin": 0,
        "zmax": 1,
        "colorscale": "Viridis",
        "texttemplate": "%{z:.2f}" if few else "",
        "hovertemplate": "%{y} × %{x}: %{z:.3f}<extra></extra>",
    }
    axis = {"type": "category", "showgrid": False}
    layout = {"xaxis": axis, "yaxis": {**axis, "autorange": "reversed"}}
    return {"data": [data], "layout": layout}


def _points(chart: Chart, panel: Points) -> Spec:
    data = []
    for name, points in sorted(panel.points.items(), key=lambda item: chart.position(item[0])):
        position = chart.position(name)
        data.append(
            {
                "x": _rounded([x for x, _, _ in points]),
                "y": _rounded([y for _, y, _ in points]),
                "text": [escape(label) for _, _, label in points],
                "name": escape(name),
                "mode": "markers",
                "marker": {"color": _colour(position), "symbol": SYMBOLS[marker(position)], "size": 9},
                "hovertemplate": "%{text}: %{x:.4g} → %{y:.3f}",
            }
        )
    return {"data": data, "layout": _axes(chart)}


def _rank_lines(chart: Chart, panel: RankLines) -> Spec:
    ranks = panel.ranks
    bars = panel.bars
    data: list[Spec] = [
        {
            "x": [low, high],
            "y": [y, y],
            "mode": "lines",
            "line": {"color": "#888888", "width": 6},
            "showlegend": False,
            "hovertemplate": "not significantly different<extra></extra>",
        }
        for low, high, y in bars
    ]
    positions = range(len(ranks.models))
    middle = (1 + len(ranks.models)) / 2
    data.append(
        {
            "x": _rounded(ranks.mean_ranks),
            "y": list(positions),
            "text": [f"{rank:.2f}" for rank in ranks.mean_ranks],
            "textposition": ["middle right" if rank < middle else "middle left" for rank in ranks.mean_ranks],
            "mode": "markers+text",
            "marker": {"color": [_colour(chart.position(name)) for name in ranks.models], "size": 11},
            "showlegend": False,
            "hovertemplate": "%{y}: %{x:.2f}<extra></extra>",
        }
    )
    step = math.ceil(len(ranks.models) / 10)
    lowest = -0.8 - 0.45 * len(bars)
    layout = {
        "xaxis": {
            "title": {"text": chart.x},
            "range": [0.5, len(ranks.models) + 0.5],
            "tick0": 1,
            "dtick": step,
        },
        "yaxis": {
            "tickvals": list(positions),
            "ticktext": [escape(name) for name in ranks.models],
            "range": [len(ranks.models) - 0.4, lowest],
        },
        "height": 150 + 34 * len(ranks.models) + 16 * len(bars),
    }
    return {"data": data, "layout": layout}


def _colour(position: int) -> str:
    return COLOURS[position % len(COLOURS)]


def _pattern(position: int) -> Spec:
    """Return the fill pattern of a bar; each repetition of the colours has another pattern."""
    shape = PATTERNS[position // len(COLOURS) % len(PATTERNS)]
    return {"shape": shape, "fillmode": "overlay", "size": 5, "solidity": 0.4}


def _rounded(values: Sequence[float]) -> list[float]:
    return [float(f"{value:.5g}") for value in values]


def theme() -> Mapping[str, Any]:
    """Return the layout that all charts share; the page sets the colours of text and grid."""
    return {
        "margin": {"l": 56, "r": 16, "t": 12, "b": 48},
        "height": 380,
        "hovermode": "closest",
        "legend": {
            "x": 0,
            "y": 0,
            "yref": "container",
            "yanchor": "bottom",
            "maxheight": 1,
            "tracegroupgap": 0,
        },
        "font": {"size": 13},
    }
