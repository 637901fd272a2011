"""Reading of entries: whole layers, or one chunk at a time."""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..core.errors import CacheError
from .claim import OK
from .format import reading_shard
from .manifest import Manifest, ShardFile
from .names import Names


@dataclass(frozen=True, eq=False)
class Rows:
    """All rows of a split, from one file per shard.

    Attributes:
        ids: ``[n]`` names of the rows.
        labels: ``[n]`` labels, or ``[n, c]`` for multi-label data, see ``core.labels``.
        read: ``[n]`` mask of the rows whose files could be read.
        reasons: reason for each unreadable row, in order.
    """

    ids: Names
    labels: NDArray[np.int64]
    read: NDArray[np.bool_]
    reasons: Sequence[str]

    @property
    def skipped(self) -> tuple[tuple[str, str], ...]:
        """``(id, reason)`` of each unreadable row."""
        return tuple(zip(self.ids.where(~self.read), self.reasons, strict=True))


def layer_files(manifest: Manifest, layer: str) -> list[ShardFile]:
    """Return the file with ``layer`` of each shard, in the order of the rows.

    Raises: CacheError: if a shard lacks the layer; the message contains the command that fills it.
    """
    files = manifest.holding(layer)
    if len(files) < manifest.shards:
        key = manifest.key
        options = {"model": key.model, "data": key.data, "layers": layer, "pooling": key.pooling}
        options |= {"dtype": key.dtype, "precision": key.precision}
        command = " ".join(f"--{name} {shlex.quote(value)}" for name, value in options.items())
        raise CacheError(
            f"Only {len(files)} of {manifest.shards} shards of {layer!r} are finished for {key.model} on {key.data} "
            f"{key.split}. Fill the rest with: transferkit extract {command}"
        )
    return [files[shard] for shard in range(manifest.shards)]


def read_layer(folder: Path, manifest: Manifest, layer: str) -> NDArray[np.floating]:
    """Read the features ``[n, d]`` of all rows of the split; unreadable rows are zeros.

    Raises:
        CacheError: if the layer is not complete.
        DamagedError: if a byte differs from what was written.
    """
    files = layer_files(manifest, layer)
    x = np.empty((manifest.rows, files[0].layers[layer]), np.dtype(manifest.key.dtype).newbyteorder("<"))
    for file in files:
        rows = manifest.shard(file.shard)
        with reading_shard(folder / file.name, file.index) as reader:
            reader.read(f"layers/{layer}", into=x[rows[0] : rows[-1] + 1])
    return x


def read_chunks(
    folder: Path, manifest: Manifest, layer: str, max_rows: int
) -> Iterator[tuple[NDArray[np.floating], NDArray[np.int64]]]:
    """Yield the features ``[m, d]`` and row numbers ``[m]`` of the readable rows, m ≤ ``max_rows``.

    Memory holds at most one shard.
    """
    for file in layer_files(manifest, layer):
        with reading_shard(folder / file.name, file.index) as reader:
            x, read = reader.read(f"layers/{layer}"), reader.read("rows/status") == OK
        rows = manifest.shard(file.shard)[read]
        x = x if read.all() else x[read]
        for start in range(0, len(rows), max_rows):
            yield x[start : start + max_rows], rows[start : start + max_rows]


def read_rows(folder: Path, files: Sequence[ShardFile]) -> Rows:
    """Read the rows from ``files``, one per shard."""
    ids, labels, status = [], [], []
    reasons: list[str] = []
    for file in files:
        with reading_shard(folder / file.name, file.index) as reader:
            ids.append(reader.read("rows/id"))
            labels.append(reader.read("rows/label"))
            status.append(reader.read("rows/status"))
            if file.skipped:
                reasons += Names(reader.read("rows/reason"))
    joined = Names(np.concatenate(ids))
    return Rows(joined, np.concatenate(labels).astype(np.int64), np.concatenate(status) == OK, reasons)
