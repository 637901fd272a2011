"""One model on one data set: its cached features by layer, those of augmented views, and the records made of them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from ..cache.entry import Entry
from ..cache.store import FeatureStore
from ..core.devices import free_memory_bytes
from ..core.features import Features, concatenate
from ..core.results import Cell, Result, ResultStore, Score
from ..data.dataset import Dataset
from ..data.folder import require_class_folders
from ..models.catalog import default_model, load_encoder
from .cells import entry_cell
from .context import RunContext
from .dataset_catalog import expand_datasets
from .extract import Extractor
from .one_label import require_one_label_each
from .settings import ExtractSettings
from .trained_on import note_trained_on, with_source


@dataclass(frozen=True, eq=False)
class LayerFeatures:
    """Features of one model on one data set; missing ones are extracted on first use.

    ``probes.probe.FeatureSource`` is the part that every probe may use.

    Attributes:
        extractor: extractor of the model, with the layers.
        dataset: data set of the images.
        context: workspace, seed and reporter.
        max_memory: GiB of memory for the features of a layer; None means half of the free memory.
        shared: what probes store for further models, such as the scores of baselines that they have in common.
    """

    extractor: Extractor
    dataset: Dataset
    context: RunContext
    max_memory: float | None = None
    shared: dict[str, Any] = field(default_factory=dict)

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
        """Return the features of a layer by split, in memory only if two float32 copies fit."""
        memory = self._memory_limit(list(self.entries.values()), layer)
        return {name: entry.features(layer, memory_bytes=memory) for name, entry in self.entries.items()}

    def all_splits(self, layer: str) -> Features:
        """Return the features of a layer for all splits, concatenated."""
        return concatenate(list(self.splits(layer).values()), split="all")

    def all_but_test(self, layer: str) -> Features:
        """Return the features of a layer for all splits except test, which transferability scores may use."""
        parts = [part for name, part in self.splits(layer).items() if name != "test"]
        return concatenate(parts, split="+".join(part.split for part in parts))

    def augmented(self, features: Mapping[str, Features], views: int) -> dict[str, Features]:
        """Return the features with those of ``views`` augmented views of the rows that are trained on.

        Missing views are extracted; ``test`` has none.
        """
        with_views = dict(features)
        for split in (name for name in features if name != "test"):
            layer, rows = features[split].layer, self.dataset.split(split)
            extractors = [self.extractor.with_variant(f"augment:{number}") for number in range(views)]
            entries = [extractor.open(rows).run(self.context.reporter) for extractor in extractors]
            memory = self._memory_limit(entries, layer)
            augmented = tuple(entry.features(layer, memory_bytes=memory).x for entry in entries)
            with_views[split] = replace(features[split], augmented=augmented)
        return with_views

    @property
    def memory_bytes(self) -> float:
        """Bytes of memory that the features of a layer may take."""
        return free_memory_bytes() / 2 if self.max_memory is None else self.max_memory * 2**30

    def _memory_limit(self, entries: list[Entry], layer: str) -> float:
        """Return the bytes that loading may take: no limit if two float32 copies of the features fit, else 0."""
        needed = sum(8 * entry.rows * entry.layers[layer] for entry in entries)  # layer → its number of features
        return float("inf") if needed <= self.memory_bytes else 0

    def reuse_or_score(
        self,
        protocol: str,
        layer: str,
        settings: Mapping[str, Any],
        score: Callable[[], Score],
        *,
        force: bool = False,
    ) -> Result:
        """Return the stored record, or store a new one with the return value of ``score``.

        Args:
            protocol: name of the protocol or analysis.
            layer: name of the layer.
            settings: all settings that affect the result.
            score: function that is called if there is no record.
            force: call ``score`` in any case.
        """
        if not force and (found := self.stored(protocol, layer, settings)):
            return found
        dim = self._any_entry.layers[layer]
        skipped = sum(len(entry.skipped) for entry in self.entries.values())
        new_score = with_source(score(), self.extractor.encoder.trained_on, self.dataset.spec)
        result = Result.of(self._cell(protocol, layer, settings), new_score, dim=dim, skipped_rows=skipped)
        ResultStore(self.context.workspace.results).add(result)
        return result

    def stored(self, protocol: str, layer: str, settings: Mapping[str, Any]) -> Result | None:
        """Return the stored record, or None if there is none; the arguments are those of ``reuse_or_score``."""
        return ResultStore(self.context.workspace.results).find(self._cell(protocol, layer, settings))

    def _cell(self, protocol: str, layer: str, settings: Mapping[str, Any]) -> Cell:
        fingerprint, seed = self.dataset.fingerprint, self.context.seed
        return entry_cell(self._any_entry, layer, protocol, settings, fingerprint=fingerprint, seed=seed)

    @property
    def _any_entry(self) -> Entry:
        """The entry of any split: model, layers and settings are equal."""
        return next(iter(self.entries.values()))


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
    require_classified(opened, classified)
    store = FeatureStore(workspace.features)
    extractors = [
        Extractor(load_encoder(spec, runs=workspace.runs, reporter=context.reporter), settings, store=store)
        for spec in models or [default_model(workspace.runs)]
    ]
    for dataset in opened:
        for extractor in extractors:
            note_trained_on(extractor.encoder, dataset.spec, context.reporter)
            yield LayerFeatures(extractor, dataset, context)


def require_classified(datasets: Sequence[Dataset], subject: str) -> None:
    """Refuse data sets whose images do not have one class each.

    Args:
        datasets: data sets of an analysis.
        subject: what needs the classes, for the message; empty if nothing does.

    Raises: DataError: for images outside of class folders, or with several labels.
    """
    if subject:
        for dataset in datasets:
            require_class_folders(dataset)
        require_one_label_each(datasets, what=subject)
