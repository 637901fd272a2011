"""File locks between processes, which the system releases when the process that holds them ends."""

import os
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from filelock import BaseFileLock, FileLock, Timeout

from .files import writing_to

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


class Lock:
    """A lock that excludes other processes, and other ``Lock`` objects of this process.

    ``flock`` belongs to the open file, so the kernel releases it when the holder is killed. The file is removed
    on release: a process that waited for it notices that the file has no name any more, and locks a new file.
    On NFS the server must support locks (Linux turns ``flock`` into byte-range locks there). A system without
    ``flock``, such as Windows, uses the package filelock, which keeps the file.

    Args:
        path: path of the lock file; its folder is created if needed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None
        self._portable: BaseFileLock | None = None

    @property
    def held(self) -> bool:
        """True if this object holds the lock."""
        return self._descriptor is not None or self._portable is not None

    def acquire(self, *, wait: bool) -> bool:
        """Take the lock.

        Returns: whether the lock is held; False only if ``wait`` is off and another holder has it.
        """
        if fcntl is None:
            return self._acquire_portable(wait=wait)
        while True:
            descriptor = self._open()
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                return False
            except BaseException:  # interrupted while waiting
                os.close(descriptor)
                raise
            if self._is_still_named(descriptor):
                self._descriptor = descriptor
                _HELD.add(self)
                return True
            os.close(descriptor)

    def _acquire_portable(self, *, wait: bool) -> bool:
        with writing_to(self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self._path, is_singleton=False)
        try:
            lock.acquire(blocking=wait)
        except Timeout:
            return False
        self._portable = lock
        return True

    def release(self) -> None:
        """Release the lock; this does nothing if it is not held."""
        if self._portable is not None:
            self._portable.release()
            self._portable = None
        if self._descriptor is not None:
            _HELD.discard(self)
            if self._is_still_named(self._descriptor):
                self._path.unlink(missing_ok=True)
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
            self.forget()

    def forget(self) -> None:
        """Close the file without unlocking it, as a forked child does with its parent's locks."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __del__(self) -> None:
        self.release()  # no other code can release the lock any more

    def __enter__(self) -> Self:
        self.acquire(wait=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()

    def _open(self) -> int:
        with writing_to(self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def _is_still_named(self, descriptor: int) -> bool:
        """Return whether the path still refers to the locked file."""
        try:
            return os.path.samestat(os.fstat(descriptor), self._path.stat())
        except FileNotFoundError:
            return False


@contextmanager
def hold_lock(path: Path, *, busy: Callable[[], None]) -> Iterator[None]:
    """Hold the lock file ``path`` inside the block.

    Args:
        path: path of the lock file; its folder is created if needed.
        busy: function that is called before waiting for another process; it may raise an error instead.
    """
    lock = Lock(path)
    if not lock.acquire(wait=False):
        busy()
        lock.acquire(wait=True)
    try:
        yield
    finally:
        lock.release()


_HELD: weakref.WeakSet[Lock] = weakref.WeakSet()


def _forget_held() -> None:
    """Close the locks in a forked worker, which would otherwise keep them after its parent was killed."""
    for lock in list(_HELD):
        lock.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_held)
