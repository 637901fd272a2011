"""Run an analysis on models and data sets that are given as specs."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from ...core.errors import DataError
from ...core.results import Result, Results
from ..context import RunContext
from ..evaluate import IncompleteResultsError
from ..layer_features import layer_features
from ..settings import ExtractSettings
from .analysis import ANALYSES


def analyze(
    name: str,
    models: Sequence[str],
    datasets: Sequence[str],
    extraction: ExtractSettings,
    settings: Any = None,
    *,
    context: RunContext,
    force: bool = False,
) -> Results:
    """Return the records of an analysis; missing features are extracted first.

    Args:
        name: name in ``ANALYSES``.
        models: encoder specs; an empty list selects the default model.
        datasets: specs of data sets and groups of them.
        extraction: extraction settings, with the layers.
        settings: settings of the analysis; None for an analysis without settings.
        context: workspace, seed and reporter.
        force: compute results again that are stored already.

    Raises:
        DataError: for a data set with several labels per image, if the analysis needs one.
        IncompleteResultsError: if an analysis failed on some data; it has all other results.
    """
    analysis = ANALYSES[name]
    found: list[Result] = []
    problems: list[str] = []
    opened = layer_features(models, datasets, extraction, context=context, classified=analysis.classified)
    for _, group in groupby(opened, key=lambda one: one.dataset.spec):
        own = list(group)
        for together in [own] if analysis.compares_models else [[one] for one in own]:
            try:
                found.extend(analysis.records(together, settings, force=force))
            except DataError as error:
                problems.append(str(error))
    if problems:
        raise IncompleteResultsError(" ".join(problems), Results(found))
    return Results(found)
