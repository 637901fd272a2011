"""One entry of the cache: the features of many layers for one encoder × dataset × split × view."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import compress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..core.errors import CacheError, ShapeError
from ..core.features import Features
from ..core.groups import Groups, grouped_fingerprint
from ..core.locks import Lock
from ..core.out_of_core import Blocks, Matrix
from .claim import OK, Claim, ClaimedEntry
from .format import reading_shard
from .key import EntryKey
from .maintenance import ENTRY_LOCK, FileProblem, verify_folder
from .manifest import MANIFEST, Manifest, ShardFile, read_manifest, write_manifest
from .reading import Rows, layer_files, read_chunks, read_layer, read_rows

__all__ = ["Claim", "Entry", "planned_bytes"]

_ROW_BYTES = 64  # id, label and status of a row
_FILE_BYTES = 1 << 14  # names, shapes and offsets of a shard file
_CHUNK_ROWS = 1 << 13  # rows per block of a layer that is larger than the memory limit


def planned_bytes(n_rows: int, dims: Sequence[int], dtype: str) -> int:
    """Return an upper bound of the disk space for ``n_rows`` rows with ids of up to 50 bytes."""
    row_bytes = sum(dims) * np.dtype(dtype).itemsize
    return int(n_rows * (row_bytes * 1.01 + _ROW_BYTES)) + _FILE_BYTES


class Entry:
    """One entry of the cache. Reading takes no locks; shards are filled one at a time, through claims.

    Args:
        folder: folder of the entry; need not exist yet.
        key: key of the entry.
        groups: ``[n]`` groups of the rows of the split; not stored, because features do not depend on them.
    """

    def __init__(self, folder: Path, key: EntryKey, groups: Groups = None) -> None:
        self.folder = folder
        self.key = key
        self.groups = groups
        self.poolings: Mapping[str, str] = {}  # layer → pooling, for layers whose pooling differs from the key's
        self._begun: ClaimedEntry | None = None
        self._rows: tuple[list[ShardFile], Rows] | None = None

    # State

    @property
    def manifest(self) -> Manifest:
        """State on the disk; if the entry was pruned after ``begin``, its state without files.

        Raises:
            CacheError: if ``begin`` was never called for the entry.
            DamagedError: if ``entry.json`` differs from what was written.
        """
        if self._begun and not (self.folder / MANIFEST).exists():
            return replace(self._begun.manifest, files={})
        return read_manifest(self.folder)

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the split together with its groups."""
        return grouped_fingerprint(self.key.fingerprint, self.groups)

    @property
    def begun(self) -> bool:
        """True if the entry exists on the disk, that is, if ``begin`` was called for it."""
        return (self.folder / MANIFEST).exists()

    @property
    def rows(self) -> int:
        """Number of rows of the split."""
        return self.manifest.rows

    @property
    def batch(self) -> int:
        """Number of images per forward pass; a resumed run uses the same batches and so computes the same bits."""
        return self.manifest.batch

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.manifest.classes

    @property
    def layers(self) -> dict[str, int]:
        """Complete layers and their number of features ``d``."""
        manifest = self.manifest
        return {name: d for name, d in manifest.dims.items() if len(manifest.holding(name)) == manifest.shards}

    def pooling(self, layer: str) -> str:
        """Return the pooling of ``layer``: that of its files if they have their own, else that of the key."""
        return _pooling(self.manifest, layer)

    @property
    def skipped(self) -> tuple[tuple[str, str], ...]:
        """``(id, reason)`` of each unreadable row, in the order of the rows."""
        manifest = self.manifest
        files = [file for file in manifest.files.values() if file.skipped]
        found: dict[int, tuple[str, str]] = {}
        for file in files:
            rows = read_rows(self.folder, [file])
            found |= zip(manifest.shard(file.shard)[~rows.read].tolist(), rows.skipped, strict=True)
        return tuple(found[row] for row in sorted(found))

    @property
    def size_bytes(self) -> int:
        """Total size of the entry's files."""
        return sum(path.stat().st_size for path in self.folder.glob("*") if path.is_file())

    def missing(self, layers: Sequence[str]) -> tuple[str, ...]:
        """Return the layers of ``layers`` that are not complete."""
        manifest = self.manifest
        return tuple(name for name in layers if len(manifest.holding(name)) < manifest.shards)

    def rows_missing(self, layers: Sequence[str]) -> int:
        """Return the number of rows of the shards that lack some of ``layers``."""
        manifest = self.manifest
        shards = range(manifest.shards)
        return sum(len(manifest.shard(shard)) for shard in shards if manifest.missing(layers, shard))

    # Reading

    def features(self, layer: str, *, memory_bytes: float = float("inf")) -> Features:
        """Return the features of the readable rows, in the stored dtype.

        Args:
            layer: a complete layer.
            memory_bytes: limit above which a layer stays on the disk, with ``x`` as ``Blocks``; each iteration
                over them checks every byte.

        Raises:
            CacheError: if the layer is not complete; the message contains the command that fills it.
            DamagedError: if a byte differs from what was written; the message names file and layer.
        """
        manifest, key = self.manifest, self.key
        rows = self._rows_of_layer(manifest, layer)
        shape = int(rows.read.sum()), layer_files(manifest, layer)[0].layers[layer]  # [m, d]
        dtype = np.dtype(key.dtype).newbyteorder("<")
        x: Matrix
        if shape[0] * shape[1] * dtype.itemsize > memory_bytes:
            x = Blocks(shape, dtype, lambda: (part for part, _ in self.chunks(layer, _CHUNK_ROWS)))
        else:
            x = _select(read_layer(self.folder, manifest, layer), rows.read)
        return Features(
            x=x,
            labels=_select(rows.labels, rows.read),
            ids=rows.ids if rows.read.all() else rows.ids.where(rows.read),
            classes=manifest.classes,
            model=key.model,
            data=key.data,
            split=key.split,
            layer=layer,
            pooling=_pooling(manifest, layer),
            weights=key.weights,
            fingerprint=self.fingerprint,
            skipped=rows.skipped,
            preprocessing=key.extraction_settings,
            groups=self.groups and tuple(compress(self.groups, rows.read.tolist())),
        )

    def read(self, layer: str) -> tuple[NDArray[np.floating], NDArray[np.int64]]:
        """Return the features ``[m, d]`` of the readable rows and the row numbers ``[m]``.

        Raises: CacheError, DamagedError: as ``features``.
        """
        manifest = self.manifest
        x = read_layer(self.folder, manifest, layer)
        if not any(file.skipped for file in layer_files(manifest, layer)):
            return x, np.arange(len(x))
        read = self._rows_of_layer(manifest, layer).read
        return x[read], np.flatnonzero(read)

    def chunks(self, layer: str, rows_per_chunk: int) -> Iterator[tuple[NDArray[np.floating], NDArray[np.int64]]]:
        """Yield what ``read`` returns in chunks of at most ``rows_per_chunk`` rows, with one shard in memory."""
        yield from read_chunks(self.folder, self.manifest, layer, rows_per_chunk)

    def first_rows(self, layer: str, most: int) -> tuple[NDArray[np.floating], NDArray[np.int64]] | None:
        """Return the readable ones of the first ``most`` rows ``[m, d]`` of the first shard that has ``layer``.

        The first row of a shard is also the first of a batch.

        Returns: the features and their row numbers ``[m]``; None if no shard has the layer.
        """
        files = self.manifest.holding(layer)
        if not files:
            return None
        file = files[min(files)]
        with reading_shard(self.folder / file.name, file.index) as reader:
            x, read = reader.read(f"layers/{layer}")[:most], (reader.read("rows/status") == OK)[:most]
        return x[read], self.manifest.shard(file.shard)[:most][read]

    def vouch(self, versions: str) -> None:
        """Record that libraries of these versions compute the same features."""
        with self._lock():
            manifest = self.manifest
            if versions not in manifest.versions:
                write_manifest(self.folder, replace(manifest, versions=(*manifest.versions, versions)))

    def verify(self) -> list[FileProblem]:
        """Return each file of the entry whose SHA-256 differs from that of the written file."""
        return verify_folder(self.folder)

    def _rows_of_layer(self, manifest: Manifest, layer: str) -> Rows:
        """Return the rows of the files of ``layer``; the last ones are cached, because most layers share them."""
        files = layer_files(manifest, layer)
        if self._rows is None or self._rows[0] != files:
            self._rows = files, read_rows(self.folder, files)
        return self._rows[1]

    # Filling

    def begin(
        self,
        ids: Sequence[str],
        labels: NDArray[np.int64],
        classes: Sequence[str],
        *,
        shard_rows: int,
        batch: int,
        versions: str = "",
    ) -> None:
        """Create the entry with its rows; an existing entry keeps its ``shard_rows`` and ``batch``.

        Args:
            ids: ``[n]`` names of the rows without NUL characters, n ≥ 1.
            labels: ``[n]`` labels, or ``[n, c]`` for multi-label data, see ``core.labels``.
            classes: names of the classes.
            shard_rows: number of rows per shard.
            batch: number of images per forward pass.
            versions: versions of the libraries that compute the features.

        Raises:
            ShapeError: if there are no rows, an id is invalid, or the number of labels is not that of the ids.
            CacheError: if the entry exists with other rows.
        """
        joined = "\0".join(ids).encode(errors="surrogateescape")
        if labels.shape[:1] != (len(ids),) or labels.ndim > 2 or not len(ids) or joined.count(b"\0") != len(ids) - 1:
            raise ShapeError(
                f"An entry needs at least one id, none with a NUL character, and as many labels, "
                f"not {len(ids)} ids and labels {list(labels.shape)}."
            )
        digest = hashlib.sha256(joined + b"\0" + labels.astype("<i8").tobytes()).hexdigest()
        wanted = Manifest(
            self.key, len(ids), shard_rows, batch, tuple(classes), digest, {}, (versions,) if versions else ()
        )
        manifest = self._existing_or_new(wanted)
        if (manifest.row_digest, manifest.classes) != (wanted.row_digest, wanted.classes):
            raise CacheError(
                f"{self.folder} was created with {manifest.rows} other rows or classes than these {len(ids)} "
                "of the same fingerprint. Remove it with `transferkit cache prune`, and extract again."
            )
        self._begun = ClaimedEntry(self.folder, manifest, ids, labels, self.poolings)

    def claim(self, layers: Sequence[str]) -> Iterator[Claim]:
        """Claim each shard that lacks some of ``layers`` and that no other process is filling.

        A shard is claimed when the iterator is advanced, so several claims may be open; close every one.

        Raises: CacheError: if ``begin`` was not called.
        """
        if self._begun is None:
            raise CacheError(f"{self.folder} has no rows yet: call begin with its rows before claim.")
        before = self.manifest
        for shard in range(before.shards):
            if before.missing(layers, shard) and (claim := self._claimed(self._begun, shard, layers)):
                yield claim

    def wait(self) -> None:
        """Wait until no process is filling a shard: it has finished, stopped or died.

        Open claims of this process count too, and would make this wait forever.
        """
        for path in sorted(self.folder.glob("shard-*.lock")):
            with Lock(path):
                pass

    def _existing_or_new(self, wanted: Manifest) -> Manifest:
        """Return the existing manifest, or write ``wanted`` and return it."""
        if not (self.folder / MANIFEST).exists():
            with self._lock():
                if not (self.folder / MANIFEST).exists():
                    write_manifest(self.folder, wanted)
        return self.manifest

    def _claimed(self, target: ClaimedEntry, shard: int, layers: Sequence[str]) -> Claim | None:
        lock = Lock(self.folder / f"shard-{shard:05}.lock")
        if not lock.acquire(wait=False):
            return None
        try:
            manifest = self.manifest  # read again, because another process may have finished the shard
            if missing := manifest.missing(layers, shard):
                _remove_temporary_files(self.folder, f"shard-{shard:05}")
                return Claim(lock, replace(target, manifest=manifest), shard, missing, self._finish)
        except BaseException:
            lock.release()
            raise
        lock.release()
        return None

    def _finish(self, file: ShardFile) -> None:
        with self._lock():
            _remove_temporary_files(self.folder, MANIFEST)
            write_manifest(self.folder, self.manifest.adding(file))

    def _lock(self) -> Lock:
        return Lock(self.folder / ENTRY_LOCK)


def _pooling(manifest: Manifest, layer: str) -> str:
    files = manifest.holding(layer).values()
    return next((file.poolings[layer] for file in files if layer in file.poolings), manifest.key.pooling)


def _select(values: NDArray, read: NDArray[np.bool_]) -> NDArray:
    """Return the readable rows, without a copy if all are."""
    return values if read.all() else values[read]


def _remove_temporary_files(folder: Path, name: str) -> None:
    """Remove temporary files of ``name`` that a killed process left; the caller holds the lock."""
    for part in folder.glob(f".{name}*.part"):
        part.unlink(missing_ok=True)
