"""The main table: a row a model and recipe, a column a data set; bold is only what is significant."""

from dataclasses import dataclass

from ..result_table import ResultCell, ResultTable


@dataclass(frozen=True)
class MainCell:
    """One number of the table.

    Attributes:
        text: the value, three digits.
        half: half of the 95 % interval, three digits.
        value: to sort by.
        bold: whether it is significantly better than all others of its recipe and data set.
        records: numbers of the records behind it.
        words: what a reader who cannot see the table hears.
        seen: whether the model was trained on the data set.
    """

    text: str
    half: str
    value: float
    bold: bool
    records: tuple[int, ...]
    words: str
    seen: bool = False


@dataclass(frozen=True)
class MainRow:
    """A model under a recipe.

    Attributes:
        recipe, model: labels.
        cells: ``[d]``, None where there is no record.
        mean: over the data sets that all ranked models have; None for a model that is not ranked.
        rank: mean rank over them.
        bold: whether its rank is significantly ahead of every other one.
    """

    recipe: str
    model: str
    cells: tuple[MainCell | None, ...]
    mean: float | None
    rank: float | None
    bold: bool


@dataclass(frozen=True)
class MainTable:
    """Rows and what their columns are.

    Attributes:
        data: ``[d]`` labels.
        domains: ``[d]``.
        rows: recipe by recipe, models in their order.
    """

    data: tuple[str, ...]
    domains: tuple[str, ...]
    rows: tuple[MainRow, ...]

    @property
    def seen(self) -> bool:
        """Whether a model was trained on a data set that it is scored on."""
        return any(cell.seen for row in self.rows for cell in row.cells if cell)


def main_table(found: ResultTable) -> MainTable:
    """Every cell at its model's deepest layer."""
    data = tuple(d for d in found.data if any(key[2] == d for key in found.cells))
    own = {(recipe, model) for recipe, model, _ in found.cells}
    rows = [_row(found, r, m, data) for r in found.recipes for m in found.models if (r, m) in own]
    return MainTable(data, tuple(found.domains[d] for d in data), tuple(rows))


def _row(found: ResultTable, recipe: str, model: str, data: tuple[str, ...]) -> MainRow:
    cells = [found.cells.get((recipe, model, d)) for d in data]
    shown = tuple(
        _shown(cell, f"{model}, {recipe}, {d}", bold=found.best.get((recipe, d)) == model) if cell else None
        for d, cell in zip(data, cells, strict=True)
    )
    ranked = found.ranked.get(recipe)
    if ranked is None or model not in ranked.means:
        return MainRow(recipe, model, shown, None, None, False)
    rank = dict(zip(ranked.ranks.models, ranked.ranks.mean_ranks, strict=True))[model]
    bold = len(ranked.ranks.beaten_by(model)) == len(ranked.means) - 1
    return MainRow(recipe, model, shown, ranked.means[model], rank, bold)


def _shown(cell: ResultCell, words: str, *, bold: bool) -> MainCell:
    half = (cell.interval.high - cell.interval.low) / 2
    return MainCell(
        text=f"{cell.value:.3f}",
        half=f"{half:.3f}",
        value=cell.value,
        bold=bold,
        records=cell.records,
        words=f"{words}: {cell.value:.3f} plus or minus {half:.3f}{', trained on' if cell.seen else ''}",
        seen=cell.seen,
    )
