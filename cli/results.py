"""``transferkit results``: listing and export of the records of finished cells."""

from pathlib import Path

import click

from transferkit.core.record_table import record_table
from transferkit.core.results import Results, ResultStore
from transferkit.core.wording import counted
from transferkit.reports.tables import write_table

from .help import Section
from .session import Session, canonical, common_options


@click.group(cls=Section)
def command() -> None:
    """List and export result records.

    \b
    Example:
      transferkit results list
    """


def _selected(session: Session, **filters: tuple[str, ...]) -> Results:
    """Return the records that match every filter; a filter without values matches all."""
    records = ResultStore(session.workspace.results)
    return Results(r for r in records if all(not v or getattr(r, k) in v for k, v in filters.items()))


def filter_options(function: click.decorators.FC) -> click.decorators.FC:
    """Add the options that narrow a list of records."""
    texts = {
        "protocol": "Only records of these protocols and analyses, such as linear, finetune, detection or separation.",
        "data": "Only records of these data sets.",
        "model": "Only records of these models.",
    }
    for name, text in texts.items():
        option = click.option(f"--{name}", multiple=True, callback=canonical, metavar="NAME,…", help=text)
        function = option(function)
    return function


@command.command("list")
@filter_options
@common_options
def list_records(session: Session, **filters: tuple[str, ...]) -> None:
    """List the records of this workspace.

    \b
    Example:
      transferkit results list --protocol linear
    """
    results = _selected(session, **filters)
    session.show(results.to_json(), record_table(results) if results else "No record matches.")


@command.command()
@filter_options
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="FILE",
    help="Output file, whose extension sets the format: .csv, .json, .md, .parquet or .tex.",
)
@common_options
def export(session: Session, output: str, **filters: tuple[str, ...]) -> None:
    """Write the records of this workspace to a table file.

    \b
    Example:
      transferkit results export --output results.csv
    """
    path = Path(output)
    results = _selected(session, **filters)
    write_table(results, path)
    session.show({"path": str(path), "records": len(results)}, f"{counted(len(results), 'record')} written to {path}")
