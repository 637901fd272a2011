"""Fill the feature cache: decode in workers, run and pool on the device, write from a thread of its own."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..cache.entry import Entry, planned_bytes
from ..cache.key import EntryKey
from ..cache.store import FeatureStore
from ..core.devices import Compute, choose_compute
from ..core.errors import DataError
from ..core.files import readable_bytes, require_space
from ..core.progress import SILENT, Reporter, readable_seconds
from ..core.wording import counted
from ..data.dataset import Split
from ..data.grey import Grey, grey_warnings
from ..data.loading import Batch, default_workers, load_batches
from ..data.resize_and_crop import normalised
from ..data.variants import Variant
from ..models.catalog import default_model, load_encoder
from ..models.encoder import Encoder
from ..models.fingerprint import weights_digest
from ..models.layers import Layer, resolve_layers
from ..models.memory_format import channels_last
from ..models.pooled_outputs import pooled_outputs
from .context import RunContext
from .dataset_catalog import expand_datasets
from .filling import SHARD_ROWS, fill
from .reuse import is_named, keys_of_networks, library_versions, may_reuse
from .settings import ExtractSettings

LONG_SECONDS = 20  # an extraction with a longer estimated duration prints a note first


@dataclass(frozen=True)
class ExtractionPlan:
    """Estimated cost of an extraction.

    Attributes:
        rows: number of images to encode.
        bytes: number of bytes to write.
        seconds: duration estimated from a few images; None without timing.
    """

    rows: int
    bytes: int
    seconds: float | None = None

    def __str__(self) -> str:
        text = f"{counted(self.rows, 'image')}, {readable_bytes(self.bytes)} of features"
        return text if self.seconds is None else f"{text}, about {readable_seconds(self.seconds)}"


@dataclass(frozen=True, eq=False)
class Extraction:
    """Extraction of the features of one encoder for one split.

    Attributes:
        encoder, split: the encoder and the images; the encoder's preprocessing is part of the key.
        settings: extraction settings.
        layers: resolved layers, in the order of execution.
        entry: cache entry of the features.
        compute: device and precision.
    """

    encoder: Encoder
    split: Split
    settings: ExtractSettings
    layers: tuple[Layer, ...]
    entry: Entry
    compute: Compute

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the layers."""
        return tuple(layer.name for layer in self.layers)

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of the layers that are not complete."""
        return self.entry.missing(self.names) if self.entry.begun else self.names

    def plan(self, *, timed: bool) -> ExtractionPlan:
        """Return the cost of the remaining work; ``timed`` encodes a few images to estimate the duration."""
        missing = self.missing
        if not missing:
            return ExtractionPlan(0, 0, 0.0 if timed else None)
        rows = self.entry.rows_missing(missing) if self.entry.begun else len(self.split)
        dims = [layer.dim for layer in self.layers if layer.name in missing]
        size = planned_bytes(rows, dims, self.settings.dtype)
        return ExtractionPlan(rows, size, rows / self._images_per_second(missing) if timed else None)

    def run(self, reporter: Reporter = SILENT) -> Entry:
        """Extract all missing features, and return the entry.

        Raises:
            DiskSpaceError: if the features do not fit on the disk, before computation starts.
            DataError: for an unreadable image, when ``on_error`` is ``stop``.
        """
        if self.missing:
            require_space(self.entry.folder, self.plan(timed=False).bytes)
            self._announce(reporter)
            split = self.split
            self.entry.begin(
                split.ids,
                split.labels,
                split.classes,
                shard_rows=SHARD_ROWS,
                batch=self._batch,
                versions=library_versions(),
            )
            while missing := self.missing:
                self._fill(missing, reporter)
                self.entry.wait()
            self._report_skipped(reporter)
        return self.entry

    def _report_skipped(self, reporter: Reporter) -> None:
        if skipped := self.entry.skipped:
            (name, reason), split = skipped[0], self.split
            reporter.note(
                f"{split.dataset} {split.name}: {len(skipped)} of {len(split)} images cannot be read and are "
                f"left out, such as {name}: {reason}. 'transferkit datasets verify' lists all of them."
            )

    def _announce(self, reporter: Reporter) -> None:
        if len(self.split) * 4 > SHARD_ROWS:
            plan = self.plan(timed=True)
            if (plan.seconds or 0) > LONG_SECONDS:
                reporter.note(f"{self.split.dataset} {self.split.name}: {plan}")

    @property
    def _batch(self) -> int:
        if self.entry.begun:
            return self.entry.batch  # a resumed run repeats the same batches, for bitwise equal features
        return self.settings.batch or (256 if self.compute.device.type == "cuda" else 32)

    @property
    def _workers(self) -> int:
        return default_workers() if self.settings.workers is None else self.settings.workers

    def _batches(self, rows: Iterable[NDArray[np.int64]], *, workers: int) -> Iterator[Batch]:
        variant = Variant(self.settings.variant)
        return load_batches(self.split, self.encoder.preprocessing, rows, workers=workers, variant=variant)

    def compute_again(self, rows: NDArray[np.int64], layers: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """Return the features ``[b, d]`` of some rows by layer, computed without the cache."""
        batch = next(iter(self._batches([rows], workers=0)))
        with pooled_outputs(self.encoder, layers, self.settings.pooling) as outputs:
            return _forward(outputs, batch, self.encoder, self.compute)

    def _images_per_second(self, layers: Sequence[str]) -> float:
        """Return the throughput on one batch of the split: the slower of decoding and forward pass."""
        rows = np.arange(min(self._batch, len(self.split)))
        started = time.perf_counter()
        batch = next(iter(self._batches([rows], workers=0)))
        decode = (time.perf_counter() - started) / max(1, self._workers)
        with pooled_outputs(self.encoder, layers, self.settings.pooling) as outputs:
            _forward(outputs, batch, self.encoder, self.compute)  # warm-up
            started = time.perf_counter()
            _forward(outputs, batch, self.encoder, self.compute)
        return len(rows) / max(decode, time.perf_counter() - started)

    def _fill(self, layers: Sequence[str], reporter: Reporter) -> None:
        """Fill the shards that no other process is filling."""
        label = f"{self.encoder.spec} on {self.split.dataset} {self.split.name}"
        with (
            pooled_outputs(self.encoder, layers, self.settings.pooling) as outputs,
            reporter.task(label, self.entry.rows_missing(layers), "images") as task,
        ):
            greys: dict[str, Grey] = {}

            def features_of(batch: Batch) -> dict[str, NDArray[np.float32]]:
                self._refuse_unreadable(batch)
                greys.update({self.split.ids[row]: grey for row, grey in batch.greys.items()})
                return _forward(outputs, batch, self.encoder, self.compute)

            load = partial(self._batches, workers=self._workers)
            fill(self.entry, layers, load, features_of, batch=self._batch, task=task)
        for warning in grey_warnings(greys):
            reporter.note(f"{self.split.dataset} {self.split.name}: {warning}")

    def _refuse_unreadable(self, batch: Batch) -> None:
        if batch.reasons and self.settings.on_error == "stop":
            row, reason = next(iter(batch.reasons.items()))
            raise DataError(
                f"{self.split.ids[row]} of {self.split.dataset} cannot be read: {reason}. "
                "Repair or remove the file, or use --on-error keep to leave such rows out."
            )


def _forward(
    outputs: Callable[[Tensor], dict[str, Tensor]], batch: Batch, encoder: Encoder, compute: Compute
) -> dict[str, NDArray[np.float32]]:
    """Normalise a batch on the device, run the encoder, and return pooled features ``[b, d]`` by layer."""
    images = batch.images.to(compute.device, non_blocking=True)
    with torch.inference_mode(), compute.autocast():
        pooled = outputs(normalised(images, encoder.preprocessing))
    return {name: values.float().cpu().numpy() for name, values in pooled.items()}


class Extractor:
    """Feature extractor of one encoder for any number of splits; its layers are resolved once.

    Args:
        encoder: the encoder; it is moved to the device of the settings.
        settings: extraction settings.
        store: feature cache.
        named: True if the encoder was loaded by its spec and not changed since; otherwise, or if it comes
            from no library, cached features are compared before they are reused.

    Raises: UsageError, ModelError: for layers, pooling, size or device that are not available.
    """

    def __init__(self, encoder: Encoder, settings: ExtractSettings, *, store: FeatureStore, named: bool = True) -> None:
        encoder = replace(
            encoder, weights=weights_digest(encoder.module)
        )  # recomputed, because it may have been trained
        self.encoder = encoder.at(settings.size)
        self.settings, self.store = settings, store
        self._named = named and is_named(encoder)
        _ = Variant(settings.variant)  # refuses an unknown variant before the first image
        self.pooling = settings.pooling or encoder.pooling
        self.layers = resolve_layers(self.encoder, settings.layers, settings.pooling)
        self._poolings = {one.name: one.pooling for one in self.layers if one.pooling not in ("", self.pooling)}
        self.compute = choose_compute(settings.device, settings.precision)
        channels_last(self.encoder.module.to(self.compute.device))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the layers, in the order of execution."""
        return tuple(layer.name for layer in self.layers)

    def with_variant(self, variant: str) -> "Extractor":
        """Return an extractor with the same encoder and layers for another variant of the images."""
        other = copy(self)
        other.settings = replace(self.settings, variant=Variant(variant).name)
        return other

    def open(self, split: Split) -> Extraction:
        """Return the extraction for ``split``; nothing is written, and at most one batch is computed."""
        for key in keys_of_networks(self._key(split)):
            entry = self.store.entry(key, split.groups)
            entry.poolings = self._poolings
            found = Extraction(self.encoder, split, self.settings, self.layers, entry, self.compute)
            if may_reuse(entry, self.names, found.compute_again, named=self._named):
                break
        return found

    def _key(self, split: Split) -> EntryKey:
        return EntryKey(
            model=self.encoder.spec,
            weights=self.encoder.weights,
            architecture=self.encoder.architecture,
            data=split.dataset,
            fingerprint=split.fingerprint,
            split=split.name,
            transform=self.encoder.preprocessing.to_json(),
            pooling=self.pooling,
            dtype=self.settings.dtype,
            precision=self.compute.precision,
            view=self.settings.variant,
        )


def extractions(
    models: Sequence[str], datasets: Sequence[str], settings: ExtractSettings, *, context: RunContext
) -> Iterator[Extraction]:
    """Yield the extraction of every model for every split of every data set; they are opened but not run.

    Args:
        models: encoder specs; an empty list selects the default model.
        datasets: specs of data sets and groups of them.
        settings: extraction settings.
        context: workspace, seed and reporter.
    """
    workspace = context.workspace
    for spec in models or [default_model(workspace.runs)]:
        encoder = load_encoder(spec, runs=workspace.runs, reporter=context.reporter)
        extractor = Extractor(encoder, settings, store=FeatureStore(workspace.features))
        for name in expand_datasets(datasets):
            yield from map(extractor.open, context.open(name).splits.values())
