"""Progress of byte counts in megabytes."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ..core.progress import ProgressTask, Reporter

_UNIT = 10**6


@dataclass
class ByteCounter:
    """Counts bytes, and advances a task that counts megabytes.

    Attributes:
        task: Task that is advanced by each megabyte.
        count: Number of bytes so far.
    """

    task: ProgressTask
    count: int = 0

    def advance(self, count: int) -> None:
        """Add ``count`` bytes."""
        before, self.count = self.count, self.count + count
        if whole := self.count // _UNIT - before // _UNIT:
            self.task.advance(whole)


@contextmanager
def byte_progress(reporter: Reporter, label: str, size_bytes: int) -> Iterator[ByteCounter]:
    """Report the progress of ``size_bytes`` bytes as a task ``label``."""
    with reporter.task(label, max(1, size_bytes // _UNIT), "MB") as task:
        yield ByteCounter(task)
