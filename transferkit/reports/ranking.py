"""Which model transfers best, over several data sets: means, ranks, and one sentence."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rich import box
from rich.table import Table
from rich.text import Text
from scipy.stats import rankdata
from scipy.stats import t as student

from ..core.errors import DataError
from ..core.results import Result
from ..core.statistics import Interval


@dataclass(frozen=True)
class Standing:
    """One model's place under one protocol.

    Attributes:
        model, protocol: whose, and by which recipe.
        mean: of the metric over the data sets.
        interval: 95 %, of that mean for these very data sets; the scores' own uncertainty, not the
            spread between the sets.
        mean_rank: 1 is best; ties share a rank.
        datasets: how many sets were averaged.
    """

    model: str
    protocol: str
    mean: float
    interval: Interval
    mean_rank: float
    datasets: int


def standings(results: Sequence[Result]) -> list[Standing]:
    """Places of the models under one protocol, best first.

    Args:
        results: one record a model × data set; a data set that lacks one of the models is left out.

    Raises: DataError: if no data set has a record of every model.
    """
    models = list(dict.fromkeys(r.model for r in results))
    found = {(r.model, r.data): r for r in results}
    shared = [d for d in dict.fromkeys(r.data for r in results) if all((m, d) in found for m in models)]
    if not shared:
        raise DataError(f"No data set has a result of all of {', '.join(models)}: nothing can be ranked.")
    values = np.array([[found[m, d].value for d in shared] for m in models])  # [models, sets]
    halves = np.array([[found[m, d].ci_high - found[m, d].ci_low for d in shared] for m in models]) / 2
    ranks = np.array([rankdata(-column) for column in values.T]).T  # [models, sets]
    rows = [
        Standing(model, results[0].protocol, float(mean), _around(mean, half), float(rank), len(shared))
        for model, mean, half, rank in zip(
            models, values.mean(1), np.sqrt((halves**2).sum(1)) / len(shared), ranks.mean(1), strict=True
        )
    ]
    return sorted(rows, key=lambda row: -row.mean)


def _around(mean: float, half: float) -> Interval:
    return Interval(float(mean - half), float(mean + half), "of the mean over these data sets")


def paired_difference(results: Sequence[Result], a: str, b: str) -> tuple[float, Interval, int, int]:
    """By how much model ``a`` lies above model ``b``, paired over data sets.

    Returns: the mean difference, its interval over data sets (Student's t), how many sets ``a`` leads on,
        and how many sets both have.

    Raises: DataError: if fewer than two data sets have both, which says nothing of others.
    """
    value = {(r.model, r.data): r.value for r in results}
    shared = [data for model, data in value if model == a and (b, data) in value]
    if len(shared) < 2:
        raise DataError(f"Results of both {a} and {b}: {len(shared)} data sets have them, 2 are needed.")
    differences = np.array([value[a, data] - value[b, data] for data in shared])
    mean, n = float(differences.mean()), len(shared)
    half = float(student.ppf(0.975, n - 1) * differences.std(ddof=1)) / math.sqrt(n)
    interval = Interval(mean - half, mean + half, "Student's t over data sets")
    return mean, interval, int((differences > 0).sum()), n


def ranking_table(by_protocol: dict[str, list[Standing]], *, title: str) -> Table:
    """One row a model, best first by the first protocol; a column a protocol."""
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    table.add_column("#", justify="right")
    table.add_column("model")
    for protocol in by_protocol:
        table.add_column(protocol, justify="right")
    table.add_column("mean rank", justify="right")
    first = next(iter(by_protocol.values()))
    for place, leader in enumerate(first, 1):
        rows = [next(s for s in column if s.model == leader.model) for column in by_protocol.values()]
        cells = [f"{s.mean:.3f} ±{(s.interval.high - s.interval.low) / 2:.3f}" for s in rows]
        rank = math.fsum(s.mean_rank for s in rows) / len(rows)
        table.add_row(str(place), Text(leader.model), *cells, f"{rank:.1f}")
    return table


def depth_table(results: Sequence[Result], *, title: str) -> Table:
    """Mean over data sets, layer by layer: one row a layer, the deepest last; one column a model."""
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    models = list(dict.fromkeys(r.model for r in results))
    table.add_column("layer")
    for model in models:
        table.add_column(Text(model), justify="right")
    for layer in _by_depth(results):
        here = [[r.value for r in results if r.model == m and r.layer == layer] for m in models]
        table.add_row(Text(layer), *(f"{np.mean(v):.3f}" if v else "–" for v in here))
    return table


def _by_depth(results: Sequence[Result]) -> list[str]:
    """Layers by how far along their networks they lie; records come in order of depth."""
    depths: dict[str, list[float]] = {}
    for model in dict.fromkeys(r.model for r in results):
        layers = list(dict.fromkeys(r.layer for r in results if r.model == model))
        for index, layer in enumerate(layers, 1):
            depths.setdefault(layer, []).append(index / len(layers))
    return sorted(depths, key=lambda layer: math.fsum(depths[layer]) / len(depths[layer]))


def finding(results: Sequence[Result]) -> str:
    """One sentence on who leads, by how much, and whether it could be chance."""
    places = standings(results)
    best = places[0]
    if len(places) == 1 or best.datasets == 1:
        sets = "1 data set" if best.datasets == 1 else f"{best.datasets} data sets"
        return f"{best.model} scores {best.mean:.3f} on average over {sets}."
    second = places[1]
    gap, interval, leads, count = paired_difference(results, best.model, second.model)
    verdict = "leads" if interval.low > 0 else "cannot be told apart from the next"
    return (
        f"{best.model} {verdict}: {best.mean:.3f} mean {best.protocol} accuracy over {count} data sets, "
        f"{gap:+.3f} against {second.model} (95 % interval {interval.low:+.3f} to {interval.high:+.3f}), "
        f"ahead on {leads} of {count}."
    )
