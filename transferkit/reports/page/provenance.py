"""Provenance of the numbers of the page, stored by column with each value once to keep the page small."""

import json
import math
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
    "preprocessing",
    "cell",
)
"""Fields of a record that the page shows, in this order."""

_SHORTENED = {"cell": 16, "weights": 16, "fingerprint": 16}  # hex digits


def provenance(found: ResultTable) -> dict[str, Any]:
    """Return ``{"fields": …, "columns": [{"values": unique values, "index": one index per record}]}``."""
    return {"fields": list(FIELDS), "columns": [_column(found, name) for name in FIELDS]}


def _column(found: ResultTable, name: str) -> dict[str, Any]:
    positions: dict[str, int] = {}
    values: list[Any] = []
    index = []
    for record in found.records:
        value = _rounded(name, getattr(record, name))
        key = json.dumps(value, sort_keys=True) if isinstance(value, dict) else f"{type(value).__name__} {value}"
        if key not in positions:
            positions[key] = len(values)
            values.append(value)
        index.append(positions[key])
    return {"values": values, "index": index}


def _rounded(name: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _rounded("", inner) for key, inner in value.items()}
    if isinstance(value, float):
        return None if math.isnan(value) else float(f"{value:.6g}")  # NaN stands for a missing interval
    return value[: _SHORTENED[name]] if name in _SHORTENED else value
