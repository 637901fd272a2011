"""Keeping a second process of this machine from the work that one is at."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ...core.files import writing_to

try:
    import fcntl
except ImportError:  # Windows: two processes at one work are the user's to avoid
    fcntl = None  # type: ignore[assignment]


@contextmanager
def holding(path: Path, *, busy: Callable[[], None]) -> Iterator[None]:
    """Hold the lock ``path``, a file that stays; the kernel lets go of it however this process ends.

    Args:
        path: of the lock; its folder is made.
        busy: called where another process holds it, before that is waited for; it may raise instead.
    """
    with writing_to(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a")
    with file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                busy()
                fcntl.flock(file, fcntl.LOCK_EX)
        yield
