"""``transferkit datasets prepare`` and ``verify``: data sets onto the disk, and whether they are whole."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from transferkit.core.errors import TransferkitError, UsageError

from .session import Session, common_options

if TYPE_CHECKING:
    from transferkit.data.detection.verifying import BoxVerification
    from transferkit.data.verifying import Verification

T = TypeVar("T")


@click.command()
@click.argument("names", nargs=-1, required=True)
@click.option(
    "--from",
    "sources",
    metavar="PATH",
    multiple=True,
    help="An archive you have (zip, tar, tar.gz …), a folder of archives, or the unpacked folder, which is "
    "linked to and stays where it is. May be given several times, for one data set.",
)
@click.option(
    "--url",
    "urls",
    metavar="URL",
    multiple=True,
    help="Where to fetch the archive instead, or a folder of archives that ends in /; $TRANSFERKIT_MIRROR is "
    "one that has a folder for each data set. May be given several times, for one data set.",
)
@click.option("--copy/--no-copy", default=False, help="Copy an unpacked folder instead of linking to it.")
@click.option(
    "--keep-archives/--no-keep-archives",
    default=False,
    help="Keep what was fetched after it is unpacked; archives given by --from are always kept.",
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
    """Fetch and unpack data sets, or take what you have; those that are ready are left alone.

    Interrupted, the same command continues. Where licence or login forbid fetching, it says what to do by
    hand and exits with 1. Groups such as paper12 do what can be done. Sets with boxes, voc0712 and coco,
    are prepared alike. Data lies in the workspace, or in $TRANSFERKIT_DATA.

    \b
    Example:
      transferkit datasets prepare mini/digits
      transferkit datasets prepare isic --from ~/Downloads
    """
    from transferkit.data.catalog import expand_datasets
    from transferkit.data.download.named import prepare_named
    from transferkit.data.download.preparing import Request

    specs = expand_datasets(names, boxed=True)
    if (sources or urls) and len(specs) > 1:
        raise UsageError(f"--from and --url are for one data set, not for {len(specs)}. Prepare each by itself.")
    request = Request(tuple(map(Path, sources)), urls, copy, keep_archives)
    done, failed = _each(
        specs,
        lambda spec: prepare_named(spec, session.workspace.data, request, reporter=session.reporter),
    )
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("name", "state", "images", "published", "classes", "folder"):
        table.add_column(heading, justify="right" if heading in ("images", "published", "classes") else "left")
    for one in done:
        counts = ("–" if count is None else str(count) for count in (one.images, one.published, one.classes))
        table.add_row(one.name, one.how, *counts, Text(one.folder))
    _show(session, [asdict(one) for one in done], table if done else Text(""), failed)


@click.command()
@click.argument("names", nargs=-1, required=True)
@common_options
def verify(session: Session, names: tuple[str, ...]) -> None:
    """Decode every image of data sets, count them against what is published, and look for duplicates.

    Exits with 1 if counts differ, an image cannot be decoded, or the same image lies in two splits or in
    train under two labels. Near duplicates are listed, and change no exit code. The first paragraph of
    each data set can be pasted into a paper.

    Of sets with boxes (voc0712, coco, voc0712:PATH, coco:PATH, mini/scenes) images and objects of each
    class are counted, and each image's size is held against its annotation; more faults than the
    published annotations have, listed by kind, exit with 1 too.

    \b
    Example:
      transferkit datasets verify mini/digits
    """
    from transferkit.data.catalog import expand_datasets

    done, failed = _each(expand_datasets(names, boxed=True), lambda spec: _verified(session, spec))
    told = Group(*(Text("\n".join(one.lines())) for one in done))
    _show(session, [one.to_json() for one in done], told, failed or any(one.problems for one in done))


def _verified(session: Session, spec: str) -> "Verification | BoxVerification":
    """What is found in one data set, of images with a label or with boxes."""
    from transferkit.data.catalog import is_boxed, open_dataset
    from transferkit.data.detection import open_detection
    from transferkit.data.detection.verifying import verified_boxes
    from transferkit.data.verifying import verified

    root, reporter = session.workspace.data, session.reporter
    if is_boxed(spec):
        return verified_boxes(open_detection(spec, root=root, reporter=reporter), reporter=reporter)
    return verified(open_dataset(spec, root=root, reporter=reporter), reporter=reporter)


def _each(specs: list[str], do: Callable[[str], T]) -> tuple[list[T], bool]:
    """What is done for each of several, the others even if one fails; whether one failed."""
    if len(specs) == 1:
        return [do(specs[0])], False
    done, failed = [], False
    for spec in specs:
        try:
            done.append(do(spec))
        except TransferkitError as error:
            failed = True
            click.echo(f"Error: {error}", err=True)
    return done, failed


def _show(session: Session, values: list[Any], told: Any, failed: bool) -> None:
    session.show(values, told)
    if failed:
        click.get_current_context().exit(1)
