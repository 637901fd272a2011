"""How far classes lie apart in each layer, and how a layer's features fill their space."""

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
from rich import box
from rich.table import Table
from rich.text import Text

from ...analysis.separation import separation
from ...analysis.spectrum import effective_rank, spectrum_decay
from ...core.errors import DataError
from ...core.features import Features
from ...core.results import Result, Results, Score
from ...core.seeding import generator
from ...core.statistics import Interval
from ..place import Place
from ..settings import ExtractSettings
from .looking import Look, looks

MOST_ROWS = 10_000
"""Of a data set, all splits together; of larger sets an even selection takes part."""

DRAWS = 50
"""Resamples behind the interval of the class separation."""

COLUMNS = {
    "class_separation": "separation",
    "intra_cosine": "within",
    "inter_cosine": "between",
    "alignment": "alignment",
    "uniformity": "uniformity",
    "effective_rank": "RankMe",
    "spectrum_decay": "α-ReQ",
}
"""What the table shows, by the names in the record."""


def separations(
    models: Sequence[str],
    datasets: Sequence[str],
    settings: ExtractSettings,
    *,
    place: Place,
    force: bool = False,
) -> Results:
    """One record a model, data set and layer; its value is the class separation.

    Args:
        models: specs; none means the default model.
        datasets: specs and groups.
        settings: how features are taken, and of which layers.
        place: where, by which seed, and who is told.
        force: compute finished cells anew.

    Raises: DataError: if no row has a direction, so that nothing can be said.
    """
    return Results(
        look.recorded(
            "separation",
            layer,
            {"rows": MOST_ROWS},
            partial(_score, look, layer),
            force=force,
        )
        for look in looks(models, datasets, settings, place=place)
        for layer in look.layers
    )


def _score(look: Look, layer: str) -> Score:
    return separation_score(look.rows(layer), seed=look.place.seed)


def separation_score(rows: Features, *, seed: int) -> Score:
    """The class separation with a bootstrap interval over rows, and all other numbers."""
    if len(rows) > MOST_ROWS:
        rows = rows.rows(np.linspace(0, len(rows) - 1, MOST_ROWS).astype(np.int64))
    x = np.asarray(rows.x, np.float32)
    found = separation(x, rows.labels)
    if found.class_separation is None:
        raise DataError(
            f"{rows.data}, layer {rows.layer}: classes cannot be told apart by directions, "
            "for fewer than two rows have one. Choose another --layers."
        )
    drawn = []
    for draw in range(DRAWS):
        index = generator(seed, "separation", draw).integers(len(x), size=len(x))
        value = separation(x[index], rows.labels[index]).class_separation
        drawn.append(np.nan if value is None else value)
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return Score(
        metric="class_separation",
        value=found.class_separation,
        interval=Interval(float(low), float(high), f"bootstrap of {DRAWS}"),
        n=len(x),
        selected_on="none",
        evaluated_on="all",
        also={**asdict(found), "effective_rank": effective_rank(x), "spectrum_decay": spectrum_decay(x)},
    )


def separation_table(records: Sequence[Result]) -> Table:
    """One row a model, data set and layer."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("model", "data", "layer"):
        table.add_column(heading, overflow="fold")
    for heading in COLUMNS.values():
        table.add_column(heading, justify="right")
    for record in records:
        values = (_shown(record.also[name]) for name in COLUMNS)
        table.add_row(Text(record.model), Text(record.data), Text(record.layer), *values)
    return table


def _shown(value: Any) -> str:
    return "–" if value is None else f"{value:.3f}" if abs(value) < 100 else f"{value:.0f}"
