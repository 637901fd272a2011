"""What is read off the pixels: once a data set, split and view, kept beside the features by their rules."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ..cache.entry import Entry, planned_bytes
from ..cache.key import EntryKey
from ..cache.store import FeatureStore
from ..core.errors import CacheError, DataError
from ..core.files import require_space
from ..core.preprocessing import Preprocessing
from ..core.progress import SILENT, Reporter
from ..data.dataset import Split
from ..data.loading import Frames, load_items
from ..semantics import TARGETS
from ..semantics.measure import measure_batch
from ..semantics.target import semantics_digest
from .filling import SHARD_ROWS, fill

SPEC = "semantics"
"""What stands for the model in the key of such an entry."""

_BATCH = 32


def targets_of(level: str) -> tuple[str, ...]:
    """Names of the targets of a level that are measured: of ``low`` and ``mid``; of others none."""
    return tuple(name for name, target in TARGETS.items() if target.level == level)


def measured(
    split: Split,
    view: Preprocessing,
    names: Sequence[str],
    *,
    store: FeatureStore,
    reporter: Reporter = SILENT,
) -> Entry:
    """The entry with the targets ``names`` of every image, measured now where they are missing.

    The same names are the same entry; they are measured together, for they share most of their work.

    Args:
        split: whose images.
        view: how an encoder is shown them; its mean and deviation play no part.
        names: of targets.
        store: where it is kept.
        reporter: receives progress and notes.

    Raises: DiskSpaceError: if there is no room, before anything is computed.
    """
    entry = store.entry(targets_key(split, view, names))
    missing = entry.missing(names) if entry.begun else tuple(names)
    if missing:
        dims = [TARGETS[name].dimension for name in missing]
        require_space(entry.folder, planned_bytes(len(split), dims, entry.key.dtype))
        entry.begin(split.ids, split.labels, split.classes, shard_rows=SHARD_ROWS, batch=_BATCH)
    while missing := entry.missing(names):
        load = partial(_load, _Measuring(Frames(split.reader, view), missing))
        label = f"reading {len(missing)} targets off {split.dataset} {split.name}"
        with reporter.task(label, entry.rows_missing(missing), "images") as task:
            fill(entry, missing, load, lambda loaded: loaded.values, batch=entry.batch, task=task)
        entry.wait()
    return entry


def targets_key(split: Split, view: Preprocessing, names: Sequence[str]) -> EntryKey:
    """What the entry of targets is named by: they are of an image as it is shown, whoever looks."""
    mean = view.mean if view.fit == "border" else Preprocessing().mean  # it is also the colour of the border
    seen = replace(view, mean=mean, std=Preprocessing().std)
    return EntryKey(
        model=SPEC,
        weights=semantics_digest(names),
        architecture=SPEC,
        data=split.dataset,
        fingerprint=split.fingerprint,
        split=split.name,
        transform=seen.to_json(),
        pooling="none",
        dtype="float32",
    )


@dataclass(frozen=True, eq=False)
class _Loaded:
    """Of a batch of rows: ``values`` of every target ``[b, t]``, and why some have none."""

    rows: NDArray[np.int64]
    values: Mapping[str, NDArray[np.float32]]
    reasons: dict[int, str]


@dataclass(frozen=True)
class _Measuring:
    """Asked for the rows of a batch, measures them; in the process that decodes."""

    frames: Frames
    names: tuple[str, ...]

    def __getitem__(self, rows: NDArray[np.int64]) -> _Loaded | DataError:
        batch = self.frames[rows]
        if isinstance(batch, DataError):
            return batch
        return _Loaded(batch.rows, measure_batch(batch.images.numpy(), self.names), batch.reasons)


def _load(measuring: _Measuring, batches: Iterable[NDArray[np.int64]]) -> Iterator[_Loaded]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    yield from load_items(measuring, batches, workers=cores if cores > 1 else 0)


def read_targets(entry: Entry, names: Sequence[str], ids: Sequence[str]) -> dict[str, NDArray]:
    """What was measured of the images ``ids`` ``[n]``: ``[n, t]`` each.

    Raises: CacheError: if the rows are not those of the entry.
    """
    columns = {name: entry.features(name) for name in names}
    if any(column.ids != ids for column in columns.values()):
        raise CacheError(
            f"{entry.folder} holds other rows than the features of {entry.key.data} {entry.key.split}. "
            "Remove it with `transferkit cache prune`, and measure again."
        )
    return {name: np.asarray(column.x) for name, column in columns.items()}
