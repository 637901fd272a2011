"""Figures as SVG and PNG: curves with intervals, heat maps, scatters; colours that the colour-blind can tell.

Nothing here keeps global state: every figure is an object of its own, drawn without a screen.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..core.errors import MissingExtraError, ShapeError
from ..core.files import appearing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#999999")
"""Okabe and Ito, Color universal design, 2008."""

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
    """Which of eight marks goes with a colour of eight: every round of the colours starts one mark on.

    >>> [marker(position) for position in (0, 1, 7, 8, 9, 15, 16)]
    [0, 1, 7, 1, 2, 0, 2]
    """
    return (position + position // len(COLOURS)) % len(COLOURS)


@dataclass(frozen=True)
class Curve:
    """One curve.

    Attributes:
        x: ``[n]`` places.
        y: ``[n]`` heights.
        low, high: ``[n]`` of the interval; empty for none.
    """

    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()


@dataclass(frozen=True)
class AxisLabels:
    """What stands around a panel."""

    title: str = ""
    x: str = ""
    y: str = ""


P = ParamSpec("P")
T = TypeVar("T")


def in_style(draw: Callable[P, T]) -> Callable[P, T]:
    """Draw with our settings, and leave matplotlib's own as they were."""

    @wraps(draw)
    def styled(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            import matplotlib
        except ModuleNotFoundError as error:
            raise MissingExtraError("matplotlib", extra="report", purpose="for figures") from error
        with matplotlib.rc_context(_STYLE):
            return draw(*args, **kwargs)

    return styled


def curves(panels: Mapping[str, Mapping[str, Curve]], words: AxisLabels) -> "Figure":
    """One panel beside another, with the same lines in the same colours, and one legend.

    Args:
        panels: title → name → line.
        words: the title of all, and what the axes are.
    """
    return curve_rows({words.y: panels}, words)


@in_style
def curve_rows(rows: Mapping[str, Mapping[str, Mapping[str, Curve]]], words: AxisLabels) -> "Figure":
    """Rows of panels under each other, a quantity each, with the same lines in the same colours.

    Args:
        rows: what is drawn → title → name → line.
        words: the title of all, and what the other axis is.
    """
    widest = max(1, *(len(panels) for panels in rows.values()))
    figure = empty_figure(3.2 * widest + 1.2, 3.2 * len(rows))
    names = list(dict.fromkeys(n for panels in rows.values() for lines in panels.values() for n in lines))
    for row, (y, panels) in enumerate(rows.items()):
        for column, (title, lines) in enumerate(panels.items(), 1):
            axes = figure.add_subplot(len(rows), widest, row * widest + column)
            for name, line in lines.items():
                _draw(axes, line, names.index(name), name)
            axes.set(title=title, xlabel=words.x, ylabel=y if column == 1 else "")
    return _finished(figure, words.title)


def _draw(axes: "Axes", line: Curve, index: int, name: str) -> None:
    colour, shape = COLOURS[index % len(COLOURS)], MARKERS[marker(index)]
    dashes = DASHES[index // len(COLOURS) % len(DASHES)]
    axes.plot(line.x, line.y, color=colour, marker=shape, linestyle=dashes, markersize=4, linewidth=1.4, label=name)
    if len(line.low):
        axes.fill_between(line.x, line.low, line.high, color=colour, alpha=0.15, linewidth=0)


def _finished(figure: "Figure", title: str) -> "Figure":
    """With a title, and one legend for all panels."""
    handles: dict[str, Any] = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(str(label), handle)
    columns = min(4, len(handles) or 1)
    figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=columns)
    figure.suptitle(title)
    return figure


@in_style
def heat_map(values: NDArray[np.floating], rows: Sequence[str], columns: Sequence[str], words: AxisLabels) -> "Figure":
    """A matrix in colours, with its numbers where there is room for them; what is missing stays white.

    Args:
        values: ``[r, c]`` in 0 … 1; NaN where there is no value.
        rows: names.
        columns: names.
        words: the title, and what rows (``y``) and columns (``x``) are.

    Raises: ShapeError: if the names do not fit.
    """
    if values.shape != (len(rows), len(columns)):
        raise ShapeError(f"{list(values.shape)} values need as many names, not {len(rows)} × {len(columns)}.")
    figure = empty_figure(1.8 + 0.5 * len(columns), 1.4 + 0.4 * len(rows))
    axes = figure.add_subplot()
    axes.grid(visible=False)
    image = axes.imshow(values, vmin=0, vmax=1, cmap="viridis", aspect="auto")
    axes.set(title=words.title, xlabel=words.x, ylabel=words.y)
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
def scatter(panels: Mapping[str, Mapping[str, tuple[float, float]]], words: AxisLabels) -> "Figure":
    """Named points, one panel beside another.

    Args:
        panels: title → name → place.
        words: the title of all, and what the axes are.
    """
    figure = empty_figure(2.8 * max(1, len(panels)) + 0.6, 3.4)
    names = list(dict.fromkeys(name for points in panels.values() for name in points))
    for index, (title, points) in enumerate(panels.items(), 1):
        axes = figure.add_subplot(1, len(panels), index)
        for name, (x, y) in points.items():
            place = names.index(name)
            colour, shape = COLOURS[place % len(COLOURS)], MARKERS[marker(place)]
            axes.plot([x], [y], color=colour, marker=shape, linestyle="none", label=name)
        axes.set(title=title, xlabel=words.x, ylabel=words.y if index == 1 else "")
    return _finished(figure, words.title)


def empty_figure(width: float, height: float) -> "Figure":
    """An empty one, in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


@in_style
def picture_rows(rows: Mapping[str, NDArray[np.uint8]], words: AxisLabels) -> "Figure":
    """Rows of pictures under each other, each with its name at its left.

    Args:
        rows: name → ``[n, 3, s, s]`` pixels.
        words: the title.
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
    figure.suptitle(words.title)
    return figure


@in_style
def save_figure(figure: "Figure", place: Path, *, forms: Sequence[str] = FORMS) -> list[Path]:
    """Write ``place`` with an ending a form; the same figure gives the same bytes.

    Args:
        figure: what is written.
        place: a path without an ending.
        forms: ``svg``, ``pdf`` or ``png``.

    Returns: the paths, in the order of the forms.
    """
    written = []
    for form in forms:
        path = place.parent / f"{place.name}.{form}"
        with appearing(path) as part:
            figure.savefig(part, format=form, metadata=_UNDATED.get(form))
        written.append(path)
    return written
