"""Figures as SVG and PNG: curves with intervals, heat maps and scatter plots, in a palette for the colour-blind.

Figures are matplotlib ``Figure`` objects that need no display and change no global state.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..core.errors import MissingExtraError, ShapeError
from ..core.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#999999")
"""Palette of Okabe and Ito, Color universal design, 2008."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
DASHES = ("-", "--", ":", "-.")
FORMS = ("svg", "png")
_UNDATED: dict[str, Any] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
_STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "transferkit",
    "figure.dpi": 150,
}


def marker(position: int) -> int:
    """Return the index of the marker for a position: each repetition of the eight colours shifts the markers by one.

    >>> [marker(position) for position in (0, 1, 7, 8, 9, 15, 16)]
    [0, 1, 7, 1, 2, 0, 2]
    """
    return (position + position // len(COLOURS)) % len(COLOURS)


@dataclass(frozen=True)
class Curve:
    """One curve.

    Attributes:
        x: ``[n]`` horizontal coordinates.
        y: ``[n]`` values.
        low, high: ``[n]`` limits of the intervals; empty without intervals. For a value without interval, both are
            the value itself; NaN is replaced by it.
    """

    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()

    def __post_init__(self) -> None:
        for name in ("low", "high"):
            if len(limits := getattr(self, name)):
                known = [y if isnan(limit) else limit for y, limit in zip(self.y, limits, strict=True)]
                object.__setattr__(self, name, known)


@dataclass(frozen=True)
class AxisLabels:
    """Title and axis labels of a figure."""

    title: str = ""
    x: str = ""
    y: str = ""


P = ParamSpec("P")
T = TypeVar("T")


def in_style(draw: Callable[P, T]) -> Callable[P, T]:
    """Decorate a drawing function to use this module's style, without changing matplotlib's global settings."""

    @wraps(draw)
    def styled(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            import matplotlib
        except ModuleNotFoundError as error:
            raise MissingExtraError("matplotlib", extra="report", purpose="for figures") from error
        with matplotlib.rc_context(_STYLE):
            return draw(*args, **kwargs)

    return styled


def curves(panels: Mapping[str, Mapping[str, Curve]], axis_labels: AxisLabels) -> "Figure":
    """Draw panels side by side; a line has the same colour in all of them, and there is one legend.

    Args:
        panels: title → name → line.
        axis_labels: title of the figure and labels of the axes.
    """
    return curve_rows({axis_labels.y: panels}, axis_labels)


@in_style
def curve_rows(rows: Mapping[str, Mapping[str, Mapping[str, Curve]]], axis_labels: AxisLabels) -> "Figure":
    """Draw rows of panels, one quantity per row; a line has the same colour in all of them.

    Args:
        rows: label of the vertical axis → title → name → line.
        axis_labels: title of the figure and label of the horizontal axis.
    """
    widest = max(1, *(len(panels) for panels in rows.values()))
    figure = empty_figure(3.2 * widest + 1.2, 3.2 * len(rows))
    names = list(dict.fromkeys(n for panels in rows.values() for lines in panels.values() for n in lines))
    for row, (y, panels) in enumerate(rows.items()):
        for column, (title, lines) in enumerate(panels.items(), 1):
            axes = figure.add_subplot(len(rows), widest, row * widest + column)
            for name, line in lines.items():
                _draw(axes, line, names.index(name), name)
            axes.set(title=title, xlabel=axis_labels.x, ylabel=y if column == 1 else "")
    return _with_legend(figure, axis_labels.title)


def _draw(axes: "Axes", line: Curve, index: int, name: str) -> None:
    colour, shape = COLOURS[index % len(COLOURS)], MARKERS[marker(index)]
    dashes = DASHES[index // len(COLOURS) % len(DASHES)]
    axes.plot(line.x, line.y, color=colour, marker=shape, linestyle=dashes, markersize=4, linewidth=1.4, label=name)
    if len(line.low):
        axes.fill_between(line.x, line.low, line.high, color=colour, alpha=0.15, linewidth=0)


def _with_legend(figure: "Figure", title: str) -> "Figure":
    """Add a title and one legend for all panels."""
    handles: dict[str, Any] = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(str(label), handle)
    columns = min(4, len(handles) or 1)
    figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=columns)
    figure.suptitle(title)
    return figure


@in_style
def heat_map(
    values: NDArray[np.floating], rows: Sequence[str], columns: Sequence[str], axis_labels: AxisLabels
) -> "Figure":
    """Draw a matrix as colours, with numbers in the cells of up to 16 columns; missing values are white.

    Args:
        values: ``[r, c]`` in 0 … 1; NaN for a missing value.
        rows: ``[r]`` names.
        columns: ``[c]`` names.
        axis_labels: title, and labels of rows (``y``) and columns (``x``).

    Raises: ShapeError: if the number of names does not match the matrix.
    """
    if values.shape != (len(rows), len(columns)):
        raise ShapeError(f"{list(values.shape)} values need as many names, not {len(rows)} × {len(columns)}.")
    figure = empty_figure(1.8 + 0.5 * len(columns), 1.4 + 0.4 * len(rows))
    axes = figure.add_subplot()
    axes.grid(visible=False)
    image = axes.imshow(values, vmin=0, vmax=1, cmap="viridis", aspect="auto")
    axes.set(title=axis_labels.title, xlabel=axis_labels.x, ylabel=axis_labels.y)
    axes.set_xticks(range(len(columns)), columns, rotation=45, ha="right")
    axes.set_yticks(range(len(rows)), rows)
    if len(columns) <= 16:
        for (row, column), value in np.ndenumerate(values):
            if np.isfinite(value):
                ink = "white" if value < 0.6 else "black"
                axes.text(column, row, f"{value:.2f}", ha="center", va="center", color=ink, fontsize=7)
    figure.colorbar(image, ax=axes)
    return figure


@in_style
def scatter(panels: Mapping[str, Mapping[str, tuple[float, float]]], axis_labels: AxisLabels) -> "Figure":
    """Draw named points in panels side by side.

    Args:
        panels: title → name → (x, y).
        axis_labels: title of the figure and labels of the axes.
    """
    figure = empty_figure(2.8 * max(1, len(panels)) + 0.6, 3.4)
    names = list(dict.fromkeys(name for points in panels.values() for name in points))
    for index, (title, points) in enumerate(panels.items(), 1):
        axes = figure.add_subplot(1, len(panels), index)
        for name, (x, y) in points.items():
            position = names.index(name)
            colour, shape = COLOURS[position % len(COLOURS)], MARKERS[marker(position)]
            axes.plot([x], [y], color=colour, marker=shape, linestyle="none", label=name)
        axes.set(title=title, xlabel=axis_labels.x, ylabel=axis_labels.y if index == 1 else "")
    return _with_legend(figure, axis_labels.title)


def empty_figure(width: float, height: float) -> "Figure":
    """Return an empty figure of a width and height in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


@in_style
def picture_rows(rows: Mapping[str, NDArray[np.uint8]], axis_labels: AxisLabels) -> "Figure":
    """Draw rows of pictures, each with its name on the left.

    Args:
        rows: name → ``[n, 3, s, s]`` pixels.
        axis_labels: title of the figure; the axes have no labels.
    """
    widest = max(len(pictures) for pictures in rows.values())
    figure = empty_figure(1.9 + 1.1 * widest, 0.5 + 1.15 * len(rows))
    for index, (name, pictures) in enumerate(rows.items(), 1):
        axes = figure.add_subplot(len(rows), 1, index)
        axes.grid(visible=False)
        axes.imshow(np.concatenate(list(pictures.transpose(0, 2, 3, 1)), axis=1), interpolation="nearest")
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
        axes.set_ylabel(name.replace(" ", "\n"), rotation=0, ha="right", va="center")
    figure.suptitle(axis_labels.title)
    return figure


@in_style
def save_figure(figure: "Figure", stem: Path, *, forms: Sequence[str] = FORMS) -> list[Path]:
    """Write one file per format; the same figure gives the same bytes.

    Args:
        figure: the figure.
        stem: path without a suffix.
        forms: formats: ``svg``, ``pdf`` or ``png``.

    Returns: the paths, in the order of the formats.
    """
    written = []
    for form in forms:
        path = stem.parent / f"{stem.name}.{form}"
        with atomic_path(path) as part:
            figure.savefig(part, format=form, metadata=_UNDATED.get(form))
        written.append(path)
    return written
