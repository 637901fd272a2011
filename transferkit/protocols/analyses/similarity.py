"""Similarity of layers (CKA), within a model and between models."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...analysis.cka import BATCH, CkaMatrix, CkaSums, row_batches
from ...core.errors import DataError
from ...core.features import Features
from ...core.results import Result, Score
from ...core.seeding import generator
from ...core.statistics import Interval
from ..context import RunContext
from ..layer_features import LayerFeatures, layer_features
from ..settings import ExtractSettings
from .analysis import Analysis

MOST_ROWS = 10_000
"""Maximum number of rows over all splits; larger data sets are subsampled evenly."""


@dataclass(frozen=True)
class Similarity:
    """CKA between all layers of all models, on one data set.

    Attributes:
        data: spec of the data set.
        names: ``model layer`` of each row and column ``[l]``.
        matrix: the values, and the names of constant layers.
        records: one record per pair of models with layers to compare, including a model with itself.
    """

    data: str
    names: tuple[str, ...]
    matrix: CkaMatrix
    records: tuple[Result, ...]

    @property
    def values(self) -> NDArray[np.float64]:
        """The CKA matrix ``[l, l]``; NaN for constant layers."""
        lines = [[np.nan if value is None else value for value in line] for line in self.matrix.values]
        return np.array(lines, dtype=np.float64)

    def to_json(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "data": self.data,
            "layers": list(self.names),
            "cka": [list(line) for line in self.matrix.values],
            "constant": list(self.matrix.constant[0]),
            "n": self.matrix.n,
            "records": [record.to_json() for record in self.records],
        }


class CkaAnalysis(Analysis):
    """One record per pair of models, including a model with itself; its value is a mean CKA."""

    compares_models = True

    def records(self, models: Sequence[LayerFeatures], settings: None, *, force: bool = False) -> Iterator[Result]:
        """Yield the records of all pairs."""
        yield from similarity_of(models).records


ANALYSIS = CkaAnalysis()


def similarity(
    models: Sequence[str], datasets: Sequence[str], settings: ExtractSettings, *, context: RunContext
) -> Iterator[Similarity]:
    """Yield the CKA of all models per data set, over the rows that all models could read.

    Args:
        models: encoder specs; an empty list selects the default model.
        datasets: specs of data sets and groups of them.
        settings: extraction settings, with the layers.
        context: workspace, seed and reporter.

    Raises: DataError: if the models' rows differ.
    """
    for _, group in groupby(
        layer_features(models, datasets, settings, context=context), key=lambda source: source.dataset.spec
    ):
        yield similarity_of(list(group))


def similarity_of(seen: Sequence[LayerFeatures]) -> Similarity:
    """Return the CKA of several models on one data set, over the rows that all models could read.

    Args:
        seen: features per model, each with its own layers and input size, all with the same seed.

    Raises: DataError: if the models' rows differ.
    """
    features = {f"{source.model} {layer}": source.all_splits(layer) for source in seen for layer in source.layers}
    matrix = _matrix(features, seed=seen[0].context.seed)
    return Similarity(seen[0].dataset.spec, tuple(features), matrix, tuple(_records(seen, matrix)))


def _matrix(features: dict[str, Features], *, seed: int) -> CkaMatrix:
    first = next(iter(features.values()))
    for name, rows in features.items():
        if list(rows.ids) != list(first.ids):
            raise DataError(
                f"{name} could read {len(rows)} rows, {next(iter(features))} {len(first)}: CKA needs the "
                "same rows. Repair the unreadable files, or compare the models on another data set."
            )
    chosen = np.linspace(0, len(first) - 1, min(len(first), MOST_ROWS)).astype(np.int64)
    sums = CkaSums(list(features))
    for part in row_batches(len(chosen), batch=BATCH, rng=generator(seed, "cka")):
        index = np.sort(chosen[part])
        sums.add({name: np.asarray(rows.x[index]) for name, rows in features.items()})
    return sums.matrix()


def _records(seen: Sequence[LayerFeatures], matrix: CkaMatrix) -> Iterator[Result]:
    """Yield one record per pair of models: the mean, over layers of one, of the CKA with the most similar layer.

    A layer is not compared with itself, unless its model has no other layer. A pair whose layers are constant
    has no record; a note reports it.
    """
    index_of = {name: index for index, name in enumerate(matrix.rows)}
    for number, one in enumerate(seen):
        for other in seen[number:]:
            table = {
                layer: {
                    theirs: matrix.values[index_of[f"{one.model} {layer}"]][index_of[f"{other.model} {theirs}"]]
                    for theirs in other.layers
                }
                for layer in one.layers
            }
            names = {f"{source.model} {layer}" for source in (one, other) for layer in source.layers}
            constant = [name for name in matrix.constant[0] if name in names]
            extra_metrics = {"cka": table, "constant": constant}
            if best := _most_alike(table, itself=one is other):
                yield _record(one, other, float(np.mean(best)), extra_metrics, matrix.n)
            else:
                one.context.reporter.note(
                    f"{one.dataset.spec}: {one.model} and {other.model} have no CKA and no record, because "
                    f"layers are constant: {', '.join(constant)}."
                )


def _most_alike(table: Mapping[str, Mapping[str, float | None]], *, itself: bool) -> list[float]:
    """Return the highest value of each layer that has one; for ``itself``, among the model's other layers."""
    others = itself and len(table) > 1
    rest = [
        [value for theirs, value in line.items() if value is not None and not (others and theirs == layer)]
        for layer, line in table.items()
    ]
    return [max(values) for values in rest if values]


def _record(one: LayerFeatures, other: LayerFeatures, value: float, extra_metrics: Mapping[str, Any], n: int) -> Result:
    settings = {"other": other.model, "other_weights": other.extractor.encoder.weights}
    return one.reuse_or_score(
        "cka",
        one.layers[-1],
        settings | {"layers": list(one.layers), "other_layers": list(other.layers)},
        lambda: Score(
            metric="cka",
            value=value,
            interval=Interval.unknown(),
            n=n,
            selected_on="none",
            evaluated_on="all",
            extra_metrics=extra_metrics,
        ),
    )
