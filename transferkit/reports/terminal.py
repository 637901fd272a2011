"""The ranking in the terminal: tables with intervals and small bars."""

import math

import numpy as np
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ..core.statistics import Interval
from .key_numbers import NOTHING_TO_COMPARE, key_numbers
from .result_table import Ranked, ResultTable
from .summary import overview, overview_table

BAR_WIDTH = 24
"""Width of a bar of value 1 in characters."""


def terminal_view(found: ResultTable) -> Group:
    """Show the key numbers, the means per model, and a ranking for each recipe with at least two models."""
    parts: list[RenderableType] = [Text(sentence) for sentence in key_numbers(found)]
    if side_by_side := overview(found):
        parts += [Text(""), overview_table(side_by_side)]
    for one in found.ranked.values():
        parts += [Text(""), _ranking(found, one)]
    for sentence in found.left_out:
        parts.append(Text(f"Not shown: {sentence}"))
    return Group(*parts) if parts else Group(Text(NOTHING_TO_COMPARE))


def _ranking(found: ResultTable, one: Ranked) -> Table:
    sets = one.data[0] if len(one.data) == 1 else f"mean over {len(one.data)} data sets"
    title = Text(f"{one.recipe}: {sets}")
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    if one.left_out:
        table.caption = Text(f"Not ranked because of missing data sets: {', '.join(one.left_out)}")
        table.caption_justify = "left"
    for heading, side in (("#", "right"), ("model", "left"), ("", "left"), ("mean", "right")):
        table.add_column(heading, justify=side)  # type: ignore[arg-type]
    table.add_column("rank", justify="right")
    table.add_column("significantly better than", overflow="fold")
    rank_of = dict(zip(one.ranks.models, one.ranks.mean_ranks, strict=True))
    order = sorted(one.means, key=lambda model: -one.means[model])
    for position, model in enumerate(order, 1):
        interval = mean_interval(found, one, model)
        beaten = one.ranks.beaten_by(model)
        table.add_row(
            str(position),
            Text(model),
            bar(one.means[model], interval.half_width),
            f"{one.means[model]:.3f} {interval.margin}".rstrip(),
            f"{rank_of[model]:.1f}",
            Text(", ".join(beaten) if len(beaten) < len(order) - 1 else "all other models"),
        )
    return table


def mean_interval(found: ResultTable, one: Ranked, model: str) -> Interval:
    """Return the 95 % interval of a model's mean, with the data sets as fixed; unknown if that of a part is."""
    intervals = [found.cells[one.recipe, model, data].interval for data in one.data]
    half = float(np.linalg.norm([interval.half_width for interval in intervals])) / len(intervals)
    return Interval(one.means[model] - half, one.means[model] + half, "of the mean")


def bar(value: float, half: float, *, width: int = BAR_WIDTH) -> Text:
    """Draw a bar of ``value`` in 0 … 1, whose interval ``value ± half`` is shaded; NaN stands for no interval.

    >>> bar(0.5, 0.125, width=8).plain
    '███▒▒   '
    """
    ends = (value, value) if math.isnan(half) else (value - half, value + half)
    low, high = (min(width, max(0, round(end * width))) for end in ends)
    return Text.assemble(("█" * low, "cyan"), ("▒" * (high - low), "cyan"), " " * (width - high))
