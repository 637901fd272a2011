"""Results as tables: a pivot table that compares models, and files for other programs."""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..core.errors import MissingExtraError, UsageError
from ..core.files import atomic_path
from ..core.fitted_table import Cell, Column, FittedTable, Name
from ..core.results import SEEN, SEEN_MEANS, Result, Results

COLUMNS = (
    "model",
    "data",
    "layer",
    "protocol",
    "metric",
    "value",
    "ci_low",
    "ci_high",
    "n",
    "selected_on",
    "evaluated_on",
    "trained_on",
    "skipped_rows",
    "seed",
    "pooling",
    "settings",
    "chosen",
    "cell",
)


def rows_of(results: Sequence[Result]) -> list[list[str]]:
    """Return heading and rows as text, in the order of ``COLUMNS``; floats have four digits after the point."""
    return [list(COLUMNS), *([_text(getattr(r, name)) for name in COLUMNS] for r in results)]


def _text(value: object) -> str:
    if isinstance(value, Mapping):
        return json.dumps(value, sort_keys=True, ensure_ascii=False)
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.4f}"
    return str(value)


def as_csv(results: Sequence[Result]) -> str:
    """Return comma-separated values."""
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(rows_of(results))
    return stream.getvalue()


def as_markdown(results: Sequence[Result]) -> str:
    """Return a pipe table; pipes in names are escaped."""
    return pipe_table([[markdown_text(cell) for cell in row] for row in rows_of(results)], "l" * len(COLUMNS))


def pipe_table(lines: Sequence[Sequence[str]], alignment: str) -> str:
    """Return lines of escaped cells, the heading first, as a pipe table with ``l`` or ``r`` per column as alignment."""
    head, *rows = lines
    rule = ["---:" if side == "r" else "---" for side in alignment]
    return "".join(f"| {' | '.join(line)} |\n" for line in [head, rule, *rows])


def markdown_text(text: str) -> str:
    """Escape text for a cell of a pipe table."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def as_latex(results: Sequence[Result]) -> str:
    """Return a ``tabular`` environment with booktabs rules."""
    return tabular([[latex_text(cell) for cell in row] for row in rows_of(results)], "l" * len(COLUMNS))


def tabular(lines: Sequence[Sequence[str]], alignment: str) -> str:
    """Return lines of escaped cells, the heading first, as a ``tabular`` environment with booktabs rules."""
    head, *rows = (f"{' & '.join(line)} \\\\\n" for line in lines)
    return (
        f"\\begin{{tabular}}{{{alignment}}}\n\\toprule\n{head}\\midrule\n{''.join(rows)}\\bottomrule\n"
        "\\end{tabular}\n"
    )


def latex_text(text: str) -> str:
    """Escape the special characters of LaTeX."""
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    return "".join(special.get(c, f"\\{c}" if c in "&%$#_{}" else c) for c in text)


def as_json(results: Sequence[Result]) -> str:
    """Return all fields of the records."""
    return json.dumps([r.to_json() for r in results], indent=2, ensure_ascii=False) + "\n"


WRITERS = {".csv": as_csv, ".md": as_markdown, ".tex": as_latex, ".json": as_json}
PARQUET = ".parquet"


def write_table(results: Results, path: Path) -> None:
    """Write ``results`` in the format of the file's suffix.

    Raises:
        UsageError: if the suffix is unknown.
        MissingExtraError: if Parquet is requested without pyarrow.
    """
    write_records(results, path, ending=path.suffix)


def write_records(results: Results, path: Path, *, ending: str) -> None:
    """Write ``results`` in the format of the suffix ``ending``, independently of the file's name.

    Raises: the errors of ``write_table``.
    """
    if ending not in (*WRITERS, PARQUET):
        raise UsageError(f"{path} ends in {ending!r}. Choose one of: {', '.join([*WRITERS, PARQUET])}.")
    if ending == PARQUET:
        _write_parquet(results, path)
        return
    text = WRITERS[ending](results)
    with atomic_path(path) as part:
        part.write_text(text, encoding="utf-8")


def _write_parquet(results: Results, path: Path) -> None:
    """Write numeric columns as numbers, and settings and chosen hyperparameters as JSON."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ModuleNotFoundError as error:
        raise MissingExtraError("pyarrow", extra="parquet", purpose="for Parquet files") from error
    columns = {name: [_plain(getattr(r, name)) for r in results] for name in COLUMNS}
    with atomic_path(path) as part:
        parquet.write_table(pyarrow.table(columns), part)


def _plain(value: object) -> object:
    return _text(value) if isinstance(value, Mapping) else value


def pivot(results: Sequence[Result], *, title: str) -> FittedTable:
    """Return one row per data set and one column per model; half the interval's width follows each value."""
    models = list(dict.fromkeys(r.model for r in results))
    columns = (Column("data"), *(Column(model, right=True, stacked=True) for model in models))
    found = {(r.data, r.model): r for r in results}
    rows: list[tuple[Cell, ...]] = [
        (Name(data), *(_value(found.get((data, model))) for model in models))
        for data in dict.fromkeys(r.data for r in results)
    ]
    notes = [SEEN_MEANS] if any(result.trained_on for result in results) else []
    return FittedTable(columns, rows, notes, title)


def _value(result: Result | None) -> str:
    if result is None:
        return "–"
    mark = f" {SEEN}" if result.trained_on else ""
    return f"{result.value:.3f} {result.interval.margin}".rstrip() + mark
