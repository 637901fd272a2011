"""The galleries of a report: by default, one data set and its two best models."""

from collections.abc import Sequence

from ...core.errors import TransferkitError, UsageError
from ...core.registry import unknown_name
from ...core.results import Result
from ...core.workspace import Workspace
from ...protocols.context import RunContext
from ...protocols.gallery import Gallery, gallery
from ..result_table import ResultTable

FEATURE_PROTOCOLS = ("linear", "knn", "fewshot")
"""Protocols whose records refer to features in the cache."""

MAX_MODELS = 2
NONE = "none"


def galleries(found: ResultTable, wanted: Sequence[str], workspace: Workspace) -> tuple[list[Gallery], list[str]]:
    """Return galleries, and a sentence for each gallery that could not be made.

    Args:
        found: all results.
        wanted: labels of data sets; ``none`` for no gallery; empty for the first data set.
        workspace: the workspace of features and data sets.

    Raises: UsageError: for a data set without records of features, or for ``none`` together with a data set.
    """
    if NONE in wanted:
        if len(wanted) > 1:
            raise UsageError("--gallery none cannot be combined with a data set. Give either none or data sets.")
        return [], []
    by_data = _records(found)
    for name in wanted:
        if name not in by_data:
            raise unknown_name("data set with features among the records", name, list(by_data))
    shown, notes = [], []
    for name in wanted or list(by_data)[:1]:
        records = by_data[name]
        try:
            shown.append(gallery(records, context=RunContext(workspace, records[0].seed)))
        except TransferkitError as error:
            notes.append(f"No gallery of {name}: {error}")
    return shown, notes


def _records(found: ResultTable) -> dict[str, list[Result]]:
    """Return data set → records of its best models at their deepest layers."""
    chosen: dict[str, dict[str, Result]] = {}
    recipes = [r for r in found.recipes if r.partition(" ")[0] in FEATURE_PROTOCOLS]
    for data in found.data:
        for recipe in recipes:
            for model in found.models:
                cell = found.cells.get((recipe, model, data))
                own = chosen.setdefault(data, {})
                if cell and (len(own) < MAX_MODELS or model in own):
                    own.setdefault(model, found.records[cell.records[0]])
    return {data: list(own.values()) for data, own in chosen.items() if own}
