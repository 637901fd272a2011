"""Lock files between processes of one machine."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ..core.files import writing_to

try:
    import fcntl
except ImportError:  # on Windows there is no lock between processes
    fcntl = None  # type: ignore[assignment]


@contextmanager
def hold_lock(path: Path, *, busy: Callable[[], None]) -> Iterator[None]:
    """Hold the lock file ``path`` inside the block; the kernel releases the lock when this process ends.

    Args:
        path: Path of the lock file, which is kept; its folder is created.
        busy: Function that is called before waiting for another process; it may raise instead.
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
