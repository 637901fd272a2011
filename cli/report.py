"""``transferkit report``: the records as a page, as tables, as figures, or in the terminal."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .help import GroupedCommand
from .results import filter_options
from .session import Session, canonical, common_options

if TYPE_CHECKING:
    from transferkit.reports.result_table import ResultTable

FORMATS = {
    "page": ".html",
    "md": ".md",
    "csv": ".csv",
    "latex": ".tex",
    "json": ".json",
    "parquet": ".parquet",
}
_KINDS = {"model": "model", "data": "data set", "protocol": "protocol"}


@click.command(cls=GroupedCommand)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    help="Output file, whose extension sets the format: .html, .md, .csv, .tex, .json or .parquet.  "
    "[default: reports/report.html in the workspace, or with the extension of --format]",
)
@click.option(
    "--format",
    "format_name",
    type=click.Choice(list(FORMATS)),
    help="One HTML page; tables of models × data sets (md, latex); or all records (csv, json, parquet).  "
    "[default: that of the extension of --output, else page]",
)
@click.option("--figures", metavar="DIR", help="Folder to which every chart is also written, as SVG, PDF and PNG.")
@click.option("--terminal", is_flag=True, help="Print the rankings in the terminal, and write no page.")
@click.option(
    "--gallery",
    multiple=True,
    callback=canonical,
    metavar="DATA,…",
    help="Data sets for which the page shows nearest neighbours and two-dimensional maps of images, by the features "
    "of the two best models; none shows no gallery.  [default: the first data set]",
)
@filter_options
@common_options
def command(
    session: Session,
    output: str | None,
    format_name: str | None,
    figures: str | None,
    terminal: bool,
    gallery: tuple[str, ...],
    **filters: tuple[str, ...],
) -> None:
    """Write the records of this workspace as one self-contained page, or as tables and figures.

    A record is the stored result of one model, data set, layer, protocol and seed. The page summarises the
    records in words; a click on a number shows its source. A score is bold if it is significantly better than that
    of every other model (paired tests with Holm's correction at 5 %), and a mean rank if it is so by Nemenyi's
    test. Damaged records, and those that another version of transferkit wrote, are left out and listed.

    \b
    Example:
      transferkit report --gallery none
    """
    if terminal and (output or format_name):
        raise click.UsageError("--terminal writes no file: omit --output and --format.")
    path, format_name = _output_path(session, output, format_name)
    found = _load_records(session, filters)
    written: list[Path] = []
    if figures:
        from transferkit.reports.page.paper import save_charts
        from transferkit.reports.page.writing import charts_of

        written += save_charts(charts_of(found), Path(figures).expanduser())
    if terminal:
        _show_ranking(session, found, written)
        return
    notes = _write(session, found, path, format_name, gallery)
    _show_written(session, found, [path, *written], notes)


def _output_path(session: Session, output: str | None, format_name: str | None) -> tuple[Path, str]:
    """Return the path of the output and its format.

    Raises: UsageError: if the extension names no format, or another one than ``--format``.
    """
    from transferkit.core.errors import UsageError

    if output is None:
        format_name = format_name or "page"
        return session.workspace.reports / f"report{FORMATS[format_name]}", format_name
    path = Path(output).expanduser()
    named = next((name for name, ending in FORMATS.items() if ending == path.suffix.lower()), None)
    if named is None:
        endings = ", ".join(f"{ending} ({name})" for name, ending in FORMATS.items())
        raise UsageError(f"{path} has the extension {path.suffix!r}, which names no format. Choose from: {endings}.")
    if format_name and format_name != named:
        raise UsageError(
            f"{path} has the extension of the format {named}, but --format is {format_name}: omit --format, or use the "
            f"extension {FORMATS[format_name]}."
        )
    return path, named


def page_line(session: Session) -> str:
    """Write the page of this workspace to its default path.

    Returns: a line with the path, or with the package that is missing.
    """
    from transferkit.core.errors import MissingExtraError

    path = session.workspace.reports / f"report{FORMATS['page']}"
    try:
        _write(session, _load_records(session, {}), path, "page", ())
    except MissingExtraError as error:
        return f"No page is written: {error}"
    return f"Report with every number and its source: {path}"


def _load_records(session: Session, filters: dict[str, tuple[str, ...]]) -> "ResultTable":
    """Load the records that match the filters.

    Raises:
        DataError: if no record matches.
        UnknownNameError: if no record has one of the names.
    """
    from transferkit.core.errors import DataError
    from transferkit.core.registry import unknown_name
    from transferkit.core.results import ResultStore
    from transferkit.reports.result_table import load_results

    found = load_results(ResultStore(session.workspace.results), wanted=filters)
    if found.records:
        return found
    everything = load_results(ResultStore(session.workspace.results))
    for kind, names in filters.items():
        known = sorted({getattr(record, kind) for record in everything.records})
        for name in names:
            if known and name not in known:
                raise unknown_name(f"record of a {_KINDS[kind]}", name, known)
    reason = " ".join(found.left_out) or "Run transferkit demo, or transferkit probe --model … --data … ."
    problem = "match the filters" if everything.records else "can be shown"
    raise DataError(f"No records in {session.workspace.results} {problem}. {reason}")


def _write(session: Session, found: "ResultTable", path: Path, format_name: str, gallery: tuple[str, ...]) -> list[str]:
    """Write the page or table.

    Returns: a note for each part that cannot be shown.
    """
    from transferkit.core.files import atomic_path
    from transferkit.core.results import Results
    from transferkit.reports.pivots import as_latex_pivot, as_markdown_pivot
    from transferkit.reports.tables import write_records

    if format_name == "page":
        from transferkit.reports.page.galleries import galleries
        from transferkit.reports.page.writing import write_page

        shown, notes = galleries(found, gallery, session.workspace)
        write_page(found, path, galleries=shown, notes=notes)
        return notes
    if format_name in ("md", "latex"):
        text = as_markdown_pivot(found) if format_name == "md" else as_latex_pivot(found)
        with atomic_path(path) as part:
            part.write_text(text, encoding="utf-8")
    else:
        write_records(Results(found.records), path, ending=FORMATS[format_name])
    return []


def _show_written(session: Session, found: "ResultTable", paths: list[Path], notes: list[str]) -> None:
    from transferkit.core.files import readable_bytes
    from transferkit.core.wording import counted

    sizes = {str(path): path.stat().st_size for path in paths}
    lines = [f"{path}: {readable_bytes(size)}" for path, size in sizes.items()]
    lines += [counted(len(found.records), "record")]
    lines += [f"Not shown: {sentence}" for sentence in (*notes, *found.left_out)]
    value = {"files": sizes, "records": len(found.records), "left_out": [*notes, *found.left_out]}
    session.show(value, *lines)


def _show_ranking(session: Session, found: "ResultTable", written: list[Path]) -> None:
    from transferkit.reports.key_numbers import key_numbers
    from transferkit.reports.terminal import terminal_view

    value: dict[str, Any] = {
        "key_numbers": key_numbers(found),
        "rankings": [
            {
                "recipe": ranking.recipe,
                "data": list(ranking.data),
                "means": dict(ranking.means),
                "mean_ranks": dict(zip(ranking.ranks.models, ranking.ranks.mean_ranks, strict=True)),
                "friedman_p": ranking.ranks.friedman_p,
                "critical_difference": ranking.ranks.critical_difference,
                "left_out": list(ranking.left_out),
            }
            for ranking in found.ranked.values()
        ],
        "left_out": list(found.left_out),
    }
    lines = ["", *map(str, written)] if written else []
    session.show(value, *terminal_view(found), *lines)
