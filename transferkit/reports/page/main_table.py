"""The main table: one row per model and recipe, one column per data set; bold marks significance."""

from dataclasses import dataclass

from ..result_table import ResultCell, ResultTable


@dataclass(frozen=True)
class MainCell:
    """One score of the table.

    Attributes:
        text: The value with three digits.
        margin: Half the width of the 95 % interval, such as ``±0.012``; empty if there is no interval.
        value: The value, for sorting.
        bold: Whether it is significantly better than all other models of its recipe and data set.
        records: Indices of its records.
        aria_label: Description for screen readers.
        seen: Whether the model was trained on the data set.
    """

    text: str
    margin: str
    value: float
    bold: bool
    records: tuple[int, ...]
    aria_label: str
    seen: bool = False


@dataclass(frozen=True)
class MainRow:
    """The scores of a model under a recipe.

    Attributes:
        recipe, model: Labels.
        cells: ``[d]`` scores, None without a record.
        mean: Mean over the data sets that all ranked models share; None for a model that is not ranked.
        rank: Mean rank over these data sets.
        bold: Whether its rank is significantly better than every other rank.
    """

    recipe: str
    model: str
    cells: tuple[MainCell | None, ...]
    mean: float | None
    rank: float | None
    bold: bool


@dataclass(frozen=True)
class MainTable:
    """Rows and columns of the main table.

    Attributes:
        data: ``[d]`` labels of the data sets.
        domains: ``[d]`` their domains.
        rows: Rows, sorted by recipe and model.
    """

    data: tuple[str, ...]
    domains: tuple[str, ...]
    rows: tuple[MainRow, ...]

    @property
    def seen(self) -> bool:
        """True if a model was trained on a data set that it is scored on."""
        return any(cell.seen for row in self.rows for cell in row.cells if cell)


def main_table(found: ResultTable) -> MainTable:
    """Build the table of scores at each model's deepest layer."""
    data = tuple(d for d in found.data if any(key[2] == d for key in found.cells))
    own = {(recipe, model) for recipe, model, _ in found.cells}
    rows = [_row(found, r, m, data) for r in found.recipes for m in found.models if (r, m) in own]
    return MainTable(data, tuple(found.domains[d] for d in data), tuple(rows))


def _row(found: ResultTable, recipe: str, model: str, data: tuple[str, ...]) -> MainRow:
    cells = [found.cells.get((recipe, model, d)) for d in data]
    shown = tuple(
        _main_cell(cell, f"{model}, {recipe}, {d}", bold=found.clear_leaders.get((recipe, d)) == model)
        if cell
        else None
        for d, cell in zip(data, cells, strict=True)
    )
    ranked = found.ranked.get(recipe)
    if ranked is None or model not in ranked.means:
        return MainRow(recipe, model, shown, None, None, False)
    rank = dict(zip(ranked.ranks.models, ranked.ranks.mean_ranks, strict=True))[model]
    bold = len(ranked.ranks.beaten_by(model)) == len(ranked.means) - 1
    return MainRow(recipe, model, shown, ranked.means[model], rank, bold)


def _main_cell(cell: ResultCell, name: str, *, bold: bool) -> MainCell:
    margin = cell.interval.margin.replace("±", " plus or minus ")
    return MainCell(
        text=f"{cell.value:.3f}",
        margin=cell.interval.margin,
        value=cell.value,
        bold=bold,
        records=cell.records,
        aria_label=f"{name}: {cell.value:.3f}{margin}{', trained on' if cell.trained_on else ''}",
        seen=cell.trained_on,
    )
