"""The main table for a text or a paper: a table a recipe, models × data sets, bold only if significant."""

from collections.abc import Callable, Sequence

from .evidence import Evidence
from .page.main_table import Row, Shown, main_table
from .tables import latex_text, markdown_text

Write = Callable[[str], str]


def as_markdown_pivot(found: Evidence) -> str:
    """Pipe tables, each under the name of its recipe."""
    parts = []
    for recipe, rows, columns in _by_recipe(found):
        head = ["model", *(markdown_text(name) for name in columns), "mean", "rank"]
        lines = [head, ["---", *["---:"] * (len(head) - 1)]]
        lines += [_cells(row, _markdown_cell, markdown_text) for row in rows]
        body = "".join(f"| {' | '.join(line)} |\n" for line in lines)
        parts.append(f"## {markdown_text(recipe)}\n\n{body}")
    return "\n".join(parts)


def as_latex_pivot(found: Evidence) -> str:
    r"""``tabular``\ s with booktabs rules."""
    parts = []
    for recipe, rows, columns in _by_recipe(found):
        head = ["model", *(latex_text(name) for name in columns), "mean", "rank"]
        body = "".join(f"{' & '.join(_cells(row, _latex_cell, latex_text))} \\\\\n" for row in rows)
        parts.append(
            f"% {recipe}\n\\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}\n\\toprule\n"
            f"{' & '.join(head)} \\\\\n\\midrule\n{body}\\bottomrule\n\\end{{tabular}}\n"
        )
    return "\n".join(parts)


def _by_recipe(found: Evidence) -> Sequence[tuple[str, list[Row], list[str]]]:
    """Recipe, its rows, and the data sets that one of them has; cells of others are dropped."""
    table = main_table(found)
    tables = []
    for recipe in found.recipes:
        rows = [row for row in table.rows if row.recipe == recipe]
        kept = [i for i in range(len(table.data)) if any(row.cells[i] for row in rows)]
        tables.append((recipe, [_narrowed(row, kept) for row in rows], [table.data[i] for i in kept]))
    return tables


def _narrowed(row: Row, kept: Sequence[int]) -> Row:
    return Row(row.recipe, row.model, tuple(row.cells[i] for i in kept), row.mean, row.rank, row.bold)


def _cells(row: Row, written: Callable[[Shown], str], name: Write) -> list[str]:
    mean = "–" if row.mean is None else f"{row.mean:.3f}"
    rank = "–" if row.rank is None else f"{row.rank:.1f}"
    return [name(row.model), *("–" if cell is None else written(cell) for cell in row.cells), mean, rank]


def _markdown_cell(cell: Shown) -> str:
    return f"**{cell.text}** ±{cell.half}" if cell.bold else f"{cell.text} ±{cell.half}"


def _latex_cell(cell: Shown) -> str:
    value = rf"\textbf{{{cell.text}}}" if cell.bold else cell.text
    return rf"{value} {{\scriptsize $\pm${cell.half}}}"
