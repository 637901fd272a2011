"""Charts of the analyses: CKA, transferability against accuracy, corruptions, separation and inversion."""

from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from ...core.record_labels import Label
from ...core.results import Result
from ..figures import Curve
from ..layer_order import by_depth
from ..result_table import ResultTable
from .chart import Chart, Curves, Heat, Panel, Points

MEASURED = ("linear", "finetune")
"""Protocols whose accuracies transferability scores are compared with."""

WHOLE = "all"
"""Layer of records that belong to a whole network."""


def cka_chart(found: ResultTable) -> Iterator[Chart]:
    """Yield heat maps of layers against layers, one panel per pair of models and data set."""
    panels: dict[str, Panel] = {}
    for _, label, record in found.records_of("cka"):
        table = record.extra_metrics.get("cka", {})
        rows = by_depth(table)
        columns = by_depth(next(iter(table.values()), {}))
        values = np.array([[_number(table[r].get(c)) for c in columns] for r in rows], dtype=np.float64)
        if values.size:
            other = str(record.settings.get("other", record.model))
            panels[f"{label.data} · {label.model} × {other}"] = Heat(rows, columns, values)
    if panels:
        yield Chart(
            "cka",
            "Similarity of layers (CKA)",
            "Debiased linear CKA between layers of one model (rows) and of another or the same model (columns); "
            "1 is the same representation up to rotation and scale.",
            panels,
        )


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else np.nan


def transferability_chart(found: ResultTable) -> Iterator[Chart]:
    """Yield transferability scores, which need no training, against measured accuracies."""
    records = found.records_of("transferability")
    deepest = _deepest(records)
    reached: dict[tuple[str, str, str], dict[str, float]] = {}
    for (recipe, model, data, layer), cell in found.by_layer.items():
        if recipe.partition(" ")[0] in MEASURED:
            scored = deepest.get(model, layer) if layer == WHOLE else layer
            reached.setdefault((model, data, scored), {})[recipe] = cell.value
    panels: dict[str, dict[str, list[tuple[float, float, str]]]] = {}
    for _, label, record in records:
        for recipe, value in reached.get((label.model, label.data, record.layer), {}).items():
            panel = panels.setdefault(f"{record.metric} · {recipe} · {label.data}", {})
            panel.setdefault(label.model, []).append((record.value, value, record.layer))
    if panels:
        yield Chart(
            "transferability",
            "Predicted against measured transfer",
            "Each point is a layer of a model: a transferability score, which needs no training, against the "
            "measured accuracy. Fine-tuning trains the whole network and is compared with the score of the "
            "deepest scored layer. If a score predicts well, accuracy increases with it.",
            {name: Points(panel) for name, panel in sorted(panels.items())},
            "score",
            "accuracy",
            found.models,
        )


def _deepest(records: Iterable[tuple[int, Label, Result]]) -> dict[str, str]:
    """Return label of a model → the deepest layer with a record."""
    layers: dict[str, set[str]] = {}
    for _, label, record in records:
        layers.setdefault(label.model, set()).add(record.layer)
    return {model: by_depth(names)[-1] for model, names in layers.items()}


def corruption_chart(found: ResultTable) -> Iterator[Chart]:
    """Yield accuracy at the deepest layer over the severity of corruptions of test images."""
    records = found.records_of("robustness")
    deepest = _deepest(records)
    points: dict[tuple[str, str], dict[str, dict[int, tuple[float, float, float]]]] = {}
    clean: dict[tuple[str, str], tuple[float, float, float]] = {}
    for _, label, record in records:
        if record.layer != deepest[label.model]:
            continue
        point = (record.value, record.ci_low, record.ci_high)
        severity = int(record.settings["severity"])
        if severity == 0:
            clean[label.model, label.data] = point
        else:
            kind = str(record.settings["corruption"])
            points.setdefault((label.data, kind), {}).setdefault(label.model, {})[severity] = point
    panels: dict[str, Panel] = {}
    for (data, kind), models in sorted(points.items()):
        lines = {}
        for model, own in models.items():
            start = {0: clean[model, data]} if (model, data) in clean else {}
            lines[model] = _line({**start, **own})
        panels[f"{data} · {kind}"] = Curves(lines)
    if panels:
        caption = "Accuracy of linear probes, fitted on clean images, on corrupted images; severity 0 is clean."
        yield Chart("corruptions", "Corrupted images", caption, panels, "severity", "accuracy", found.models)


def _line(points: Mapping[int, tuple[float, float, float]]) -> Curve:
    x = sorted(points)
    y, low, high = (list(column) for column in zip(*(points[severity] for severity in x), strict=True))
    return Curve(x, y, low, high)


def separation_chart(found: ResultTable) -> Iterator[Chart]:
    """Yield class separation over depth, one panel per data set."""
    if panels := _over_depth(found, "separation"):
        yield Chart(
            "separation",
            "Class separation over depth",
            "Separation of classes without a probe: 1 minus the mean cosine distance within classes divided by "
            "that between all rows. Bands are 95 % jackknife intervals.",
            panels,
            "depth",
            "class separation",
            found.models,
        )


def inversion_chart(found: ResultTable) -> Iterator[Chart]:
    """Yield the quality of images that are reconstructed from layers, over depth."""
    if panels := _over_depth(found, "inversion"):
        caption = "PSNR between images and their reconstructions from a layer; higher is more similar."
        yield Chart("inversion", "Inversion", caption, panels, "depth", "PSNR, dB", found.models)


def _over_depth(found: ResultTable, protocol: str) -> dict[str, Panel]:
    """Return one panel per data set with one line per model; of several seeds, the last record counts."""
    values: dict[str, dict[str, dict[str, tuple[float, float, float]]]] = {}  # data → model → layer
    for _, label, record in found.records_of(protocol):
        own = values.setdefault(label.data, {}).setdefault(label.model, {})
        own[record.layer] = record.value, record.ci_low, record.ci_high
    panels: dict[str, Panel] = {}
    for data in found.data:
        lines = {}
        for model, layers in values.get(data, {}).items():
            order = by_depth(layers)
            line = _line({position + 1: layers[name] for position, name in enumerate(order)})
            lines[model] = Curve([x / len(order) for x in line.x], line.y, line.low, line.high)
        if lines:
            panels[data] = Curves(lines)
    return panels
