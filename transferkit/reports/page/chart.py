"""What a chart shows, before it is known whether a browser or a paper draws it."""

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
        diagonal: whether ``y = x`` is drawn for comparison.
    """

    lines: Mapping[str, Curve]
    diagonal: bool = False


@dataclass(frozen=True)
class Bars:
    """Groups of bars, one bar a series.

    Attributes:
        groups: ``[g]`` names.
        series: name → ``[g]`` heights; None where there is none.
    """

    groups: Sequence[str]
    series: Mapping[str, Sequence[float | None]]


@dataclass(frozen=True, eq=False)
class Heat:
    """A matrix in 0 … 1.

    Attributes:
        rows: ``[r]`` names.
        columns: ``[c]`` names.
        values: ``[r, c]``; NaN where there is none.
    """

    rows: Sequence[str]
    columns: Sequence[str]
    values: NDArray[np.float64]


@dataclass(frozen=True)
class Points:
    """Named points; a name may have several.

    Attributes:
        places: name → ``(x, y, what this point is)``.
    """

    places: Mapping[str, Sequence[tuple[float, float, str]]]


@dataclass(frozen=True)
class RankLines:
    """A critical-difference diagram.

    Attributes:
        ranks: mean ranks, and which cannot be told apart.
    """

    ranks: Ranks

    @property
    def bars(self) -> list[tuple[float, float, float]]:
        """``(from, to, height)`` of what joins models; they stand above the best model, which stands at 0."""
        by_name = dict(zip(self.ranks.models, self.ranks.mean_ranks, strict=True))
        places = []
        for number, group in enumerate(self.ranks.groups):
            own = [by_name[name] for name in group]
            places.append((min(own) - 0.04, max(own) + 0.04, -0.6 - 0.45 * number))
        return places


Panel = Curves | Bars | Heat | Points | RankLines


@dataclass(frozen=True)
class Chart:
    """One chart with one or more panels; a browser shows one at a time, a paper all.

    Attributes:
        key: of its file and its place in the page; letters, digits and hyphens.
        title: above it.
        caption: how to read it.
        panels: name → what it shows; never empty.
        x, y: what the axes are.
        names: in which order names take colours, so that a model keeps its own everywhere.
    """

    key: str
    title: str
    caption: str
    panels: Mapping[str, Panel]
    x: str = ""
    y: str = ""
    names: Sequence[str] = field(default=())

    def position(self, name: str) -> int:
        """Which colour a name takes; one that is not among ``names`` takes the next after them."""
        return self.names.index(name) if name in self.names else len(self.names)
