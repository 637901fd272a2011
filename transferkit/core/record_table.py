"""The table of result records for terminals."""

from collections.abc import Mapping, Sequence
from typing import Any

from .fitted_table import Column, FittedTable, Name
from .record_labels import Label, labels_of
from .results import SEEN, SEEN_MEANS, Result

_COLUMNS = (
    Column("model", group=2),
    Column("data", group=3),
    Column("layer", constant="layer {}", group=4),
    Column("seed", constant="seed {}", group=5),
    Column("condition", constant="{}", group=1),
    Column("protocol", constant="{}", group=1),
    Column("metric", constant="{}", group=1),
    Column("chosen", constant="chosen: {}", optional=True),
    Column("value", right=True),
    Column("95 % interval", right=True),
    Column("n", right=True),
    Column("chosen on", constant="chosen on {}", group=1),
    Column("scored on", constant="scored on {}", group=1),
    Column("unreadable", right=True, constant="{} unreadable"),
)
_CONDITIONS = ("corruption", "severity", "score", "other", "other_layers", "layers")


def record_table(records: Sequence[Result]) -> FittedTable:
    """Return a table with one row per record."""
    rows = [_row(record, label) for record, label in zip(records, labels_of(records), strict=True)]
    seen = any(record.trained_on for record in records)
    return FittedTable(_COLUMNS, rows, [SEEN_MEANS] if seen else [])


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
        f"{record.value:.3f}",
        f"{record.ci_low:.3f}–{record.ci_high:.3f}",
        str(record.n),
        record.selected_on,
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
