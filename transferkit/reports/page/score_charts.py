"""Charts of the main table's results: ranks, domains, depth, semantics, shots and calibration."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..figures import Curve
from ..layer_order import by_depth
from ..result_table import ResultCell, ResultTable
from ..statistics import group_means
from .chart import Bars, Chart, Curves, Panel, RankLines

MEAN = "mean of all data sets"

MIN_PREDICTIONS = 5
"""Minimum number of predictions in a bin of a reliability curve."""


def rank_chart(found: ResultTable) -> Iterator[Chart]:
    """Yield critical-difference diagrams, one per recipe."""
    panels: dict[str, Panel] = {
        recipe: RankLines(one.ranks) for recipe, one in found.ranked.items() if one.ranks.critical_difference
    }
    if panels:
        yield Chart(
            "ranks",
            "Mean ranks",
            "Mean rank over the data sets that all ranked models share; 1 is best. A bar joins models that do not "
            "differ significantly: all models if Friedman's test is not significant, otherwise models within "
            "Nemenyi's critical difference at 5 %.",
            panels,
            x="mean rank",
            names=found.models,
        )


def domain_chart(found: ResultTable) -> Iterator[Chart]:
    """Yield means over the data sets of each domain; recipes of one model only if all recipes have one model."""
    panels: dict[str, Panel] = {}
    models = {recipe: {key[1] for key in found.cells if key[0] == recipe} for recipe in found.recipes}
    for recipe in [name for name in found.recipes if len(models[name]) > 1] or found.recipes:
        domains = list(dict.fromkeys(found.domains[d] for d in found.data))
        series: dict[str, list[float | None]] = {}
        for model in found.models:
            values = _values(found, recipe, model)
            if values:
                means = group_means(values, found.domains)
                series[model] = [means.get(domain) for domain in domains]
        panels[recipe] = Bars(domains, series)
    if panels:
        yield Chart(
            "domains",
            "Domains",
            "Mean over the data sets of each domain, at each model's deepest layer.",
            panels,
            y="mean",
            names=found.models,
        )


def _values(found: ResultTable, recipe: str, model: str) -> dict[str, float]:
    return {d: found.cells[recipe, model, d].value for d in found.data if (recipe, model, d) in found.cells}


def depth_charts(found: ResultTable) -> Iterator[Chart]:
    """Yield scores over depth: accuracies in one chart, semantic levels in another."""
    semantic = [recipe for recipe in found.recipes if recipe.startswith("semantic")]
    accuracy = [recipe for recipe in found.recipes if recipe not in semantic]
    depth = "Depth is the relative position of a layer in its network: 0 is the image, 1 the last layer. "
    for key, title, recipes, y in (
        ("depth", "Accuracy over depth", accuracy, "accuracy"),
        ("semantics", "Semantic content over depth", semantic, "explained fraction"),
    ):
        panels = {name: Curves(lines) for name, lines in _over_depth(found, recipes)}
        if panels:
            caption = depth + "Bands are 95 % intervals; the interval of a mean is for exactly these data sets."
            yield Chart(key, title, caption, panels, "depth", y, found.models)


def _over_depth(found: ResultTable, recipes: Sequence[str]) -> Iterator[tuple[str, dict[str, Curve]]]:
    """Yield panels of each recipe, the mean first; a recipe needs a model with several layers."""
    for recipe in recipes:
        table: dict[str, dict[str, dict[str, ResultCell]]] = {}  # model → layer → data
        for (name, model, data, layer), cell in found.by_layer.items():
            if name == recipe:
                table.setdefault(model, {}).setdefault(layer, {})[data] = cell
        if all(len(layers) < 2 for layers in table.values()):
            continue
        models = [model for model in found.models if model in table]
        yield f"{recipe} · {MEAN}", {model: _mean_curve(table[model]) for model in models}
        for data in found.data:
            lines = {model: _data_curve(table[model], data) for model in models}
            if drawn := {model: line for model, line in lines.items() if len(line.x)}:
                yield f"{recipe} · {data}", drawn


def _mean_curve(layers: Mapping[str, Mapping[str, ResultCell]]) -> Curve:
    """Average over the data sets that all layers of the model share, or over all of each layer if there are none."""
    shared = set.intersection(*(set(cells) for cells in layers.values()))
    points = []
    for layer in by_depth(layers):
        cells = [cell for data, cell in layers[layer].items() if data in shared or not shared]
        value = float(np.mean([cell.value for cell in cells]))
        below = float(np.linalg.norm([cell.value - cell.interval.low for cell in cells])) / len(cells)
        above = float(np.linalg.norm([cell.interval.high - cell.value for cell in cells])) / len(cells)
        points.append((value, value - below, value + above))
    return _curve([(i + 1) / len(points) for i in range(len(points))], points)


def _data_curve(layers: Mapping[str, Mapping[str, ResultCell]], data: str) -> Curve:
    order = by_depth(layers)
    cells = [((i + 1) / len(order), layers[name].get(data)) for i, name in enumerate(order)]
    points = [(x, (c.value, c.interval.low, c.interval.high)) for x, c in cells if c is not None]
    return _curve([x for x, _ in points], [point for _, point in points])


def _curve(x: Sequence[float], points: Sequence[tuple[float, float, float]]) -> Curve:
    if not points:
        return Curve((), ())
    y, low, high = (list(column) for column in zip(*points, strict=True))
    return Curve(list(x), y, low, high)


def shots_chart(found: ResultTable) -> Iterator[Chart]:
    """Yield few-shot accuracy over the number of labelled images per class."""
    shots: dict[str, dict[int, str]] = {}  # recipe without its shots → shots → recipe
    for recipe in found.recipes:
        if match := re.search(r" (\d+)-shot", recipe):
            shots.setdefault(recipe.replace(match[0], ""), {})[int(match[1])] = recipe
    panels: dict[str, Panel] = {}
    for name, by_shots in shots.items():
        if len(by_shots) < 2:
            continue
        for data in (MEAN, *found.data):
            lines = {model: _over_shots(found, by_shots, model, data) for model in found.models}
            if drawn := {model: line for model, line in lines.items() if len(line.x) > 1}:
                panels[f"{name} · {data}"] = Curves(drawn)
    if panels:
        caption = "Accuracy over the number of labelled images per class. Bands are 95 % intervals."
        yield Chart("shots", "Few-shot", caption, panels, "shots", "accuracy", found.models)


def _over_shots(found: ResultTable, by_shots: Mapping[int, str], model: str, data: str) -> Curve:
    wanted = found.data if data == MEAN else (data,)
    shared = [d for d in wanted if all((recipe, model, d) in found.cells for recipe in by_shots.values())]
    points = []
    for _, recipe in sorted(by_shots.items()) if shared else ():
        cells = [found.cells[recipe, model, d] for d in shared]
        value = float(np.mean([c.value for c in cells]))
        half = float(np.linalg.norm([c.interval.high - c.interval.low for c in cells])) / len(cells) / 2
        points.append((value, value - half, value + half))
    return _curve(sorted(by_shots)[: len(points)], points)


def calibration_chart(found: ResultTable) -> Iterator[Chart]:
    """Yield reliability curves at the deepest layer, for the first recipe that records confidences."""
    panels: dict[str, Panel] = {}
    for recipe in found.recipes:
        for data in found.data:
            lines: dict[str, Curve] = {}
            for model in found.models:
                cell = found.cells.get((recipe, model, data))
                curve = _reliability(found.records[cell.records[0]].extra_metrics) if cell else None
                if curve:
                    lines[model] = _reliability_curve(curve)
            if any(line.x for line in lines.values()):
                panels[f"{recipe} · {data}"] = Curves(lines, diagonal=True)
        if panels:
            break
    if panels:
        yield Chart(
            "calibration",
            "Calibration",
            "Accuracy over confidence in 15 bins of equal width; bins with fewer than "
            f"{MIN_PREDICTIONS} predictions are left out. On the diagonal the probe is calibrated; below it, it is "
            "overconfident.",
            panels,
            "confidence",
            "accuracy",
            found.models,
        )


def _reliability_curve(curve: Mapping[str, Sequence[float]]) -> Curve:
    """Return the curve of the bins with at least ``MIN_PREDICTIONS`` predictions."""
    bins = zip(curve["confidence"], curve["accuracy"], curve["count"], strict=True)
    kept = [(x, y) for x, y, count in bins if count >= MIN_PREDICTIONS]
    return Curve([x for x, _ in kept], [y for _, y in kept])


def _reliability(extra_metrics: Mapping[str, Any]) -> Mapping[str, Any] | None:
    calibration = extra_metrics.get("calibration")
    before = calibration.get("before") if isinstance(calibration, Mapping) else None
    curve = before.get("reliability") if isinstance(before, Mapping) else None
    return curve if isinstance(curve, Mapping) else None
