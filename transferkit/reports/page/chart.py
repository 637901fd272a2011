"""Contents of charts, independent of whether Plotly or matplotlib draws them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..figures import Curve
from ..statistics import Ranks


@dataclass(frozen=True)
class Curves:
    """Named lines.

    Attributes:
        lines: name → line.
        diagonal: Whether the line ``y = x`` is drawn for comparison.
    """

    lines: Mapping[str, Curve]
    diagonal: bool = False


@dataclass(frozen=True)
class Bars:
    """Groups of bars, one bar per series.

    Attributes:
        groups: ``[g]`` names.
        series: name → ``[g]`` heights; None for a missing bar.
    """

    groups: Sequence[str]
    series: Mapping[str, Sequence[float | None]]


@dataclass(frozen=True, eq=False)
class Heat:
    """A matrix in 0 … 1.

    Attributes:
        rows: ``[r]`` names.
        columns: ``[c]`` names.
        values: ``[r, c]``; NaN for a missing value.
    """

    rows: Sequence[str]
    columns: Sequence[str]
    values: NDArray[np.float64]


@dataclass(frozen=True)
class Points:
    """Named series of points.

    Attributes:
        points: name → ``(x, y, label)`` of each point.
    """

    points: Mapping[str, Sequence[tuple[float, float, str]]]


@dataclass(frozen=True)
class RankLines:
    """A critical-difference diagram.

    Attributes:
        ranks: Mean ranks, and groups of models that do not differ significantly.
    """

    ranks: Ranks

    @property
    def bars(self) -> list[tuple[float, float, float]]:
        """``(from, to, y)`` of bars that join models; they are above the best model, whose y is 0."""
        by_name = dict(zip(self.ranks.models, self.ranks.mean_ranks, strict=True))
        bars = []
        for index, group in enumerate(self.ranks.groups):
            own = [by_name[name] for name in group]
            bars.append((min(own) - 0.04, max(own) + 0.04, -0.6 - 0.45 * index))
        return bars


Panel = Curves | Bars | Heat | Points | RankLines


@dataclass(frozen=True)
class Chart:
    """One chart with one or more panels; the page shows one panel at a time, a paper all of them.

    Attributes:
        key: Name of its file and of its section of the page; letters, digits and hyphens.
        title: Title above the chart.
        caption: Explanation of the chart.
        panels: name → panel; never empty.
        x, y: Labels of the axes.
        names: Names in the order of their colours, so that a model has the same colour in all charts.
    """

    key: str
    title: str
    caption: str
    panels: Mapping[str, Panel]
    x: str = ""
    y: str = ""
    names: Sequence[str] = field(default=())

    def position(self, name: str) -> int:
        """Return the index of a name's colour; unknown names have the index after the last one."""
        return self.names.index(name) if name in self.names else len(self.names)
