"""The main table for a text or a paper: a table a recipe, models × data sets, bold only if significant.

Before them stands one with a row a model and a column a recipe, where there are several recipes.
"""

from collections.abc import Callable, Sequence

from ..core.results import SEEN, SEEN_MEANS
from .page.main_table import MainCell, MainRow, main_table
from .result_table import ResultTable
from .summary import MISSING, overview
from .tables import latex_text, markdown_text

Write = Callable[[str], str]


def as_markdown_pivot(found: ResultTable) -> str:
    """Pipe tables, each under the name of its recipe."""
    parts = []
    if lines := _overview(found, markdown_text):
        parts.append(_markdown_table("One row a model", lines))
    for recipe, rows, columns in _by_recipe(found):
        head = ["model", *(markdown_text(name) for name in columns), "mean", "rank"]
        body = [_cells(row, _markdown_cell, markdown_text) for row in rows]
        parts.append(_markdown_table(recipe, [head, *body]) + _seen_note(rows, f"\n{SEEN_MEANS}\n"))
    return "\n".join(parts)


def _markdown_table(title: str, lines: Sequence[Sequence[str]]) -> str:
    head, *body = lines
    ruled = [head, ["---", *["---:"] * (len(head) - 1)], *body]
    return f"## {markdown_text(title)}\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in ruled)


def as_latex_pivot(found: ResultTable) -> str:
    r"""``tabular``\ s with booktabs rules."""
    parts = []
    if lines := _overview(found, latex_text):
        parts.append(_latex_table("One row a model", lines))
    for recipe, rows, columns in _by_recipe(found):
        head = ["model", *(latex_text(name) for name in columns), "mean", "rank"]
        body = [_cells(row, _latex_cell, latex_text) for row in rows]
        note = SEEN_MEANS.replace(SEEN, r"\noindent$^\dagger$")
        parts.append(_latex_table(recipe, [head, *body]) + _seen_note(rows, f"{note}\n"))
    return "\n".join(parts)


def _latex_table(title: str, lines: Sequence[Sequence[str]]) -> str:
    head, *body = (f"{' & '.join(line)} \\\\\n" for line in lines)
    return (
        f"% {title}\n\\begin{{tabular}}{{l{'r' * (len(lines[0]) - 1)}}}\n\\toprule\n"
        f"{head}\\midrule\n{''.join(body)}\\bottomrule\n\\end{{tabular}}\n"
    )


def _overview(found: ResultTable, written: Write) -> list[list[str]]:
    """A line a model below a heading; none where there is one recipe."""
    side_by_side = overview(found)
    if side_by_side is None:
        return []
    columns = range(len(side_by_side.recipes))
    return [
        ["model", *(written(side_by_side.heading(column)) for column in columns)],
        *([written(m), *(v.text if v else MISSING for v in means)] for m, means in side_by_side.rows.items()),
    ]


def _by_recipe(found: ResultTable) -> Sequence[tuple[str, list[MainRow], list[str]]]:
    """Recipe, its rows, and the data sets that one of them has; cells of others are dropped."""
    table = main_table(found)
    tables = []
    for recipe in found.recipes:
        rows = [row for row in table.rows if row.recipe == recipe]
        kept = [i for i in range(len(table.data)) if any(row.cells[i] for row in rows)]
        tables.append((recipe, [_narrowed(row, kept) for row in rows], [table.data[i] for i in kept]))
    return tables


def _seen_note(rows: Sequence[MainRow], note: str) -> str:
    """The note where a model of the table was trained on a data set of it, else nothing."""
    return note if any(cell.seen for row in rows for cell in row.cells if cell) else ""


def _narrowed(row: MainRow, kept: Sequence[int]) -> MainRow:
    return MainRow(row.recipe, row.model, tuple(row.cells[i] for i in kept), row.mean, row.rank, row.bold)


def _cells(row: MainRow, written: Callable[[MainCell], str], name: Write) -> list[str]:
    mean = "–" if row.mean is None else f"{row.mean:.3f}"
    rank = "–" if row.rank is None else f"{row.rank:.1f}"
    return [name(row.model), *("–" if cell is None else written(cell) for cell in row.cells), mean, rank]


def _markdown_cell(cell: MainCell) -> str:
    value = f"**{cell.text}**" if cell.bold else cell.text
    return f"{value} ±{cell.half}" + (f" {SEEN}" if cell.seen else "")


def _latex_cell(cell: MainCell) -> str:
    value = rf"\textbf{{{cell.text}}}" if cell.bold else cell.text
    mark = r"$^\dagger$" if cell.seen else ""
    return rf"{value}{mark} {{\scriptsize $\pm${cell.half}}}"
