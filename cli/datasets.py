"""``transferkit datasets``: what data there is."""

from typing import Any

import click
import numpy as np
from rich import box
from rich.table import Table
from rich.text import Text

from .session import Section, Session, common_options


@click.group(cls=Section)
def command() -> None:
    """Show what data there is.

    \b
    Example:
      transferkit datasets list
    """


@command.command("list")
@common_options
def list_datasets(session: Session) -> None:
    """List the names that --data takes.

    \b
    Example:
      transferkit datasets list
    """
    from transferkit.data.catalog import known_datasets

    rows = [
        {
            "name": known.name,
            "domain": known.domain,
            "classes": known.classes,
            "description": known.description,
        }
        for known in known_datasets()
    ]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("name", "domain", "classes", "what it is"):
        table.add_column(heading)
    for row in rows:
        table.add_row(*(Text("–" if value is None else str(value)) for value in row.values()))
    session.show(rows, table)


@command.command()
@click.argument("names", nargs=-1, required=True)
@common_options
def info(session: Session, names: tuple[str, ...]) -> None:
    """Show splits, classes, source and licence of data sets; embedded ones are drawn when first asked for.

    \b
    Example:
      transferkit datasets info mini/digits
    """
    from transferkit.data.catalog import expand_datasets, open_dataset

    datasets = [
        open_dataset(spec, root=session.workspace.data, reporter=session.reporter)
        for spec in expand_datasets(names)
    ]
    values = [_describe(dataset) for dataset in datasets]
    table = Table(box=box.SIMPLE_HEAD, show_header=False, pad_edge=False)
    for value in values:
        for name, text in value.items():
            table.add_row(name, Text(_readable(text)))
        table.add_section()
    session.show(values, table)


def _describe(dataset: Any) -> dict[str, Any]:
    counts = {name: len(split) for name, split in dataset.splits.items()}
    per_class = np.bincount(
        np.concatenate([split.labels for split in dataset.splits.values()]), minlength=len(dataset.classes)
    )
    return {
        "name": dataset.spec,
        "domain": dataset.domain,
        "images": counts,
        "classes": {name: int(count) for name, count in zip(dataset.classes, per_class, strict=True)},
        "factors": sorted(next(iter(dataset.splits.values())).factors),
        "fingerprints": {name: split.fingerprint for name, split in dataset.splits.items()},
        "source": dataset.source,
        "licence": dataset.licence,
    }


def _readable(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_short(entry)}" for name, entry in value.items())
    return ", ".join(value) if isinstance(value, list) else str(value)


def _short(entry: Any) -> str:
    return entry[:12] if isinstance(entry, str) else str(entry)
