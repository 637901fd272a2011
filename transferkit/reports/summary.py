"""Means per model: one row per model with its means under all recipes, from frozen features to detection."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..core.fitted_table import Cell, Column, FittedTable, Name
from .result_table import ResultTable

MISSING = "–"


@dataclass(frozen=True)
class Mean:
    """A model's mean under a recipe.

    Attributes:
        value: Mean over the data sets that all ranked models of the recipe share, or over the model's own data
            sets if it is not ranked.
        sets: Number of data sets in the mean.
        usual: Number of data sets that the recipe's ranked models share.
    """

    value: float
    sets: int
    usual: int

    @property
    def text(self) -> str:
        """The mean with three digits, and the number of data sets if it is not the usual one."""
        return f"{self.value:.3f}" + ("" if self.sets == self.usual else f" ({counted(self.sets)})")


@dataclass(frozen=True)
class ModelSummary:
    """A table with one row per model and one column per recipe.

    Attributes:
        recipes: Labels of the columns.
        sets: Number of data sets in the means of each column.
        rows: model → its means in the order of ``recipes``, None for a recipe without records.
    """

    recipes: tuple[str, ...]
    sets: tuple[int, ...]
    rows: Mapping[str, tuple[Mean | None, ...]]

    def heading(self, column: int) -> str:
        """Return the recipe and the number of data sets in its means."""
        return f"{self.recipes[column]}, {counted(self.sets[column])}"


def counted(sets: int) -> str:
    """Return a number of data sets with its noun.

    >>> counted(1), counted(12)
    ('1 set', '12 sets')
    """
    return f"{sets} set" if sets == 1 else f"{sets} sets"


def overview(found: ResultTable) -> ModelSummary | None:
    """Return the means of every model under every recipe of the main table, or None if there is one recipe."""
    if len(found.recipes) < 2:
        return None
    usual = {recipe: _shared_data(found, recipe) for recipe in found.recipes}
    rows = {}
    for model in found.models:
        means = tuple(_mean(found, recipe, model, over) for recipe, over in usual.items())
        if any(means):
            rows[model] = means
    return ModelSummary(found.recipes, tuple(map(len, usual.values())), rows)


def _shared_data(found: ResultTable, recipe: str) -> Sequence[str]:
    """Return the data sets that the recipe's ranked models share, or all of its data sets without a ranking."""
    if one := found.ranked.get(recipe):
        return one.data
    return [data for data in found.data if any((recipe, m, data) in found.cells for m in found.models)]


def _mean(found: ResultTable, recipe: str, model: str, usual: Sequence[str]) -> Mean | None:
    own = [data for data in found.data if (recipe, model, data) in found.cells]
    if not own:
        return None
    over = usual if set(usual) <= set(own) else own
    values = [found.cells[recipe, model, data].value for data in over]
    return Mean(sum(values) / len(values), len(over), len(usual))


def overview_table(found: ModelSummary) -> FittedTable:
    """Render the overview for the terminal."""
    headings = (f"{recipe},\n{counted(sets)}" for recipe, sets in zip(found.recipes, found.sets, strict=True))
    columns = (Column("model"), *(Column(heading, right=True, stacked=True) for heading in headings))
    rows: list[tuple[Cell, ...]] = [
        (Name(model), *(mean.text if mean else MISSING for mean in means)) for model, means in found.rows.items()
    ]
    return FittedTable(columns, rows, title="Means per model over data sets")
