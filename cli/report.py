"""``transferkit report``: the records as a page, as tables, as figures, and in the terminal."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Group
from rich.text import Text

from .results import filters
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


@click.command()
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    help="Where it goes; its ending names the format.  [default: report.* in the reports]",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(list(FORMATS)),
    help="One HTML page; tables of models × data sets (md, latex); or the records (csv, json, parquet).  "
    "[default: as --output ends, else page]",
)
@click.option("--figures", metavar="DIR", help="Write every chart there too, as SVG, PDF and PNG.")
@click.option("--terminal", is_flag=True, help="Show the ranking here instead, and write no page.")
@click.option(
    "--gallery",
    multiple=True,
    callback=canonical,
    metavar="DATA,…",
    help="Data sets to show neighbours and maps of; none for no gallery.  [default: the first]",
)
@filters
@common_options
def command(
    session: Session,
    output: str | None,
    form: str | None,
    figures: str | None,
    terminal: bool,
    gallery: tuple[str, ...],
    **wanted: tuple[str, ...],
) -> None:
    """Turn the records of this workspace into one page that needs no network, or into tables and figures.

    The page says in words what was found; every number in it shows where it comes from when clicked. Bold is
    only what is significant. Records that are damaged or of another version or form are left out, and named.

    \b
    Example:
      transferkit report --gallery none
    """
    if terminal and (output or form):
        raise click.UsageError("--terminal writes no page or table: leave out --output and --format.")
    path, form = _place(session, output, form)
    found = _evidence(session, wanted)
    written: list[Path] = []
    if figures:
        from transferkit.reports.page.paper import save_charts
        from transferkit.reports.page.writing import charts_of

        written += save_charts(charts_of(found), Path(figures).expanduser())
    if terminal:
        _show_ranking(session, found, written)
        return
    notes = _write(session, found, path, form, gallery)
    _show_written(session, found, [path, *written], notes)


def _place(session: Session, output: str | None, form: str | None) -> tuple[Path, str]:
    """Where it goes, and in which format.

    Raises: UsageError: for an ending that names no format, or another one than is asked for.
    """
    from transferkit.core.errors import UsageError

    if output is None:
        form = form or "page"
        return session.workspace.reports / f"report{FORMATS[form]}", form
    path = Path(output).expanduser()
    named = next((name for name, ending in FORMATS.items() if ending == path.suffix.lower()), None)
    if named is None:
        endings = ", ".join(f"{ending} ({name})" for name, ending in FORMATS.items())
        raise UsageError(f"{path} ends in {path.suffix!r}, which names no format. Choose one of: {endings}.")
    if form and form != named:
        raise UsageError(
            f"{path} ends as the format {named}, and --format says {form}: leave out --format, or end the "
            f"name in {FORMATS[form]}."
        )
    return path, named


def page_line(session: Session) -> Text:
    """Write the page of this workspace to its place; a line that says where it lies, or what it needs."""
    from transferkit.core.errors import MissingExtraError

    path = session.workspace.reports / f"report{FORMATS['page']}"
    try:
        _write(session, _evidence(session, {}), path, "page", ())
    except MissingExtraError as error:
        return Text(f"No page is written: {error}")
    return Text(f"The page with every number and where it comes from: {path}")


def _evidence(session: Session, wanted: dict[str, tuple[str, ...]]) -> "ResultTable":
    """The records that are wanted.

    Raises:
        DataError: if there is no record at all.
        UnknownNameError: for a name that no record has.
    """
    from transferkit.core.errors import DataError
    from transferkit.core.registry import unknown_name
    from transferkit.core.results import ResultStore
    from transferkit.reports.result_table import load_results

    found = load_results(ResultStore(session.workspace.results), wanted=wanted)
    if found.records:
        return found
    everything = load_results(ResultStore(session.workspace.results))
    for kind, names in wanted.items():
        known = sorted({getattr(record, kind) for record in everything.records})
        for name in names:
            if known and name not in known:
                raise unknown_name(f"record of a {_KINDS[kind]}", name, known)
    reason = " ".join(found.left_out) or "Run transferkit demo, or transferkit probe --model … --data … ."
    told = "match" if everything.records else "can be shown"
    raise DataError(f"No records in {session.workspace.results} {told}. {reason}")


def _write(session: Session, found: "ResultTable", path: Path, form: str, gallery: tuple[str, ...]) -> list[str]:
    """Write the page or table; what could not be shown."""
    from transferkit.core.files import appearing
    from transferkit.core.results import Results
    from transferkit.reports.pivots import as_latex_pivot, as_markdown_pivot
    from transferkit.reports.tables import write_records

    if form == "page":
        from transferkit.reports.page.galleries import galleries
        from transferkit.reports.page.writing import write_page

        shown, notes = galleries(found, gallery, session.workspace)
        write_page(found, path, galleries=shown, notes=notes)
        return notes
    if form in ("md", "latex"):
        text = as_markdown_pivot(found) if form == "md" else as_latex_pivot(found)
        with appearing(path) as part:
            part.write_text(text, encoding="utf-8")
    else:
        write_records(Results(found.records), path, ending=FORMATS[form])
    return []


def _show_written(session: Session, found: "ResultTable", paths: list[Path], notes: list[str]) -> None:
    from transferkit.core.files import readable_bytes
    from transferkit.core.wording import counted

    sizes = {str(path): path.stat().st_size for path in paths}
    lines = [f"{path}: {readable_bytes(size)}" for path, size in sizes.items()]
    lines += [counted(len(found.records), "record")]
    lines += [f"Not shown: {sentence}" for sentence in (*notes, *found.left_out)]
    value = {"files": sizes, "records": len(found.records), "left_out": [*notes, *found.left_out]}
    session.show(value, Text("\n".join(lines)))


def _show_ranking(session: Session, found: "ResultTable", written: list[Path]) -> None:
    from transferkit.reports.key_numbers import headline
    from transferkit.reports.terminal import terminal_view

    value: dict[str, Any] = {
        "headline": headline(found),
        "rankings": [
            {
                "recipe": one.recipe,
                "data": list(one.data),
                "means": dict(one.means),
                "mean_ranks": dict(zip(one.ranks.models, one.ranks.mean_ranks, strict=True)),
                "friedman_p": one.ranks.friedman_p,
                "critical_difference": one.ranks.critical_difference,
                "left_out": list(one.left_out),
            }
            for one in found.ranked.values()
        ],
        "left_out": list(found.left_out),
    }
    lines = [Text(str(path)) for path in written]
    session.show(value, Group(terminal_view(found), *lines))
