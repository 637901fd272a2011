"""``transferkit datasets``: listing and description of data sets."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
from rich import box
from rich.table import Table
from rich.text import Text

from transferkit.core.errors import UsageError
from transferkit.core.files import readable_bytes
from transferkit.core.labels import class_counts

from .help import Section
from .preparing import prepare, verify
from .session import Session, common_options

if TYPE_CHECKING:
    from transferkit.data.detection.boxed import DetectionDataset
    from transferkit.protocols.dataset_catalog import DatasetInfo


@click.group(cls=Section)
def command() -> None:
    """List, prepare and verify data sets.

    \b
    Example:
      transferkit datasets list
    """


@command.command("list")
@common_options
def list_datasets(session: Session) -> None:
    """List the data sets that --data accepts, and whether they are on the disk.

    \b
    Example:
      transferkit datasets list
    """
    from transferkit.protocols.dataset_catalog import known_datasets, known_detection

    known = [*known_datasets(session.workspace.data), *known_detection(session.workspace.data)]
    headings = ("name", "domain", "classes", "images", "state", "size", "licence, or what it is")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, expand=True)
    for heading in headings:
        right = heading in ("classes", "images", "size")
        table.add_column(heading, justify="right" if right else "left", no_wrap=True)
    table.columns[-1].ratio = 1  # takes the rest of the line
    for dataset in known:
        table.add_row(*map(Text, _table_row(dataset)))
    session.show([asdict(dataset) for dataset in known], table)


def _table_row(dataset: "DatasetInfo") -> tuple[str, ...]:
    """Return name, domain, classes, images, state, size and licence as a row of the table."""
    size = "–" if dataset.size_bytes is None else readable_bytes(dataset.size_bytes)
    counts = ("–" if count is None else str(count) for count in (dataset.classes, dataset.images))
    notes = dataset.licence or dataset.description
    return (dataset.name, dataset.domain or "–", *counts, dataset.state or "–", size, notes)


@command.command()
@click.argument("names", nargs=-1, required=True)
@click.option(
    "--contact-sheet",
    metavar="FILE.png",
    help="Also draw a contact sheet of one data set: one row of images per class, for at most 100 classes.",
)
@common_options
def info(session: Session, names: tuple[str, ...], contact_sheet: str | None) -> None:
    """Show splits, classes, source and licence of data sets.

    Embedded data sets are generated on first use.

    \b
    Example:
      transferkit datasets info mini/digits
    """
    from transferkit.data.detection import open_detection
    from transferkit.protocols.dataset_catalog import expand_datasets, is_boxed, open_dataset

    root, reporter = session.workspace.data, session.reporter
    specs = expand_datasets(names, boxed=True)
    boxed = [spec for spec in specs if is_boxed(spec)]
    datasets = [open_dataset(spec, root=root, reporter=reporter) for spec in specs if spec not in boxed]
    if contact_sheet is not None:
        _draw_sheet(session, datasets, contact_sheet, len(boxed))
    values = [_describe(dataset) for dataset in datasets]
    values += [_describe_detection(open_detection(spec, root=root, reporter=reporter)) for spec in boxed]
    table = Table(box=box.SIMPLE_HEAD, show_header=False, pad_edge=False)
    for value in values:
        for name, text in value.items():
            table.add_row(name, Text(_readable(text)))
        table.add_section()
    session.show(values, table)


def _draw_sheet(session: Session, datasets: list[Any], sheet: str, boxed: int) -> None:
    from transferkit.reports.contact_sheet import write_dataset_sheet

    if len(datasets) != 1 or boxed:
        raise UsageError(
            f"A contact sheet was requested for {len(datasets)} data sets with class labels and {boxed} with boxes. "
            "It shows exactly one data set with class labels: name one."
        )
    write_dataset_sheet(datasets[0], Path(sheet).expanduser())
    session.reporter.note(f"Drawn: {sheet}")


def _describe(dataset: Any) -> dict[str, Any]:
    counts = {name: len(split) for name, split in dataset.splits.items()}
    labels = np.concatenate([split.labels for split in dataset.splits.values()])
    per_class = class_counts(labels, len(dataset.classes))
    groups = {name: len(set(split.groups or ())) for name, split in dataset.splits.items()}
    return {
        "name": dataset.spec,
        "domain": dataset.domain,
        "images": counts,
        "classes": {name: int(count) for name, count in zip(dataset.classes, per_class, strict=True)},
        "factors": sorted(next(iter(dataset.splits.values())).factors),
        **({"groups": groups} if any(groups.values()) else {}),
        "fingerprints": {name: split.fingerprint for name, split in dataset.splits.items()},
        "source": dataset.source,
        "licence": dataset.licence,
    }


def _describe_detection(dataset: "DetectionDataset") -> dict[str, Any]:
    splits = dataset.splits.items()
    return {
        "name": dataset.spec,
        "domain": "detection",
        "images": {name: len(split) for name, split in splits},
        "without objects": {name: sum(not len(one) for one in split.objects) for name, split in splits},
        "left out": {name: len(split.faults) for name, split in splits},
        **{f"boxes in {name}": split.boxes_per_class() for name, split in splits},
        "fingerprints": {name: split.fingerprint for name, split in splits},
        "source": dataset.source,
        "licence": dataset.licence,
    }


def _readable(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_short(entry)}" for name, entry in value.items())
    return ", ".join(value) if isinstance(value, list) else str(value)


def _short(entry: Any) -> str:
    return entry[:12] if isinstance(entry, str) else str(entry)


command.add_command(prepare)
command.add_command(verify)
