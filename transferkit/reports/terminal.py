"""The ranking in the terminal: tables with intervals and small bars."""

import math
from collections.abc import Sequence

import numpy as np

from ..core.fitted_table import Cell, Column, FittedTable, Name, Styled
from ..core.statistics import Interval
from .key_numbers import NOTHING_TO_COMPARE, key_numbers
from .result_table import Ranked, ResultTable
from .summary import overview, overview_table

BAR_WIDTH = 24
"""Width of a bar of value 1 in characters."""

_COLUMNS = (
    Column("#", right=True),
    Column("model"),
    Column("", optional=True),
    Column("mean", right=True),
    Column("rank", right=True),
    Column("significantly\nbetter than"),
)


def terminal_view(found: ResultTable) -> list[FittedTable | str]:
    """Return the key numbers, the means per model, and a ranking for each recipe with at least two models."""
    parts: list[FittedTable | str] = [*key_numbers(found)]
    if side_by_side := overview(found):
        parts += ["", overview_table(side_by_side)]
    for one in found.ranked.values():
        parts += ["", _ranking(found, one)]
    parts += [f"Not shown: {sentence}" for sentence in found.left_out]
    return parts or [NOTHING_TO_COMPARE]


def _ranking(found: ResultTable, one: Ranked) -> FittedTable:
    sets = one.data[0] if len(one.data) == 1 else f"mean over {len(one.data)} data sets"
    missing = [f"Not ranked because of missing data sets: {', '.join(one.left_out)}"] if one.left_out else []
    rank_of = dict(zip(one.ranks.models, one.ranks.mean_ranks, strict=True))
    order = sorted(one.means, key=lambda model: -one.means[model])
    rows: list[tuple[Cell, ...]] = []
    for position, model in enumerate(order, 1):
        interval = mean_interval(found, one, model)
        beaten = sorted(order.index(other) + 1 for other in one.ranks.beaten_by(model))
        rows.append(
            (
                str(position),
                Name(model),
                bar(one.means[model], interval.half_width),
                f"{one.means[model]:.3f} {interval.margin}".rstrip(),
                f"{rank_of[model]:.1f}",
                positions_text(beaten) if len(beaten) < len(order) - 1 else "all others",
            )
        )
    return FittedTable(_COLUMNS, rows, missing, title=f"{one.recipe}: {sets}")


def positions_text(positions: Sequence[int]) -> str:
    """Return positions of a ranking, in ascending order, as text.

    >>> positions_text([2, 3, 4, 7])
    '#2–4, 7'
    """
    runs: list[list[int]] = []
    for position in positions:
        if runs and runs[-1][-1] == position - 1:
            runs[-1].append(position)
        else:
            runs.append([position])
    texts = (str(run[0]) if len(run) == 1 else f"{run[0]}–{run[-1]}" for run in runs)
    return f"#{', '.join(texts)}" if runs else ""


def mean_interval(found: ResultTable, one: Ranked, model: str) -> Interval:
    """Return the 95 % interval of a model's mean, with the data sets as fixed; unknown if that of a part is."""
    intervals = [found.cells[one.recipe, model, data].interval for data in one.data]
    half = float(np.linalg.norm([interval.half_width for interval in intervals])) / len(intervals)
    return Interval(one.means[model] - half, one.means[model] + half, "of the mean")


def bar(value: float, half: float, *, width: int = BAR_WIDTH) -> Styled:
    """Draw a bar of ``value`` in 0 … 1, whose interval ``value ± half`` is shaded; NaN stands for no interval.

    >>> str(bar(0.5, 0.125, width=8))
    '███▒▒   '
    """
    ends = (value, value) if math.isnan(half) else (value - half, value + half)
    low, high = (min(width, max(0, round(end * width))) for end in ends)
    return Styled("█" * low + "▒" * (high - low) + " " * (width - high), "cyan")
