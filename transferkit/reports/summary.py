"""One row a model: what its frozen, few-shot, fine-tuned and detecting selves reach, side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich import box
from rich.table import Table
from rich.text import Text

from .result_table import ResultTable

MISSING = "–"


@dataclass(frozen=True)
class Mean:
    """A model's mean under a recipe.

    Attributes:
        value: over the data sets that all ranked models of the recipe have; over its own if it is not ranked.
        sets: how many they are.
        usual: how many the recipe's ranked models have.
    """

    value: float
    sets: int
    usual: int

    @property
    def text(self) -> str:
        """Three digits; the number of data sets where it is not the usual one."""
        return f"{self.value:.3f}" + ("" if self.sets == self.usual else f" ({counted(self.sets)})")


@dataclass(frozen=True)
class Overview:
    """A row a model, a column a recipe.

    Attributes:
        recipes: labels of the columns.
        sets: data sets behind each column.
        rows: model → its means in the order of ``recipes``, None where it has none.
    """

    recipes: tuple[str, ...]
    sets: tuple[int, ...]
    rows: Mapping[str, tuple[Mean | None, ...]]

    def heading(self, column: int) -> str:
        """The recipe, and how many data sets its means are over."""
        return f"{self.recipes[column]}, {counted(self.sets[column])}"


def counted(sets: int) -> str:
    """How many data sets, in words.

    >>> counted(1), counted(12)
    ('1 set', '12 sets')
    """
    return f"{sets} set" if sets == 1 else f"{sets} sets"


def overview(found: ResultTable) -> Overview | None:
    """Every model under every recipe of the main table; None where there is but one recipe."""
    if len(found.recipes) < 2:
        return None
    usual = {recipe: _usual(found, recipe) for recipe in found.recipes}
    rows = {}
    for model in found.models:
        means = tuple(_mean(found, recipe, model, over) for recipe, over in usual.items())
        if any(means):
            rows[model] = means
    return Overview(found.recipes, tuple(map(len, usual.values())), rows)


def _usual(found: ResultTable, recipe: str) -> Sequence[str]:
    """The data sets that the recipe's models share, or else all that it has."""
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


def overview_table(found: Overview) -> Table:
    """The overview for the terminal."""
    table = Table(title="One row a model: means over data sets", box=box.SIMPLE_HEAD)
    table.title_justify, table.pad_edge = "left", False
    table.add_column("model", overflow="fold")
    for column in range(len(found.recipes)):
        table.add_column(Text(found.heading(column)), justify="right", overflow="fold")
    for model, means in found.rows.items():
        table.add_row(Text(model), *(mean.text if mean else MISSING for mean in means))
    return table
