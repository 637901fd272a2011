"""Records of a small study: three models, four data sets, several protocols, with outcomes."""

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import numpy as np

import transferkit
from tests.reports.records import record
from transferkit.core.files import digest_of
from transferkit.core.outcomes import Outcomes
from transferkit.core.results import Cell, Result

MODELS = {"good": 0.3, "fair": 0.1, "poor": 0.0}
DATA = ("mini/digits", "mini/cells", "mini/leaves", "folder:mine")
LAYERS = ("conv1", "layer2", "layer10")
ROWS = 200


def outcomes(chance: float, data: str, *, seed: int = 0, rows: int = ROWS) -> Outcomes:
    """Rows right by independent draws of ``chance``."""
    rng = np.random.default_rng([seed, int(chance * 1e6), len(data)])
    return Outcomes("rows", digest_of(data), 1, tuple(int(r) for r in rng.random(rows) < chance))


def study(**changes: Any) -> list[Result]:
    """Return the records of a study; ``changes`` apply to each."""
    return [named(one, **changes) for one in _records()]


def named(one: Result, **changes: Any) -> Result:
    """The record with a digest of its own, of this version."""
    values = {**vars(one), "version": transferkit.__version__, "seconds": {"fit": 0.25}, **changes}
    asked = Cell(**{field.name: values[field.name] for field in fields(Cell)})
    return Result(**{**values, "cell": asked.digest})


def _records() -> Iterator[Result]:
    curve = {"confidence": [0.2, 0.7], "accuracy": [0.3, 0.6], "count": [5, 9]}
    for number, data in enumerate(DATA):
        for model, lead in MODELS.items():
            for depth, layer in enumerate(LAYERS):
                chance = 0.3 + 0.05 * number + lead * (1 + depth) / 3
                found = outcomes(chance, data)
                value = float(np.mean(found.correct))
                kept = {"outcomes": found, "layer": layer}
                extra_metrics = {"calibration": {"before": {"reliability": curve}}}
                yield record(model, data, value, half=0.06, extra_metrics=extra_metrics, **kept)
                semantic = {"level": "low"}
                yield record(
                    model, data, 0.9 - chance, protocol="semantic", settings=semantic, metric="explained",
                    layer=layer,
                )  # fmt: skip
                yield record(
                    model, data, value * 3, protocol="transferability", settings={"score": "logme"},
                    metric="logme", layer=layer,
                )  # fmt: skip
                yield record(model, data, 0.1 + lead, protocol="separation", metric="class_separation", layer=layer)
            for shots in (1, 5, 20):
                settings = {"shots": shots, "method": "lr"}
                value = 0.2 + lead + shots / 50
                yield record(model, data, value, protocol="fewshot", settings=settings, layer=LAYERS[-1])
            yield record(model, data, 0.5 + lead, protocol="finetune", layer="all")
            for severity in range(3):
                kind = {"corruption": "blur" if severity else "clean", "severity": severity}
                value = 0.5 - severity / 10
                yield record(model, data, value, protocol="robustness", settings=kind, layer=LAYERS[-1])
            table = {a: {b: 1.0 if a == b else 0.5 for b in LAYERS} for a in LAYERS}
            yield record(
                model, data, 0.5, protocol="cka", settings={"other": model}, extra_metrics={"cka": table},
                layer=LAYERS[-1],
            )  # fmt: skip
            yield record(model, data, 12.0, protocol="inversion", metric="psnr", layer="layer2")
