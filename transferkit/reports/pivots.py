"""Tables for texts and papers in Markdown and LaTeX: one table of models × data sets per recipe.

Bold marks significance. If there are several recipes, the first table has one row per model and one column per
recipe.
"""

from collections.abc import Callable, Sequence

from ..core.results import SEEN, SEEN_MEANS
from .page.main_table import MainCell, MainRow, main_table
from .result_table import ResultTable
from .summary import MISSING, overview
from .tables import latex_text, markdown_text, pipe_table, tabular

Escape = Callable[[str], str]


def as_markdown_pivot(found: ResultTable) -> str:
    """Return pipe tables, each under the name of its recipe."""
    parts = []
    if lines := _overview(found, markdown_text):
        parts.append(_markdown_table("Means per model", lines))
    for recipe, rows, columns in _by_recipe(found):
        head = ["model", *(markdown_text(name) for name in columns), "mean", "rank"]
        body = [_cells(row, _markdown_cell, markdown_text) for row in rows]
        parts.append(_markdown_table(recipe, [head, *body]) + _seen_note(rows, f"\n{SEEN_MEANS}\n"))
    return "\n".join(parts)


def _markdown_table(title: str, lines: Sequence[Sequence[str]]) -> str:
    return f"## {markdown_text(title)}\n\n{pipe_table(lines, _alignment(lines))}"


def as_latex_pivot(found: ResultTable) -> str:
    """Return one ``tabular`` environment with booktabs rules per table."""
    parts = []
    if lines := _overview(found, latex_text):
        parts.append(_latex_table("Means per model", lines))
    for recipe, rows, columns in _by_recipe(found):
        head = ["model", *(latex_text(name) for name in columns), "mean", "rank"]
        body = [_cells(row, _latex_cell, latex_text) for row in rows]
        note = SEEN_MEANS.replace(SEEN, r"\noindent$^\dagger$")
        parts.append(_latex_table(recipe, [head, *body]) + _seen_note(rows, f"{note}\n"))
    return "\n".join(parts)


def _latex_table(title: str, lines: Sequence[Sequence[str]]) -> str:
    return f"% {title}\n{tabular(lines, _alignment(lines))}"


def _alignment(lines: Sequence[Sequence[str]]) -> str:
    """Return the alignment of names followed by numbers."""
    return "l" + "r" * (len(lines[0]) - 1)


def _overview(found: ResultTable, escape: Escape) -> list[list[str]]:
    """Return a heading and one line per model; nothing if there is one recipe."""
    side_by_side = overview(found)
    if side_by_side is None:
        return []
    columns = range(len(side_by_side.recipes))
    return [
        ["model", *(escape(side_by_side.heading(column)) for column in columns)],
        *([escape(m), *(v.text if v else MISSING for v in means)] for m, means in side_by_side.rows.items()),
    ]


def _by_recipe(found: ResultTable) -> Sequence[tuple[str, list[MainRow], list[str]]]:
    """Return each recipe with its rows and the data sets of its columns, without empty columns."""
    table = main_table(found)
    tables = []
    for recipe in found.recipes:
        rows = [row for row in table.rows if row.recipe == recipe]
        kept = [i for i in range(len(table.data)) if any(row.cells[i] for row in rows)]
        tables.append((recipe, [_select_columns(row, kept) for row in rows], [table.data[i] for i in kept]))
    return tables


def _seen_note(rows: Sequence[MainRow], note: str) -> str:
    """Return the note if a model of the table was trained on a data set of it, otherwise an empty string."""
    return note if any(cell.seen for row in rows for cell in row.cells if cell) else ""


def _select_columns(row: MainRow, kept: Sequence[int]) -> MainRow:
    return MainRow(row.recipe, row.model, tuple(row.cells[i] for i in kept), row.mean, row.rank, row.bold)


def _cells(row: MainRow, format_cell: Callable[[MainCell], str], escape: Escape) -> list[str]:
    mean = "–" if row.mean is None else f"{row.mean:.3f}"
    rank = "–" if row.rank is None else f"{row.rank:.1f}"
    return [escape(row.model), *("–" if cell is None else format_cell(cell) for cell in row.cells), mean, rank]


def _markdown_cell(cell: MainCell) -> str:
    value = f"**{cell.text}**" if cell.bold else cell.text
    return " ".join(filter(None, (value, cell.margin, SEEN if cell.seen else "")))


def _latex_cell(cell: MainCell) -> str:
    value = rf"\textbf{{{cell.text}}}" if cell.bold else cell.text
    mark = r"$^\dagger$" if cell.seen else ""
    margin = cell.margin.replace("±", r"$\pm$")
    return rf"{value}{mark} {{\scriptsize {margin}}}" if margin else value + mark
