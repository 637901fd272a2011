"""The interface through which the library reports progress, and a reporter that is silent."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class ProgressTask(Protocol):
    """A running task whose progress is reported."""

    def advance(self, count: int = 1) -> None:
        """Report that ``count`` more units are finished."""

    def foresee(self, outlook: str) -> None:
        """Set a text for the remaining time, for tasks whose units differ too much to use their rate."""


class Reporter(Protocol):
    """Receiver of progress messages. Callers pass one to the library; the default is silent."""

    def note(self, message: str) -> None:
        """Report a message."""

    def task(self, label: str, total: int, unit: str) -> AbstractContextManager[ProgressTask]:
        """Return the context of a task of ``total`` units that is shown as ``label``."""


class _SilentTask:
    def advance(self, count: int = 1) -> None:
        pass

    def foresee(self, outlook: str) -> None:
        pass


class Silent:
    """A reporter that prints nothing."""

    def note(self, message: str) -> None:
        """Ignore the message."""

    @contextmanager
    def task(self, label: str, total: int, unit: str) -> Iterator[ProgressTask]:
        """Yield a task whose progress is not printed."""
        yield _SilentTask()


SILENT = Silent()


def readable_seconds(seconds: float) -> str:
    """Return a duration as text with a suitable unit.

    >>> readable_seconds(75), readable_seconds(4000), readable_seconds(7 * 86400)
    ('75 s', '67 min', '168.0 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
