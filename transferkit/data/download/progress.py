"""Progress by bytes, told in megabytes."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ...core.progress import ProgressTask, Reporter

_UNIT = 10**6


@dataclass
class Meter:
    """Counts bytes, and advances a task that counts megabytes.

    Attributes:
        task: told of every whole megabyte.
        count: bytes so far.
    """

    task: ProgressTask
    count: int = 0

    def advance(self, count: int) -> None:
        """Say that ``count`` more bytes are done."""
        before, self.count = self.count, self.count + count
        if whole := self.count // _UNIT - before // _UNIT:
            self.task.advance(whole)


@contextmanager
def metered(reporter: Reporter, label: str, size_bytes: int) -> Iterator[Meter]:
    """Work on ``size_bytes`` bytes, named ``label`` while it lasts."""
    with reporter.task(label, max(1, size_bytes // _UNIT), "MB") as task:
        yield Meter(task)
