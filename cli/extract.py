"""``transferkit extract``: extraction of features into the feature cache."""

from typing import Any

import click

from transferkit.core.fitted_table import Column, FittedTable, Name
from transferkit.protocols.settings import ExtractSettings

from .budget import budget_options
from .help import GroupedCommand, under
from .session import (
    Session,
    common_options,
    data_option,
    model_option,
    preprocessing_options,
    seed_option,
    weights_key_option,
)
from .settings import EXTRACTION, given, grouped_options


@click.command(cls=GroupedCommand)
@under("Models and data", model_option, data_option, budget_options, seed_option, weights_key_option)
@grouped_options(ExtractSettings, EXTRACTION)
@under("Preprocessing of images", preprocessing_options)
@under(
    "Workspace and output",
    click.option("--estimate", is_flag=True, help="Print the estimated time and disk space, then exit."),
    common_options,
)
def command(
    session: Session, model: tuple[str, ...], data: tuple[str, ...], seed: int, estimate: bool, **options: Any
) -> None:
    """Extract features of models on all splits of data sets into the feature cache.

    There is one cache entry per model, data set and split, with all of its layers. Features that are already stored
    are not recomputed; an interrupted extraction continues where it stopped.

    \b
    Example:
      transferkit extract --model random:resnet18 --data mini/digits \\
        --layers stages
    """
    from transferkit.protocols.context import RunContext
    from transferkit.protocols.extract import extractions

    settings = ExtractSettings(**given(ExtractSettings, options))
    context = RunContext(session.workspace, seed, session.reporter)
    rows = []
    for extraction in extractions(model, data, settings, context=context):
        plan = extraction.plan(timed=estimate)
        if not estimate:
            extraction.run(session.reporter)
        rows.append(_row(extraction, plan))
    session.show(rows, _table(rows, "to do" if estimate else "entry"))


def _row(extraction: Any, plan: Any) -> dict[str, Any]:
    """Return the values of the table and of the JSON output."""
    return {
        "model": extraction.encoder.spec,
        "data": extraction.split.dataset,
        "split": extraction.split.name,
        "images": len(extraction.split),
        "unreadable": len(extraction.entry.skipped) if extraction.entry.begun else 0,
        "layers": {layer.name: layer.dim for layer in extraction.layers},
        "entry": extraction.entry.key.digest,
        "rows": plan.rows,
        "bytes": plan.bytes,
        "seconds": plan.seconds,
        "to do": str(plan),
    }


def _table(rows: list[dict[str, Any]], last: str) -> FittedTable:
    cells = [
        (
            Name(row["model"]),
            Name(row["data"]),
            row["split"],
            str(row["images"]),
            str(row["unreadable"]),
            _shortened(row["layers"]),
            row["to do"] if last == "to do" else row["entry"][:12],
        )
        for row in rows
    ]
    return FittedTable((*_COLUMNS, Column(last)), cells)


_COLUMNS = (
    Column("model", group=2),
    Column("data", group=3),
    Column("split"),
    Column("images", right=True),
    Column("unreadable", right=True, constant="{} unreadable"),
    Column("layers", constant="layers: {}", group=1),
)


def _shortened(layers: dict[str, int]) -> str:
    """Return each layer with its number of features, or only the first and last of more than six."""
    named = [f"{name} {dim}" for name, dim in layers.items()]
    return ", ".join(named) if len(named) <= 6 else f"{named[0]} … {named[-1]} ({len(named)} layers)"
