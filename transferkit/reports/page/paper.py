"""Charts for papers, drawn by matplotlib: all panels of a chart on one sheet."""

import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..figures import COLOURS, DASHES, MARKERS, Curve, empty_figure, in_style, marker, save_figure
from .chart import Bars, Chart, Curves, Heat, Points, RankLines

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HATCHES = ("", "////", "xxxx", "....", "----", "++++", "||||", "\\\\\\\\")
FORMS = ("svg", "pdf", "png")
MAX_WIDTH = 20.0
"""Maximum width of a sheet in inches, unless a single panel is wider."""

MAX_PANELS = 24
"""Maximum number of panels on one sheet; only the first ones are drawn."""


def save_charts(charts: Iterable[Chart], folder: Path) -> list[Path]:
    """Write every chart as SVG, PDF and PNG, each named by its key.

    Returns: the paths.
    """
    return [path for chart in charts for path in save_figure(sheet(chart), folder / chart.key, forms=FORMS)]


@in_style
def sheet(chart: Chart) -> "Figure":
    """Draw all panels of a chart, up to four per row, and one legend below them."""
    panels = list(chart.panels.items())[:MAX_PANELS]
    width, height = _size(chart)
    columns = max(1, min(4 if len(panels) > 4 else 3, len(panels), int(MAX_WIDTH // width)))
    rows = math.ceil(len(panels) / columns)
    figure = empty_figure(columns * width + 0.4, rows * height + 0.5)
    legend: dict[str, Any] = {}
    for index, (name, panel) in enumerate(panels):
        axes = figure.add_subplot(rows, columns, index + 1)
        _DRAW[type(panel)](axes, panel, chart)
        axes.set_title(name, fontsize=9)
        if not isinstance(panel, Heat | RankLines):
            axes.set(xlabel=chart.x, ylabel=chart.y if index % columns == 0 else "")
        handles, names = axes.get_legend_handles_labels()
        legend |= dict(zip(names, handles, strict=True))
    if legend:
        figure.legend(legend.values(), legend, loc="outside lower center", ncols=min(4, len(legend)))
    return figure


def _size(chart: Chart) -> tuple[float, float]:
    """Return width and height of one panel in inches."""
    sizes = [(2.7, 2.3)]
    for panel in chart.panels.values():
        if isinstance(panel, Heat):
            sizes.append((1.6 + 0.42 * len(panel.columns), 1.1 + 0.34 * len(panel.rows)))
        elif isinstance(panel, RankLines):
            sizes.append((3.6, 0.9 + 0.26 * (len(panel.ranks.models) + len(panel.ranks.groups))))
        elif isinstance(panel, Bars):
            sizes.append((1.4 + 0.12 * len(panel.groups) * len(panel.series), 2.4))
    return max(w for w, _ in sizes), max(h for _, h in sizes)


def _style(chart: Chart, name: str) -> tuple[str, str]:
    position = chart.position(name)
    return COLOURS[position % len(COLOURS)], MARKERS[marker(position)]


def _curves(axes: "Axes", panel: Curves, chart: Chart) -> None:
    if panel.diagonal:
        axes.plot([0, 1], [0, 1], color="#999999", linestyle=":", linewidth=1)
    for name, line in panel.lines.items():
        _line(axes, name, line, chart)


def _line(axes: "Axes", name: str, line: Curve, chart: Chart) -> None:
    colour, marker = _style(chart, name)
    dashes = DASHES[chart.position(name) // len(COLOURS) % len(DASHES)]
    drawn: dict[str, Any] = {"marker": marker, "markersize": 3.5, "linestyle": dashes, "linewidth": 1.3}
    axes.plot(line.x, line.y, color=colour, label=_plain(name), **drawn)
    if len(line.low):
        axes.fill_between(line.x, line.low, line.high, color=colour, alpha=0.15, linewidth=0)


def _bars(axes: "Axes", panel: Bars, chart: Chart) -> None:
    width = 0.8 / max(1, len(panel.series))
    positions = np.arange(len(panel.groups))
    for index, (name, heights) in enumerate(panel.series.items()):
        drawn = [np.nan if height is None else height for height in heights]
        shift = (index - (len(panel.series) - 1) / 2) * width
        hatch = HATCHES[chart.position(name) // len(COLOURS) % len(HATCHES)]
        colour, _ = _style(chart, name)
        axes.bar(
            positions + shift,
            drawn,
            width,
            color=colour,
            hatch=hatch,
            edgecolor="white",
            linewidth=0,
            label=_plain(name),
        )
    axes.set_xticks(positions, [_plain(group) for group in panel.groups], rotation=30, ha="right")


def _heat(axes: "Axes", panel: Heat, chart: Chart) -> None:
    axes.grid(visible=False)
    axes.imshow(panel.values, vmin=0, vmax=1, cmap="viridis", aspect="auto")
    axes.set_xticks(range(len(panel.columns)), [_plain(n) for n in panel.columns], rotation=45, ha="right")
    axes.set_yticks(range(len(panel.rows)), [_plain(n) for n in panel.rows])
    if len(panel.columns) <= 12:
        for (row, column), value in np.ndenumerate(panel.values):
            if np.isfinite(value):
                ink = "white" if value < 0.6 else "black"
                axes.text(column, row, f"{value:.2f}", ha="center", va="center", color=ink, fontsize=6)


def _points(axes: "Axes", panel: Points, chart: Chart) -> None:
    for name, points in sorted(panel.points.items(), key=lambda item: chart.position(item[0])):
        colour, marker = _style(chart, name)
        x, y = [x for x, _, _ in points], [y for _, y, _ in points]
        axes.plot(x, y, color=colour, marker=marker, markersize=4, linestyle="none", label=_plain(name))


def _rank_lines(axes: "Axes", panel: RankLines, chart: Chart) -> None:
    ranks = panel.ranks
    axes.grid(visible=True, axis="x")
    axes.grid(visible=False, axis="y")
    bars = panel.bars
    for low, high, y in bars:
        axes.plot([low, high], [y, y], color="#777777", linewidth=3, solid_capstyle="butt")
    for position, (name, rank) in enumerate(zip(ranks.models, ranks.mean_ranks, strict=True)):
        colour, marker = _style(chart, name)
        axes.plot([rank], [position], color=colour, marker=marker, markersize=5)
        axes.annotate(f"{rank:.2f}", (rank, position), (6, 0), textcoords="offset points", va="center", fontsize=7)
    axes.set_yticks(range(len(ranks.models)), [_plain(name) for name in ranks.models])
    axes.set(xlim=(0.8, len(ranks.models) + 0.6), xlabel=chart.x)
    axes.set_ylim(len(ranks.models) - 0.5, -0.9 - 0.45 * len(bars))


def _plain(name: str) -> str:
    """Escape a name for matplotlib, which reads ``$`` as mathematics and hides labels that begin with ``_``."""
    text = name.replace("$", r"\$")
    return f"\u200a{text}" if text.startswith("_") else text


_DRAW: dict[type, Callable[..., None]] = {
    Curves: _curves,
    Bars: _bars,
    Heat: _heat,
    Points: _points,
    RankLines: _rank_lines,
}
