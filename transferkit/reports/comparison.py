"""Paired differences between models, as a table."""

from collections.abc import Sequence

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from ..core.results import recipe
from ..core.statistics import FEWEST
from ..protocols.compare import Comparison, Comparisons

_WORDS = ("data", "layer", "protocol", "first", "second")
_NUMBERS = ("first − second", "95 % interval", "p", "first ahead", "behind", "of")


def comparison_tables(comparisons: Comparisons) -> Group:
    """Differences data set by data set, then over all of them where there are several."""
    tables = [_table(comparisons.each, "Differences on the same test rows or images")]
    if comparisons.overall:
        tables.append(_table(comparisons.overall, "Differences over data sets"))
    return Group(*tables)


def _table(rows: Sequence[Comparison], title: str) -> Table:
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for heading in _WORDS:
        table.add_column(heading, overflow="fold")
    for heading in _NUMBERS:
        table.add_column(heading, justify="right")
    tests = " or ".join(dict.fromkeys(row.found.test for row in rows))
    intervals = " or ".join(dict.fromkeys(i.method for row in rows if (i := row.found.interval)))
    told = f"Interval: {intervals}." if intervals else f"Fewer than {FEWEST} data sets have no interval."
    table.caption = f"p: {tests}. {told}" if rows else None
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
        f"{found.interval.low:+.3f} to {found.interval.high:+.3f}" if found.interval else "–",
        f"{found.p:.3f}" if found.p >= 0.0005 else "<0.001",
        str(found.ahead),
        str(found.behind),
        str(found.n),
    )
