"""``transferkit datasets prepare`` and ``verify``: download and verification of data sets."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from rich import box
from rich.table import Table
from rich.text import Text

from transferkit.core.errors import TransferkitError, UsageError
from transferkit.reports.rendering import Part

from .help import GroupedCommand
from .session import Session, common_options

if TYPE_CHECKING:
    from transferkit.data.detection.verifying import BoxVerification
    from transferkit.data.verifying import Verification

T = TypeVar("T")


@click.command(cls=GroupedCommand)
@click.argument("names", nargs=-1, required=True)
@click.option(
    "--from",
    "sources",
    metavar="PATH",
    multiple=True,
    help="Local archive (zip, tar, tar.gz …), folder of archives, or unpacked folder, which is linked to and not "
    "copied. May be given several times for one data set.",
)
@click.option(
    "--url",
    "urls",
    metavar="URL",
    multiple=True,
    help="Other URL of the archive, or of a folder of archives if it ends in /; may be given several times for one "
    "data set. $TRANSFERKIT_MIRROR is the URL of a mirror with one folder per data set.",
)
@click.option(
    "--copy/--no-copy",
    default=False,
    help="Copy the folder given by --from, instead of linking to it.  [default: off]",
)
@click.option(
    "--keep-archives/--no-keep-archives",
    default=False,
    help="Keep downloaded archives after unpacking; archives given by --from are always kept.  [default: off]",
)
@common_options
def prepare(
    session: Session,
    names: tuple[str, ...],
    sources: tuple[str, ...],
    urls: tuple[str, ...],
    copy: bool,
    keep_archives: bool,
) -> None:
    """Download and unpack data sets, or unpack local archives of them.

    NAMES are names that transferkit datasets list shows, including detection data sets (voc0712, coco), and groups
    such as paper12, the twelve data sets of Islam et al. (2021). Of a group, all data sets that can be downloaded
    are prepared. Data sets that are ready are not changed. After an interruption, the same command continues. If a
    licence or a login prevents the download, the command prints the manual steps and exits with 1. Data sets are
    stored in the folder data of the workspace, or in $TRANSFERKIT_DATA.

    \b
    Example:
      transferkit datasets prepare dtd
      transferkit datasets prepare isic --from ~/Downloads
    """
    from transferkit.download.preparing import Request
    from transferkit.protocols.dataset_catalog import expand_datasets
    from transferkit.protocols.prepare_dataset import prepare_named

    specs = expand_datasets(names, boxed=True)
    if (sources or urls) and len(specs) > 1:
        raise UsageError(
            f"--from and --url were given for {len(specs)} data sets, but apply to one. Prepare each data set with "
            "its own command."
        )
    request = Request(tuple(map(Path, sources)), urls, copy, keep_archives)
    done, failed = _map_specs(
        specs,
        lambda spec: prepare_named(spec, session.workspace.data, request, reporter=session.reporter),
    )
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("name", "state", "images", "published", "classes", "folder"):
        table.add_column(heading, justify="right" if heading in ("images", "published", "classes") else "left")
    for dataset in done:
        counts = (dataset.images, dataset.published, dataset.classes)
        texts = ("–" if count is None else str(count) for count in counts)
        table.add_row(dataset.name, dataset.how, *texts, Text(dataset.folder))
    _show(session, [asdict(dataset) for dataset in done], [table] if done else [], failed)


@click.command(cls=GroupedCommand)
@click.argument("names", nargs=-1, required=True)
@common_options
def verify(session: Session, names: tuple[str, ...]) -> None:
    """Decode all images of data sets, compare the counts with published ones, and find duplicates.

    The command exits with 1 if counts differ, if an image cannot be decoded, or if the same image is in two
    splits, or in train with two labels. Near duplicates are listed and do not change the exit code. The first
    paragraph on each data set can be pasted into a paper.

    For detection data sets (voc0712, coco, voc0712:PATH, coco:PATH, mini/scenes), the command counts images
    and objects per class, and compares the size of each image with its annotation. It lists faults by kind,
    and also exits with 1 if there are more than in the published annotations.

    \b
    Example:
      transferkit datasets verify mini/digits
    """
    from transferkit.protocols.dataset_catalog import expand_datasets

    done, failed = _map_specs(expand_datasets(names, boxed=True), lambda spec: _verify_dataset(session, spec))
    lines = [line for report in done for line in report.lines()]
    _show(session, [report.to_json() for report in done], lines, failed or any(report.problems for report in done))


def _verify_dataset(session: Session, spec: str) -> "Verification | BoxVerification":
    """Verify one data set, of images with class labels or with boxes."""
    from transferkit.data.detection import open_detection
    from transferkit.data.detection.verifying import verified_boxes
    from transferkit.data.verifying import verified
    from transferkit.protocols.dataset_catalog import is_boxed, open_dataset

    root, reporter = session.workspace.data, session.reporter
    if is_boxed(spec):
        return verified_boxes(open_detection(spec, root=root, reporter=reporter), reporter=reporter)
    return verified(open_dataset(spec, root=root, reporter=reporter), reporter=reporter)


def _map_specs(specs: list[str], function: Callable[[str], T]) -> tuple[list[T], bool]:
    """Call ``function`` for each spec; an error for one of several is printed and does not stop the rest.

    Returns: the results, and whether one of the calls failed.
    """
    if len(specs) == 1:
        return [function(specs[0])], False
    done, failed = [], False
    for spec in specs:
        try:
            done.append(function(spec))
        except TransferkitError as error:
            failed = True
            click.echo(f"Error: {error}", err=True)
    return done, failed


def _show(session: Session, values: list[Any], parts: Sequence[Part], failed: bool) -> None:
    session.show(values, *parts)
    if failed:
        click.get_current_context().exit(1)
