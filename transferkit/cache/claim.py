"""Claims: the exclusive right of a process to fill one shard."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ..core.errors import CacheError, ShapeError
from ..core.features import require_finite
from ..core.files import atomic_path
from ..core.labels import is_multilabel
from ..core.locks import Lock
from .format import encode_shard
from .key import EntryKey
from .manifest import Manifest, ShardFile
from .names import encoded

OK, UNREADABLE = 0, 1
"""Values of ``rows/status``: the features are valid; the file could not be decoded, and the features are zeros."""

_MAX_REASON_LENGTH = 200  # characters


@dataclass(frozen=True, eq=False)
class ClaimedEntry:
    """The entry to which claims write.

    Attributes:
        folder: folder of the entry.
        manifest: state of the entry when the shard was claimed.
        ids: ``[n]`` names of the rows of the split.
        labels: ``[n]`` labels of the split, or ``[n, c]`` for multi-label data, see ``core.labels``.
        poolings: layer → its pooling, if it differs from that of the key.
    """

    folder: Path
    manifest: Manifest
    ids: Sequence[str]
    labels: NDArray[np.int64]
    poolings: Mapping[str, str] = field(default_factory=dict)


class Claim:
    """The exclusive right to fill one shard, until ``close``; ``write`` may run in another thread.

    Attributes:
        rows: ``[n]`` numbers of the rows, ascending.
        layers: layers that the shard lacks, in the requested order.

    Args:
        lock: lock of the shard, which this process holds.
        target: entry to which the claim writes.
        shard: number of the shard.
        layers: layers to fill.
        finish: function that is called with the finished file.
    """

    def __init__(
        self,
        lock: Lock,
        target: ClaimedEntry,
        shard: int,
        layers: tuple[str, ...],
        finish: Callable[[ShardFile], None],
    ) -> None:
        self._lock = lock
        self._target = target
        self._shard = shard
        self._finish = finish
        self.layers = layers
        self.rows = target.manifest.shard(shard)

    def write(self, reasons: Mapping[int, str], features: Mapping[str, NDArray]) -> None:
        """Write the features of all rows and layers to the disk and flush them.

        Args:
            reasons: row number → reason why its file is unreadable; its features are stored as zeros.
            features: layer → ``[n, d]`` in the entry's dtype, in the order of ``rows``.

        Raises:
            CacheError: if the claim is closed, or ``d`` differs from that of the entry's other shards.
            ShapeError: if layers, shapes or dtype are not those of the claim.
            NonFiniteError: if a row without a reason has NaN or infinity; the message names layer and row.
            DiskSpaceError: if the disk is full; finished shards are kept.
        """
        if not self._lock.held:
            raise CacheError(
                "A closed claim cannot be written, because another process may be filling its shard: claim it again."
            )
        self._require_claimed(features)
        first, last = int(self.rows[0]), int(self.rows[-1])
        ids, labels = self._target.ids[first : last + 1], self._target.labels[first : last + 1]
        row_reasons = [reasons.get(row) for row in range(first, last + 1)]
        arrays = _row_arrays(ids, labels, row_reasons)
        for name in self.layers:
            what = f"{name} of {_description(self._target.manifest.key)}"
            arrays[f"layers/{name}"] = _clean(features[name], arrays["rows/status"] == OK, ids, what=what)
        self._store(arrays, skipped=len(self.rows) - row_reasons.count(None))

    def close(self) -> None:
        """Release the shard; if it was not written, it can be claimed again."""
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _require_claimed(self, features: Mapping[str, NDArray]) -> None:
        if set(features) != set(self.layers):
            raise ShapeError(f"This claim needs the layers {list(self.layers)}, not {list(features)}.")
        n, dtype = len(self.rows), self._target.manifest.key.dtype
        for name, x in features.items():
            if x.ndim != 2 or len(x) != n or not x.shape[1] or x.dtype != dtype:
                raise ShapeError(f"{name} needs [{n}, d] of {dtype}, not {list(x.shape)} of {x.dtype}.")
            dim = self._target.manifest.dims.get(name, x.shape[1])
            if x.shape[1] != dim:
                raise CacheError(
                    f"{name} has {x.shape[1]} features in this shard, but {dim} in the entry's other shards. "
                    "The number of features must not depend on the image: use an encoder with a fixed output size."
                )

    def _store(self, arrays: Mapping[str, NDArray], *, skipped: int) -> None:
        name = self._target.manifest.next_name(self._shard)
        data, index = encode_shard(arrays)
        with atomic_path(self._target.folder / name) as part:
            part.write_bytes(data)
        self._finish(
            ShardFile(
                name=name,
                shard=self._shard,
                layers={layer: arrays[f"layers/{layer}"].shape[1] for layer in self.layers},
                skipped=skipped,
                bytes=len(data),
                sha256=hashlib.sha256(data).hexdigest(),
                index=index,
                poolings={name: p for name, p in self._target.poolings.items() if name in self.layers},
            )
        )


def _description(key: EntryKey) -> str:
    return f"{key.model} on {key.data} {key.split}"


def _clean(x: NDArray, read: NDArray[np.bool_], ids: Sequence[str], *, what: str) -> NDArray:
    """Return ``x`` ``[n, d]`` as little-endian, with zeros for unreadable rows, after a check that it is finite."""
    if not read.all():
        x = np.where(read[:, None], x, x.dtype.type(0))
    require_finite(x, what=what, ids=ids)
    return x.astype(x.dtype.newbyteorder("<"), copy=False)


def _row_arrays(ids: Sequence[str], labels: NDArray[np.int64], reasons: Sequence[str | None]) -> dict[str, NDArray]:
    """Return the arrays ``rows/…``: one value per row, but for ``reason`` one value per unreadable row.

    Multi-label rows have one byte per class.
    """
    arrays = {
        "rows/id": encoded(ids),
        "rows/label": labels.astype("i1" if is_multilabel(labels) else "<i4"),
        "rows/status": np.array([OK if reason is None else UNREADABLE for reason in reasons], np.uint8),
    }
    texts = [reason.replace("\0", " ")[:_MAX_REASON_LENGTH] for reason in reasons if reason is not None]
    return {**arrays, "rows/reason": encoded(texts)} if texts else arrays
