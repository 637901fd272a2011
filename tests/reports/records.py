"""Result records with as little in them as a test needs."""

from typing import Any

from transferkit.core.results import Result


def record(model: str, data: str, value: float, *, half: float = 0.01, **changes: Any) -> Result:
    """A linear result of ``value`` ± ``half``."""
    fields: dict[str, Any] = {
        "protocol": "linear",
        "model": model,
        "weights": "w",
        "data": data,
        "layer": "last",
        "dim": 4,
        "metric": "top1",
        "value": value,
        "ci_low": value - half,
        "ci_high": value + half,
        "ci_method": "wilson",
        "n": 100,
        "selected_on": "val",
        "evaluated_on": "test",
        "settings": {},
        "chosen": {},
        "extra_metrics": {},
        "skipped_rows": 0,
        "seed": 0,
        "seconds": {},
        "version": "0",
        "cell": f"{model}-{data}",
        "pooling": "avg",
        "fingerprint": "f",
        "preprocessing": {},
    }
    return Result(**{**fields, **changes})
