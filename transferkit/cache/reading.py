"""Reading an entry back: whole layers, or one piece after another."""

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
    """All rows of a split, as some of its files know them.

    Attributes:
        ids: ``[n]``.
        labels: ``[n]``, or ``[n, c]`` as of ``core.labels``.
        read: ``[n]``, whether the row's file could be read.
        reasons: of the rows that could not, in order.
    """

    ids: Names
    labels: NDArray[np.int64]
    read: NDArray[np.bool_]
    reasons: Sequence[str]

    @property
    def skipped(self) -> tuple[tuple[str, str], ...]:
        """``(id, reason)`` of every row that could not be read."""
        return tuple(zip(self.ids.where(~self.read), self.reasons, strict=True))


def layer_files(manifest: Manifest, layer: str) -> list[ShardFile]:
    """The file of every shard that has ``layer``, in the order of the rows.

    Raises: CacheError: if some shard lacks it, with the command that fills it.
    """
    files = manifest.holding(layer)
    if len(files) < manifest.shards:
        key = manifest.key
        options = {"model": key.model, "data": key.data, "layers": layer, "pooling": key.pooling}
        options |= {"dtype": key.dtype, "precision": key.precision}
        command = " ".join(f"--{name} {shlex.quote(value)}" for name, value in options.items())
        raise CacheError(
            f"{len(files)} of {manifest.shards} shards of {layer!r} are done for {key.model} on {key.data} "
            f"{key.split}. Fill the rest with: transferkit extract {command}"
        )
    return [files[shard] for shard in range(manifest.shards)]


def read_layer(folder: Path, manifest: Manifest, layer: str) -> NDArray[np.floating]:
    """``[n, d]`` of all rows of the split; zeros where a file could not be read.

    Raises:
        CacheError: if the layer is not complete.
        DamagedError: if a byte is not the one that was written.
    """
    files = layer_files(manifest, layer)
    x = np.empty((manifest.rows, files[0].layers[layer]), np.dtype(manifest.key.dtype).newbyteorder("<"))
    for file in files:
        rows = manifest.shard(file.shard)
        with reading_shard(folder / file.name, file.index) as reader:
            reader.read(f"layers/{layer}", into=x[rows[0] : rows[-1] + 1])
    return x


def read_pieces(
    folder: Path, manifest: Manifest, layer: str, most_rows: int
) -> Iterator[tuple[NDArray[np.floating], NDArray[np.int64]]]:
    """``[m, d]`` and the numbers ``[m]`` of its rows, m ≤ ``most_rows``, without the unreadable ones.

    Never holds more than one shard.
    """
    for file in layer_files(manifest, layer):
        with reading_shard(folder / file.name, file.index) as reader:
            x, read = reader.read(f"layers/{layer}"), reader.read("rows/status") == OK
        rows = manifest.shard(file.shard)[read]
        x = x if read.all() else x[read]
        for start in range(0, len(rows), most_rows):
            yield x[start : start + most_rows], rows[start : start + most_rows]


def read_rows(folder: Path, files: Sequence[ShardFile]) -> Rows:
    """What ``files``, one a shard, say of their rows."""
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
