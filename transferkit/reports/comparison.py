"""Paired differences between models, as a table."""

from collections.abc import Sequence

from ..core.fitted_table import Column, FittedTable, Name
from ..core.results import recipe
from ..protocols.compare import Comparison, Comparisons

_COLUMNS = (
    Column("data", group=4, constant="{}"),
    Column("layer", group=3, constant="layer {}"),
    Column("protocol", group=1, constant="{}"),
    Column("model A", group=2, constant="A: {}"),
    Column("model B", group=2, constant="B: {}"),
    Column("A", right=True),
    Column("B", right=True),
    Column("A − B", right=True),
    Column("95 % interval", right=True),
    Column("p", right=True),
    Column("better\nA : B", right=True),
    Column("n", right=True),
)


def comparison_tables(comparisons: Comparisons) -> list[FittedTable | str]:
    """Return the differences on each data set, then over all data sets if there are several."""
    parts: list[FittedTable | str] = ["", _table(comparisons.each, "Differences on the same test rows or images")]
    if comparisons.overall:
        parts += ["", _table(comparisons.overall, "Differences over data sets")]
    return parts


def _table(rows: Sequence[Comparison], title: str) -> FittedTable:
    tests = " or ".join(dict.fromkeys(row.found.test for row in rows))
    intervals = " or ".join(dict.fromkeys(row.found.interval.method for row in rows))
    return FittedTable(_COLUMNS, [_cells(row) for row in rows], [f"p: {tests}. Interval: {intervals}."], title)


def _cells(row: Comparison) -> tuple[str | Name, ...]:
    found = row.found
    return (
        Name(row.data[0]) if len(row.data) == 1 else f"{len(row.data)} data sets",
        row.layer_a if row.layer_a == row.layer_b else f"{row.layer_a} / {row.layer_b}",
        recipe(row.protocol, row.settings),
        Name(row.a),
        Name(row.b),
        f"{row.value_a:.3f}",
        f"{row.value_b:.3f}",
        f"{found.difference:+.3f}",
        found.interval.signed,
        f"{found.p:.3f}" if found.p >= 0.0005 else "<0.001",
        f"{found.wins} : {found.losses}",
        str(found.n),
    )
