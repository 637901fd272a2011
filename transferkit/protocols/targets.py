"""Measurement of targets on pixels, once per data set, split and preprocessing, stored in the feature cache."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ..cache.entry import Entry, planned_bytes
from ..cache.key import EntryKey
from ..cache.store import FeatureStore
from ..core.cores import available_cores
from ..core.errors import CacheError, DataError
from ..core.files import require_space
from ..core.preprocessing import Preprocessing
from ..core.progress import SILENT, Reporter
from ..data.dataset import Split
from ..data.loading import BatchDataset, load_items
from ..semantics import TARGETS
from ..semantics.measure import measure_batch
from ..semantics.target import semantics_digest
from .filling import SHARD_ROWS, fill

SPEC = "semantics"
"""Replaces the model's spec in the key of such an entry."""

_BATCH = 32


def targets_of(level: str) -> tuple[str, ...]:
    """Return the names of the measured targets of a level; only ``low`` and ``mid`` have some."""
    return tuple(name for name, target in TARGETS.items() if target.level == level)


def measured(
    split: Split,
    preprocessing: Preprocessing,
    names: Sequence[str],
    *,
    store: FeatureStore,
    reporter: Reporter = SILENT,
) -> Entry:
    """Return the cache entry with the targets ``names`` of every image; missing ones are measured.

    Each set of names has its own entry; its targets are measured together, because they share most of the work.

    Args:
        split: split of the images.
        preprocessing: preprocessing of the images; its mean and standard deviation have no effect.
        names: names of the targets.
        store: feature cache.
        reporter: receives progress and notes.

    Raises: DiskSpaceError: if the disk is too full, before computation starts.
    """
    entry = store.entry(targets_key(split, preprocessing, names))
    missing = entry.missing(names) if entry.begun else tuple(names)
    if missing:
        dims = [TARGETS[name].dimension for name in missing]
        require_space(entry.folder, planned_bytes(len(split), dims, entry.key.dtype))
        entry.begin(split.ids, split.labels, split.classes, shard_rows=SHARD_ROWS, batch=_BATCH)
    while missing := entry.missing(names):
        load = partial(_load, _Measuring(BatchDataset(split.reader, preprocessing), missing))
        label = f"measuring {len(missing)} targets on {split.dataset} {split.name}"
        with reporter.task(label, entry.rows_missing(missing), "images") as task:
            fill(entry, missing, load, lambda loaded: loaded.values, batch=entry.batch, task=task)
        entry.wait()
    return entry


def targets_key(split: Split, preprocessing: Preprocessing, names: Sequence[str]) -> EntryKey:
    """Return the key of an entry of targets, which depends on the preprocessing but not on the encoder."""
    mean = (
        preprocessing.mean if preprocessing.fit == "border" else Preprocessing().mean
    )  # the mean is the colour of the border
    preprocessing = replace(preprocessing, mean=mean, std=Preprocessing().std)
    return EntryKey(
        model=SPEC,
        weights=semantics_digest(names),
        architecture=SPEC,
        data=split.dataset,
        fingerprint=split.fingerprint,
        split=split.name,
        transform=preprocessing.to_json(),
        pooling="none",
        dtype="float32",
    )


@dataclass(frozen=True, eq=False)
class _Loaded:
    """Targets of a batch of rows: values ``[b, t]`` of each target, and error messages of unreadable rows."""

    rows: NDArray[np.int64]
    values: Mapping[str, NDArray[np.float32]]
    reasons: dict[int, str]


@dataclass(frozen=True)
class _Measuring:
    """Measures the targets of a batch of rows, in the data-loading process."""

    images: BatchDataset
    names: tuple[str, ...]

    def __getitem__(self, rows: NDArray[np.int64]) -> _Loaded | DataError:
        batch = self.images[rows]
        if isinstance(batch, DataError):
            return batch
        return _Loaded(batch.rows, measure_batch(batch.images.numpy(), self.names), batch.reasons)


def _load(measuring: _Measuring, batches: Iterable[NDArray[np.int64]]) -> Iterator[_Loaded]:
    cores = available_cores()
    yield from load_items(measuring, batches, workers=cores if cores > 1 else 0)


def read_targets(entry: Entry, names: Sequence[str], ids: Sequence[str]) -> dict[str, NDArray]:
    """Return the measured targets of the images ``ids`` ``[n]``, each ``[n, t]``.

    Raises: CacheError: if the entry has other rows.
    """
    columns = {name: entry.features(name) for name in names}
    if any(column.ids != ids for column in columns.values()):
        raise CacheError(
            f"{entry.folder} has other rows than the features of {entry.key.data} {entry.key.split}. "
            "Remove it with `transferkit cache prune`, and run the command again."
        )
    return {name: np.asarray(column.x) for name, column in columns.items()}
