"""What a study found, on one screen: means and ranks at the last layers, and one sentence a protocol."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from rich.console import RenderableType
from rich.text import Text

from ..core.errors import DataError
from ..core.results import Result, recipe
from .ranking import Standing, finding, ranking_table, standings

_RANKED = ("linear", "knn", "fewshot", "finetune")


def overview(results: Sequence[Result]) -> Iterator[RenderableType]:
    """A ranking of the models for each set of protocols that they share, and what leads.

    Args:
        results: records in the order of depth; those of the deepest layer of each model are ranked. Several
            seeds are averaged.
    """
    columns: dict[frozenset[str], dict[str, list[Standing]]] = {}
    sentences = []
    for name, records in _by_recipe(results).items():
        try:
            places = standings(records)
            sentences.append(f"{name}: {finding(records)}")
        except DataError:
            continue  # models that share no data set
        columns.setdefault(frozenset(place.model for place in places), {})[name] = places
    for by_protocol in columns.values():
        yield ranking_table(by_protocol, title="Ranking: mean accuracy over the data sets, last layers")
    if sentences:
        yield Text("\n".join(sentences))


def _by_recipe(results: Sequence[Result]) -> dict[str, list[Result]]:
    """Recipe → one record a model and data set, of the deepest layer."""
    found: dict[str, dict[tuple[str, str], dict[int, Result]]] = {}
    for record in results:
        if record.protocol in _RANKED:
            cells = found.setdefault(recipe(record.protocol, record.settings), {})
            cells.setdefault((record.model, record.data), {})[record.seed] = record
    return {
        name: [_over_seeds(list(seeds.values())) for seeds in cells.values()] for name, cells in found.items()
    }


def _over_seeds(records: Sequence[Result]) -> Result:
    """Means over seeds of the value and of the ends of its interval."""
    if len(records) == 1:
        return records[0]
    value, low, high = (
        math.fsum(ends) / len(records)
        for ends in zip(*((r.value, r.ci_low, r.ci_high) for r in records), strict=True)
    )
    return replace(records[0], value=value, ci_low=low, ci_high=high)
