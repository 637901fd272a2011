"""Locks between processes that end with their holder, however it ends."""

import os
import weakref
from pathlib import Path
from types import TracebackType
from typing import Self

from ..core.errors import CacheError
from ..core.files import writing_to

try:
    import fcntl
except ImportError:  # Windows: what is there can be read, but not filled
    fcntl = None  # type: ignore[assignment]


class Lock:
    """An exclusive lock that any process, and any other ``Lock`` of this one, respects.

    ``flock`` belongs to the open file, so the kernel releases it when the holder is killed. The file is
    removed on release: whoever waited for it notices that its name is gone, and takes the lock anew.
    On NFS the server must support locks (Linux turns ``flock`` into byte-range locks there).

    Args:
        path: of the lock file; its folder is made when needed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    @property
    def held(self) -> bool:
        """Whether this object holds the lock."""
        return self._descriptor is not None

    def acquire(self, *, wait: bool) -> bool:
        """Take the lock; False if another holds it and ``wait`` is off.

        Raises: CacheError: on a system without ``fcntl``.
        """
        if fcntl is None:
            raise CacheError(
                "Filling the feature cache needs file locks, which this system lacks (no fcntl). "
                "Fill it on Linux or macOS; reading works everywhere."
            )
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

    def release(self) -> None:
        """Let go; does nothing if the lock is not held."""
        if self._descriptor is not None:
            _HELD.discard(self)
            if self._is_still_named(self._descriptor):
                self._path.unlink(missing_ok=True)
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
            self.forget()

    def forget(self) -> None:
        """Close the file without unlocking: what a forked child does with its parent's locks."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __del__(self) -> None:
        self.release()  # what nobody can release any more must not be held

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
        """Whether the locked file is the one that others will find under the name."""
        try:
            return os.path.samestat(os.fstat(descriptor), self._path.stat())
        except FileNotFoundError:
            return False


_HELD: weakref.WeakSet[Lock] = weakref.WeakSet()


def _forget_held() -> None:
    """A forked worker must not keep a lock alive after its parent was killed."""
    for lock in list(_HELD):
        lock.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_held)
