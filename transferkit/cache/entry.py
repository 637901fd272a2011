"""All features of one encoder × dataset × split × view, many layers, on disk."""

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
from ..core.out_of_core import Blocks, Matrix
from .claim import OK, Claim, ClaimedEntry
from .format import reading_shard
from .key import EntryKey
from .locks import Lock
from .maintenance import ENTRY_LOCK, FileProblem, verify_folder
from .manifest import MANIFEST, Manifest, ShardFile, read_manifest, write_manifest
from .reading import Rows, layer_files, read_layer, read_pieces, read_rows

__all__ = ["Claim", "Entry", "planned_bytes"]

_ROW_BYTES = 64  # id, label and status of a row
_FILE_BYTES = 1 << 14  # names, shapes and offsets of a shard file
_PIECE_ROWS = 1 << 13  # of a layer that is left on the disk


def planned_bytes(n_rows: int, dims: Sequence[int], dtype: str) -> int:
    """What an extraction of ``n_rows`` rows, with ids of up to 50 bytes, will take on disk at most."""
    row_bytes = sum(dims) * np.dtype(dtype).itemsize
    return int(n_rows * (row_bytes * 1.01 + _ROW_BYTES)) + _FILE_BYTES


class Entry:
    """One entry of the cache. Reading takes no locks; filling goes shard by shard, through claims.

    Args:
        folder: of the entry; need not exist yet.
        key: what it is.
        groups: ``[n]`` of the rows of the split; not stored, because features do not depend on them.
    """

    def __init__(self, folder: Path, key: EntryKey, groups: Groups = None) -> None:
        self.folder = folder
        self.key = key
        self.groups = groups
        self.poolings: Mapping[str, str] = {}  # of layers to be filled, where the key's does not fit
        self._begun: ClaimedEntry | None = None
        self._rows: tuple[list[ShardFile], Rows] | None = None

    # What there is

    @property
    def manifest(self) -> Manifest:
        """The state on the disk; the begun one without files, should the entry have been pruned since.

        Raises:
            CacheError: if the entry was never begun.
            DamagedError: if ``entry.json`` is not what was written.
        """
        if self._begun and not (self.folder / MANIFEST).exists():
            return replace(self._begun.manifest, files={})
        return read_manifest(self.folder)

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the split together with its groups."""
        return grouped_fingerprint(self.key.fingerprint, self.groups)

    @property
    def begun(self) -> bool:
        """Whether its rows have been named on the disk."""
        return (self.folder / MANIFEST).exists()

    @property
    def rows(self) -> int:
        """How many the split has."""
        return self.manifest.rows

    @property
    def batch(self) -> int:
        """Images a forward pass, as first begun: a resumed run repeats the batches, and so their bits."""
        return self.manifest.batch

    @property
    def classes(self) -> tuple[str, ...]:
        """Names."""
        return self.manifest.classes

    @property
    def layers(self) -> dict[str, int]:
        """``d`` of every complete layer."""
        manifest = self.manifest
        return {name: d for name, d in manifest.dims.items() if len(manifest.holding(name)) == manifest.shards}

    def pooling(self, layer: str) -> str:
        """How ``layer`` was pooled: as the key says, or as its files do where that does not fit it."""
        return _pooling(self.manifest, layer)

    @property
    def skipped(self) -> tuple[tuple[str, str], ...]:
        """``(id, reason)`` of every row known not to be readable, in the order of the rows."""
        manifest = self.manifest
        files = [file for file in manifest.files.values() if file.skipped]
        found: dict[int, tuple[str, str]] = {}
        for file in files:
            rows = read_rows(self.folder, [file])
            found |= zip(manifest.shard(file.shard)[~rows.read].tolist(), rows.skipped, strict=True)
        return tuple(found[row] for row in sorted(found))

    @property
    def size_bytes(self) -> int:
        """Of all its files."""
        return sum(path.stat().st_size for path in self.folder.glob("*") if path.is_file())

    def missing(self, layers: Sequence[str]) -> tuple[str, ...]:
        """Those of ``layers`` that are not complete."""
        manifest = self.manifest
        return tuple(name for name in layers if len(manifest.holding(name)) < manifest.shards)

    def rows_missing(self, layers: Sequence[str]) -> int:
        """Rows of the shards that lack some of ``layers``."""
        manifest = self.manifest
        shards = range(manifest.shards)
        return sum(len(manifest.shard(shard)) for shard in shards if manifest.missing(layers, shard))

    # Reading

    def features(self, layer: str, *, memory_bytes: float = float("inf")) -> Features:
        """The rows that could be read, in the stored dtype.

        Args:
            layer: a complete one.
            memory_bytes: a layer that takes more is left on the disk, and its ``x`` are ``Blocks``: every
                byte is checked each time they are gone through.

        Raises:
            CacheError: if the layer is not complete, with the command that fills it.
            DamagedError: if a byte is not the one that was written, naming file and layer.
        """
        manifest, key = self.manifest, self.key
        rows = self._rows_beside(manifest, layer)
        shape = int(rows.read.sum()), layer_files(manifest, layer)[0].layers[layer]
        dtype = np.dtype(key.dtype).newbyteorder("<")
        x: Matrix
        if shape[0] * shape[1] * dtype.itemsize > memory_bytes:
            x = Blocks(shape, dtype, lambda: (part for part, _ in self.chunks(layer, _PIECE_ROWS)))
        else:
            x = _only(read_layer(self.folder, manifest, layer), rows.read)
        return Features(
            x=x,
            labels=_only(rows.labels, rows.read),
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
            view=key.circumstances,
            groups=self.groups and tuple(compress(self.groups, rows.read.tolist())),
        )

    def read(self, layer: str) -> tuple[NDArray[np.floating], NDArray[np.int64]]:
        """``[m, d]`` of the rows that could be read, and their numbers ``[m]``; errors as ``features``."""
        manifest = self.manifest
        x = read_layer(self.folder, manifest, layer)
        if not any(file.skipped for file in layer_files(manifest, layer)):
            return x, np.arange(len(x))
        read = self._rows_beside(manifest, layer).read
        return x[read], np.flatnonzero(read)

    def chunks(self, layer: str, rows_per_chunk: int) -> Iterator[tuple[NDArray[np.floating], NDArray[np.int64]]]:
        """What ``read`` returns, in pieces of at most ``rows_per_chunk`` rows; holds one shard at most."""
        yield from read_pieces(self.folder, self.manifest, layer, rows_per_chunk)

    def first_rows(self, layer: str, most: int) -> tuple[NDArray[np.floating], NDArray[np.int64]] | None:
        """Up to ``most`` readable rows ``[m, d]`` of the first shard that has ``layer``, and their numbers.

        The numbers begin where a forward pass began. None if no shard has the layer.
        """
        files = self.manifest.holding(layer)
        if not files:
            return None
        file = files[min(files)]
        with reading_shard(self.folder / file.name, file.index) as reader:
            x, read = reader.read(f"layers/{layer}")[:most], (reader.read("rows/status") == OK)[:most]
        return x[read], self.manifest.shard(file.shard)[:most][read]

    def vouch(self, versions: str) -> None:
        """Note that libraries of these versions compute the same features."""
        with self._lock():
            manifest = self.manifest
            if versions not in manifest.versions:
                write_manifest(self.folder, replace(manifest, versions=(*manifest.versions, versions)))

    def verify(self) -> list[FileProblem]:
        """Every file of the entry that is not as it was written, by its SHA-256."""
        return verify_folder(self.folder)

    def _rows_beside(self, manifest: Manifest, layer: str) -> Rows:
        """The rows of the files that hold ``layer``; most layers share them, so the last ones are kept."""
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
        """Name the rows. Of an entry that was begun before, its own ``shard_rows`` and ``batch`` stay.

        Args:
            ids: ``[n]`` without NUL characters, n ≥ 1.
            labels: ``[n]``, or ``[n, c]`` as of ``core.labels``.
            classes: names.
            shard_rows: rows a shard.
            batch: images a forward pass.
            versions: of the libraries that compute the features.

        Raises:
            ShapeError: for no rows, or ids and labels that do not fit.
            CacheError: if the entry was begun with other rows.
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
        manifest = self._begun_as(wanted)
        if (manifest.row_digest, manifest.classes) != (wanted.row_digest, wanted.classes):
            raise CacheError(
                f"{self.folder} was begun with {manifest.rows} other rows or classes than these {len(ids)} "
                "of the same fingerprint. Remove it with `transferkit cache prune`, and extract again."
            )
        self._begun = ClaimedEntry(self.folder, manifest, ids, labels, self.poolings)

    def claim(self, layers: Sequence[str]) -> Iterator[Claim]:
        """Take one shard after another that lacks some of ``layers`` and that nobody is filling.

        Each is taken when the iterator is advanced, so several may be open at once; close every one.

        Raises: CacheError: if ``begin`` was not called.
        """
        if self._begun is None:
            raise CacheError(f"{self.folder} was not begun: its rows must be named before they are filled.")
        before = self.manifest
        for shard in range(before.shards):
            if before.missing(layers, shard) and (claim := self._claimed(self._begun, shard, layers)):
                yield claim

    def wait(self) -> None:
        """Return when no shard is being filled any more: its process finished, gave up or died.

        Counts the claims of this process too; waiting for one's own never ends.
        """
        for path in sorted(self.folder.glob("shard-*.lock")):
            with Lock(path):
                pass

    def _begun_as(self, wanted: Manifest) -> Manifest:
        """The manifest that is there, or ``wanted``, written."""
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
            manifest = self.manifest  # again: another process may have finished it just now
            if missing := manifest.missing(layers, shard):
                _remove_parts(self.folder, f"shard-{shard:05}")
                return Claim(lock, replace(target, manifest=manifest), shard, missing, self._finish)
        except BaseException:
            lock.release()
            raise
        lock.release()
        return None

    def _finish(self, file: ShardFile) -> None:
        with self._lock():
            _remove_parts(self.folder, MANIFEST)
            write_manifest(self.folder, self.manifest.adding(file))

    def _lock(self) -> Lock:
        return Lock(self.folder / ENTRY_LOCK)


def _pooling(manifest: Manifest, layer: str) -> str:
    files = manifest.holding(layer).values()
    return next((file.poolings[layer] for file in files if layer in file.poolings), manifest.key.pooling)


def _only(values: NDArray, read: NDArray[np.bool_]) -> NDArray:
    """The rows that could be read, without a copy if that is all of them."""
    return values if read.all() else values[read]


def _remove_parts(folder: Path, name: str) -> None:
    """Scratch files of ``name`` that a killed process left; the caller holds the lock they are under."""
    for part in folder.glob(f".{name}*.part"):
        part.unlink(missing_ok=True)
