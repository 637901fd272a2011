"""Tables of result records, for terminals and for notebooks."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from .fitted_table import Column, FittedTable, Name
from .record_labels import Label, labels_of
from .results import SEEN, SEEN_MEANS, Result, recipe

_SCORE_COLUMNS = (
    Column("value", right=True),
    Column("95 % interval", right=True),
    Column("n", right=True),
    Column("chosen on", constant="chosen on {}", group=1),
    Column("scored on", constant="scored on {}", group=1),
    Column("unreadable", right=True, constant="{} unreadable"),
)
_COLUMNS = (
    Column("model", group=2),
    Column("data", group=3),
    Column("layer", constant="layer {}", group=4),
    Column("seed", constant="seed {}", group=5),
    Column("condition", constant="{}", group=1),
    Column("protocol", constant="{}", group=1),
    Column("metric", constant="{}", group=1),
    Column("chosen", constant="chosen: {}", optional=True),
    *_SCORE_COLUMNS,
)
_HTML_HEADINGS = ("model", "data", "layer", "protocol", "metric", *(column.heading for column in _SCORE_COLUMNS))
_CONDITIONS = ("corruption", "severity", "score", "other", "other_layers", "layers")


def record_table(records: Sequence[Result]) -> FittedTable:
    """Return a table with one row per record."""
    rows = [_row(record, label) for record, label in zip(records, labels_of(records), strict=True)]
    return FittedTable(_COLUMNS, rows, _notes(records))


def html_table(records: Sequence[Result]) -> str:
    """Return an HTML table with one row per record; names that users give are escaped."""
    head = "".join(f"<th>{heading}</th>" for heading in _HTML_HEADINGS)
    rows = "".join("<tr>" + "".join(f"<td>{escape(c)}</td>" for c in _html_row(r)) + "</tr>" for r in records)
    notes = "".join(f"<p>{note}</p>" for note in _notes(records))
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{notes}"


def _notes(records: Sequence[Result]) -> list[str]:
    return [SEEN_MEANS] if any(record.trained_on for record in records) else []


def _row(record: Result, label: Label) -> tuple[str | Name, ...]:
    data_note = label.data.removeprefix(record.data).strip()
    return (
        Name(record.model, label.model.removeprefix(record.model).strip()),
        Name(record.data, f"{data_note} {SEEN}".strip() if record.trained_on else data_note),
        record.layer,
        str(record.seed),
        _condition(record.settings),
        label.recipe,
        record.metric,
        chosen_text(record.chosen),
        *_score_cells(record),
    )


def _html_row(record: Result) -> tuple[str, ...]:
    return (
        record.model,
        f"{record.data} {SEEN}" if record.trained_on else record.data,
        record.layer,
        recipe(record.protocol, record.settings),
        record.metric,
        *_score_cells(record),
    )


def _score_cells(record: Result) -> tuple[str, ...]:
    """Return the cells of ``_SCORE_COLUMNS``; "chosen on" is empty if nothing was selected."""
    return (
        f"{record.value:.3f}",
        str(record.interval),
        str(record.n),
        "" if record.selected_on == "none" else record.selected_on,
        record.evaluated_on,
        str(record.skipped_rows),
    )


def _condition(settings: Mapping[str, Any]) -> str:
    """Return the settings that an analysis varies: a corruption and its severity, a score, another model."""
    values = {name: settings[name] for name in _CONDITIONS if settings.get(name) not in (None, "")}
    if "severity" in values:
        values["severity"] = f"severity {values['severity']}"
    return " ".join(
        " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value) for value in values.values()
    )


def chosen_text(chosen: Mapping[str, Any]) -> str:
    """Return the selected hyper-parameters as text, without ``C``, which is the inverse of the penalty.

    >>> chosen_text({"penalty": 0.0316227766, "C": 31.6227766, "at_edge": False})
    'penalty 0.0316'
    """
    shown = [
        f"{name.replace('_', ' ')} {value:.3g}" if isinstance(value, float) else f"{name.replace('_', ' ')} {value}"
        for name, value in chosen.items()
        if isinstance(value, int | float | str) and not isinstance(value, bool)
        if not (name == "C" and "penalty" in chosen)
    ]
    return ", ".join(shown)
