"""Paired differences between models, as a table."""

from collections.abc import Sequence

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from ..core.results import recipe
from ..protocols.compare import Comparison, Comparisons

_TEXT_COLUMNS = ("data", "layer", "protocol", "first", "second")
_NUMBER_COLUMNS = ("first − second", "95 % interval", "p", "first better", "second better", "n")


def comparison_tables(comparisons: Comparisons) -> Group:
    """Show the differences on each data set, then over all data sets if there are several."""
    tables = [_table(comparisons.each, "Differences on the same test rows or images")]
    if comparisons.overall:
        tables.append(_table(comparisons.overall, "Differences over data sets"))
    return Group(*tables)


def _table(rows: Sequence[Comparison], title: str) -> Table:
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for heading in _TEXT_COLUMNS:
        table.add_column(heading, overflow="fold")
    for heading in _NUMBER_COLUMNS:
        table.add_column(heading, justify="right")
    tests = " or ".join(dict.fromkeys(row.found.test for row in rows))
    intervals = " or ".join(dict.fromkeys(row.found.interval.method for row in rows))
    note = f"Interval: {intervals}."
    table.caption = f"p: {tests}. {note}" if rows else None
    table.caption_justify = "left"
    for row in rows:
        table.add_row(*map(Text, _cells(row)))
    return table


def _cells(row: Comparison) -> tuple[str, ...]:
    found = row.found
    return (
        row.data[0] if len(row.data) == 1 else f"{len(row.data)} data sets",
        row.layer_a if row.layer_a == row.layer_b else f"{row.layer_a} / {row.layer_b}",
        recipe(row.protocol, row.settings),
        f"{row.a} {row.value_a:.3f}",
        f"{row.b} {row.value_b:.3f}",
        f"{found.difference:+.3f}",
        found.interval.signed,
        f"{found.p:.3f}" if found.p >= 0.0005 else "<0.001",
        str(found.ahead),
        str(found.behind),
        str(found.n),
    )
