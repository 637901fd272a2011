"""One shard that this process has undertaken to fill."""

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
from ..core.files import appearing
from ..core.labels import is_multilabel
from .format import encode_shard
from .key import EntryKey
from .locks import Lock
from .manifest import Manifest, ShardFile
from .names import encoded

OK, UNREADABLE = 0, 1
"""``rows/status``: features are there; the file could not be decoded, and its features are zeros."""

_LONGEST_REASON = 200  # characters


@dataclass(frozen=True, eq=False)
class ClaimedEntry:
    """The entry that claims write into.

    Attributes:
        folder: of the entry.
        manifest: its state when the shard was claimed.
        ids: ``[n]`` of the split.
        labels: ``[n]`` of the split, or ``[n, c]`` as of ``core.labels``.
        poolings: layer → its pooling, where it is not that of the key.
    """

    folder: Path
    manifest: Manifest
    ids: Sequence[str]
    labels: NDArray[np.int64]
    poolings: Mapping[str, str] = field(default_factory=dict)


class Claim:
    """The right and the duty to fill one shard, until ``close``; ``write`` may run in another thread.

    Attributes:
        rows: ``[n]`` numbers of the rows, ascending.
        layers: those that the shard lacks, in the order they were asked for.

    Args:
        lock: of the shard, held.
        target: where to write.
        shard: its number.
        layers: to be filled.
        finish: told of the finished file.
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
        """Put the features of all rows and layers on the disk, for good.

        Args:
            reasons: row number → why its file could not be read; its features are stored as zeros.
            features: layer → ``[n, d]`` in the entry's dtype, in the order of ``rows``.

        Raises:
            CacheError: if the claim is closed, or ``d`` is not that of the entry's other shards.
            ShapeError: if layers, shapes or dtype are not those that were claimed.
            NonFiniteError: for NaN or infinity in a row without a reason, naming layer and row.
            DiskSpaceError: if the disk is full; what was finished stays.
        """
        if not self._lock.held:
            raise CacheError("A closed claim cannot be written: another process may be filling its shard.")
        self._require_claimed(features)
        first, last = int(self.rows[0]), int(self.rows[-1])
        ids, labels = self._target.ids[first : last + 1], self._target.labels[first : last + 1]
        said = [reasons.get(row) for row in range(first, last + 1)]
        arrays = _row_arrays(ids, labels, said)
        for name in self.layers:
            what = f"{name} of {_described(self._target.manifest.key)}"
            arrays[f"layers/{name}"] = _clean(features[name], arrays["rows/status"] == OK, ids, what=what)
        self._store(arrays, skipped=len(self.rows) - said.count(None))

    def close(self) -> None:
        """Let others have the shard; what was not written is claimable again."""
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _require_claimed(self, features: Mapping[str, NDArray]) -> None:
        if set(features) != set(self.layers):
            raise ShapeError(f"This claim takes the layers {list(self.layers)}, not {list(features)}.")
        n, dtype = len(self.rows), self._target.manifest.key.dtype
        for name, x in features.items():
            if x.ndim != 2 or len(x) != n or not x.shape[1] or x.dtype != dtype:
                raise ShapeError(f"{name} needs [{n}, d] of {dtype}, not {list(x.shape)} of {x.dtype}.")
            known = self._target.manifest.dims.get(name, x.shape[1])
            if x.shape[1] != known:
                raise CacheError(
                    f"{name} has {x.shape[1]} features here, but {known} in the entry's other shards. "
                    "The encoder's output must not depend on the image."
                )

    def _store(self, arrays: Mapping[str, NDArray], *, skipped: int) -> None:
        name = self._target.manifest.next_name(self._shard)
        data, index = encode_shard(arrays)
        with appearing(self._target.folder / name) as part:
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
                poolings={name: how for name, how in self._target.poolings.items() if name in self.layers},
            )
        )


def _described(key: EntryKey) -> str:
    return f"{key.model} on {key.data} {key.split}"


def _clean(x: NDArray, read: NDArray[np.bool_], ids: Sequence[str], *, what: str) -> NDArray:
    """``[n, d]`` little-endian and finite, with zeros where a file could not be read."""
    if not read.all():
        x = np.where(read[:, None], x, x.dtype.type(0))
    require_finite(x, what=what, ids=ids)
    return x.astype(x.dtype.newbyteorder("<"), copy=False)


def _row_arrays(ids: Sequence[str], labels: NDArray[np.int64], reasons: Sequence[str | None]) -> dict[str, NDArray]:
    """``rows/…``: one value a row, but ``reason``, which has one for every row of non-zero status.

    Several labels a row are one byte a class.
    """
    arrays = {
        "rows/id": encoded(ids),
        "rows/label": labels.astype("i1" if is_multilabel(labels) else "<i4"),
        "rows/status": np.array([OK if reason is None else UNREADABLE for reason in reasons], np.uint8),
    }
    said = [reason.replace("\0", " ")[:_LONGEST_REASON] for reason in reasons if reason is not None]
    return {**arrays, "rows/reason": encoded(said)} if said else arrays
