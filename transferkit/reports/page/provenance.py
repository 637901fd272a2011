"""Where every number of the page comes from: column by column, each value once, to be small."""

import json
from collections.abc import Mapping
from typing import Any

from ..result_table import ResultTable

FIELDS = (
    "model",
    "weights",
    "data",
    "fingerprint",
    "layer",
    "pooling",
    "dim",
    "protocol",
    "metric",
    "value",
    "ci_low",
    "ci_high",
    "ci_method",
    "n",
    "selected_on",
    "evaluated_on",
    "trained_on",
    "settings",
    "chosen",
    "skipped_rows",
    "seed",
    "seconds",
    "version",
    "view",
    "cell",
)
"""What a reader is told of a record, in this order."""

_SHORT = {"cell": 16, "weights": 16, "fingerprint": 16}  # hex digits


def provenance(found: ResultTable) -> dict[str, Any]:
    """``{"fields": …, "columns": [{"values": unique values, "index": one a record}]}``."""
    return {"fields": list(FIELDS), "columns": [_column(found, name) for name in FIELDS]}


def _column(found: ResultTable, name: str) -> dict[str, Any]:
    places: dict[str, int] = {}
    values: list[Any] = []
    index = []
    for record in found.records:
        value = _told(name, getattr(record, name))
        key = json.dumps(value, sort_keys=True) if isinstance(value, dict) else f"{type(value).__name__} {value}"
        if key not in places:
            places[key] = len(values)
            values.append(value)
        index.append(places[key])
    return {"values": values, "index": index}


def _told(name: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _told("", inner) for key, inner in value.items()}
    if isinstance(value, float):
        return float(f"{value:.6g}")
    return value[: _SHORT[name]] if name in _SHORT else value
