"""Fill the missing shards of a cache entry, batch by batch, for any kind of features.

Memory does not grow with the data set: it holds a few batches of the loader, the current shard, and the few
finished shards in the writer's bounded queue.
"""

import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..cache.entry import Claim, Entry
from ..core.progress import ProgressTask

QUEUE_LENGTH = 2  # maximum number of waiting shards, which limits memory if the disk is slow


class ShardWriter:
    """Calls functions that write shards, one after another in a separate thread.

    The queue is bounded: ``put`` waits while the disk is slower than the device. The first error of a function is
    raised by the next ``put``, or at the end of the ``with`` block; later functions are still called, so that they
    release their resources.
    """

    def __init__(self) -> None:
        self._queue: queue.Queue[Callable[[], None] | None] = queue.Queue(QUEUE_LENGTH)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="shard-writer", daemon=True)

    def put(self, write: Callable[[], None]) -> None:
        """Add the function ``write`` to the queue; waits while the queue is full."""
        self._raise()
        self._queue.put(write)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._queue.put(None)
        self._thread.join()
        if error is None:
            self._raise()

    def _work(self) -> None:
        while (write := self._queue.get()) is not None:
            try:
                write()
            except BaseException as error:
                self._error = self._error or error

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error


SHARD_ROWS = 2048


class LoadedBatch(Protocol):
    """A loaded batch of rows."""

    @property
    def rows(self) -> NDArray[np.int64]:
        """The requested rows ``[b]``."""

    @property
    def reasons(self) -> Mapping[int, str]:
        """Row → error message, for images that could not be read."""


B = TypeVar("B", bound=LoadedBatch)


def fill(
    entry: Entry,
    layers: Sequence[str],
    load: Callable[[Iterable[NDArray[np.int64]]], Iterator[B]],
    features_of: Callable[[B], Mapping[str, NDArray[np.floating]]],
    *,
    batch: int,
    task: ProgressTask,
) -> None:
    """Fill the shards that lack some of ``layers`` and that no other process is filling.

    Args:
        entry: entry whose files exist.
        layers: layers to fill.
        load: loads batches of rows lazily, in their order.
        features_of: returns layer → features ``[b, d]`` of a loaded batch, for ``layers`` at least.
        batch: rows per batch; batches do not cross shards, so that a resumed run repeats them.
        task: receives the progress.
    """
    pending: list[_Shard] = []
    with ShardWriter() as writer:
        try:
            for loaded in load(_claimed_batches(entry, layers, batch, pending)):
                pending[0].add(loaded, features_of(loaded))
                if pending[0].full:
                    writer.put(pending[0].finish)
                    pending.pop(0)
                task.advance(len(loaded.rows))
        finally:
            for shard in pending:
                shard.claim.close()


@dataclass(eq=False)
class _Shard:
    """The features of a shard that is being filled."""

    claim: Claim
    dtype: str
    reasons: dict[int, str] = field(default_factory=dict)
    features: dict[str, NDArray] = field(default_factory=dict)
    filled: int = 0

    @property
    def full(self) -> bool:
        return self.filled == len(self.claim.rows)

    def add(self, loaded: LoadedBatch, features: Mapping[str, NDArray[np.floating]]) -> None:
        rows = slice(self.filled, self.filled + len(loaded.rows))
        for name in self.claim.layers:
            values = features[name]
            if name not in self.features:
                self.features[name] = np.empty((len(self.claim.rows), values.shape[1]), self.dtype)
            with np.errstate(over="ignore"):  # overflow becomes infinite, which the cache refuses
                self.features[name][rows] = values
        self.reasons |= loaded.reasons
        self.filled = rows.stop

    def finish(self) -> None:
        try:
            self.claim.write(self.reasons, self.features)
        finally:
            self.claim.close()


def _claimed_batches(
    entry: Entry, layers: Sequence[str], size: int, pending: list[_Shard]
) -> Iterator[NDArray[np.int64]]:
    """Yield batches of the shards that this process claims; no batch crosses shards."""
    for claim in entry.claim(layers):
        pending.append(_Shard(claim, entry.key.dtype))
        for start in range(0, len(claim.rows), size):
            yield claim.rows[start : start + size]
