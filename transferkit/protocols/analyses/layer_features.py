"""Features of one model on one data set by layer, and the records of analyses."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ...cache.entry import Entry
from ...cache.store import FeatureStore
from ...core.features import Features, concatenate
from ...core.fitted_table import Column, Name
from ...core.results import Result, ResultStore, Score
from ...data.dataset import Dataset
from ...data.folder import require_class_folders
from ...models.catalog import default_model, load_encoder
from ..cells import entry_cell
from ..context import RunContext
from ..dataset_catalog import expand_datasets
from ..extract import Extractor
from ..one_label import require_one_label_each
from ..settings import ExtractSettings
from ..trained_on import note_trained_on, with_source

LAYER_COLUMNS = (Column("model", group=2), Column("data", group=3), Column("layer", constant="layer {}", group=4))
"""First columns of the tables of analyses."""


def layer_cells(record: Result) -> tuple[str | Name, ...]:
    """Return the cells of ``LAYER_COLUMNS``."""
    return Name(record.model), Name(record.data), record.layer


@dataclass(frozen=True)
class LayerFeatures:
    """Features of one model on one data set; missing ones are extracted on first use.

    Attributes:
        extractor: extractor of the model, with the layers.
        dataset: data set of the images.
        context: workspace, seed and reporter.
    """

    extractor: Extractor
    dataset: Dataset
    context: RunContext

    @property
    def model(self) -> str:
        """Spec of the model."""
        return self.extractor.encoder.spec

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers, in the order of execution."""
        return self.extractor.names

    @cached_property
    def entries(self) -> dict[str, Entry]:
        """Complete cache entries by split."""
        return {
            name: self.extractor.open(split).run(self.context.reporter) for name, split in self.dataset.splits.items()
        }

    def splits(self, layer: str) -> dict[str, Features]:
        """Return the features of a layer by split."""
        return {name: entry.features(layer) for name, entry in self.entries.items()}

    def rows(self, layer: str) -> Features:
        """Return the features of a layer for all splits, concatenated."""
        return concatenate(list(self.splits(layer).values()), split="all")

    def fitting(self, layer: str) -> Features:
        """Return the features of a layer for all splits except test, which transferability scores may use."""
        parts = [part for name, part in self.splits(layer).items() if name != "test"]
        return concatenate(parts, split="+".join(part.split for part in parts))

    def recorded(
        self,
        protocol: str,
        layer: str,
        settings: Mapping[str, Any],
        score: Callable[[], Score],
        *,
        force: bool = False,
    ) -> Result:
        """Return the stored record of a cell, or store a new one with the return value of ``score``."""
        entry = next(iter(self.entries.values()))
        cell = entry_cell(
            entry, layer, protocol, settings, fingerprint=self.dataset.fingerprint, seed=self.context.seed
        )
        store = ResultStore(self.context.workspace.results)
        if not force and (found := store.find(cell)):
            return found
        dim = next(iter(self.entries.values())).layers[layer]
        skipped = sum(len(entry.skipped) for entry in self.entries.values())
        new_score = with_source(score(), self.extractor.encoder.trained_on, self.dataset.spec)
        result = Result.of(cell, new_score, dim=dim, skipped_rows=skipped, load_seconds=0.0)
        store.add(result)
        return result


def layer_features(
    models: Sequence[str],
    datasets: Sequence[str],
    settings: ExtractSettings,
    *,
    context: RunContext,
    classified: str = "",
) -> Iterator[LayerFeatures]:
    """Yield every model on every data set, data sets in the outer loop; all are opened before the first is used.

    Args:
        models: encoder specs; an empty list selects the default model.
        datasets: specs of data sets and groups of them.
        settings: extraction settings, with the layers.
        context: workspace, seed and reporter.
        classified: name of the analysis if it needs one class per image, for the message; else empty.

    Raises: DataError: for a data set with several labels per image, if ``classified`` is given.
    """
    workspace = context.workspace
    opened = [context.open(name) for name in expand_datasets(datasets)]
    if classified:
        for dataset in opened:
            require_class_folders(dataset)
        require_one_label_each(opened, what=classified)
    store = FeatureStore(workspace.features)
    extractors = [
        Extractor(load_encoder(spec, runs=workspace.runs, reporter=context.reporter), settings, store=store)
        for spec in models or [default_model(workspace.runs)]
    ]
    for dataset in opened:
        for extractor in extractors:
            note_trained_on(extractor.encoder, dataset.spec, context.reporter)
            yield LayerFeatures(extractor, dataset, context)
