"""A thread that writes shards while the device computes."""

import queue
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

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
