"""Saying how far long work has come: bars on a terminal, a plain line now and then elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Task as RichTask
from rich.text import Text

from .wording import counted


class ProgressTask(Protocol):
    """One stretch of work under way."""

    def advance(self, count: int = 1) -> None:
        """Say that ``count`` more units are done."""

    def foresee(self, outlook: str) -> None:
        """Say in words how long the rest takes, where units differ too much for their rate to tell."""


class Reporter(Protocol):
    """Where long work says how far it has come. The library is handed one; the default is silent."""

    def note(self, message: str) -> None:
        """Say one thing that a user would want to know."""

    def task(self, label: str, total: int, unit: str) -> AbstractContextManager[ProgressTask]:
        """Work of ``total`` units, named ``label`` while it lasts."""


class _Silence:
    def advance(self, count: int = 1) -> None:
        pass

    def foresee(self, outlook: str) -> None:
        pass


class Silent:
    """Says nothing."""

    def note(self, message: str) -> None:
        """Say nothing."""

    @contextmanager
    def task(self, label: str, total: int, unit: str) -> Iterator[ProgressTask]:
        """Work that is not spoken of."""
        yield _Silence()


SILENT = Silent()


class PlainReporter:
    """A line now and then, and one at the end of work that took longer than that: for logs and pipes.

    Args:
        stream: where the lines go.
        every_seconds: the time between two lines, also where many short tasks follow each other.
    """

    def __init__(self, stream: TextIO | None = None, *, every_seconds: float = 15) -> None:
        self._stream = stream or sys.stderr
        self._every_seconds = every_seconds
        self._said = time.monotonic()

    @property
    def due(self) -> bool:
        """Whether it is time for another line."""
        return time.monotonic() - self._said >= self._every_seconds

    def note(self, message: str) -> None:
        """Write ``message`` as a line."""
        self._said = time.monotonic()
        print(message, file=self._stream, flush=True)

    @contextmanager
    def task(self, label: str, total: int, unit: str) -> Iterator[ProgressTask]:
        """Write how far the work has come, and at the end how fast it went."""
        task = _PlainTask(self, label, total, unit)
        yield task
        task.close()


class _PlainTask:
    def __init__(self, reporter: PlainReporter, label: str, total: int, unit: str) -> None:
        self._reporter, self._label, self._unit, self._total = reporter, label, unit, total
        self._started = time.monotonic()
        self._done, self._spoke, self._outlook = 0, False, ""

    def advance(self, count: int = 1) -> None:
        self._done += count
        if self._reporter.due:
            self._spoke = True
            outlook = self._outlook or self._rate()
            self._reporter.note(f"{self._label}: {self._done}/{self._total} {self._unit}, {outlook}")

    def foresee(self, outlook: str) -> None:
        self._outlook = outlook
        self.advance(0)

    def _rate(self) -> str:
        rate = self._done / max(time.monotonic() - self._started, 1e-9)
        left = (self._total - self._done) / max(rate, 1e-9)
        return f"{rate:.3g}/s, {left:.0f} s left"

    def close(self) -> None:
        if self._spoke:  # short work needs no closing line
            elapsed = time.monotonic() - self._started
            self._reporter.note(
                f"{self._label}: {counted(self._done, self._unit.removesuffix('s'), self._unit)} in {elapsed:.0f} s"
            )


class RichReporter:
    """A live bar with rate and time left, on a terminal."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)

    def note(self, message: str) -> None:
        """Print ``message`` above the bar."""
        self._console.print(message, style="dim", highlight=False, markup=False)

    @contextmanager
    def task(self, label: str, total: int, unit: str) -> Iterator[ProgressTask]:
        """A bar that goes away when the work is done."""
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            _Rate(unit),
            _Left(),
        )
        with Progress(*columns, console=self._console, transient=True) as progress:
            yield _RichTask(progress, progress.add_task(label, total=total))


class _RichTask:
    def __init__(self, progress: Progress, identifier: TaskID) -> None:
        self._progress, self._identifier = progress, identifier

    def advance(self, count: int = 1) -> None:
        self._progress.advance(self._identifier, count)

    def foresee(self, outlook: str) -> None:
        self._progress.update(self._identifier, outlook=outlook)


class _Rate(TextColumn):
    """Units a second."""

    def __init__(self, unit: str) -> None:
        super().__init__("")
        self._unit = unit

    def render(self, task: RichTask) -> Text:
        if "outlook" in task.fields:
            return Text(task.fields["outlook"])
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.3g} {self._unit}/s" if speed else f"… {self._unit}/s")


class _Left(TimeRemainingColumn):
    """Time left, unless the work foresees it in words."""

    def render(self, task: RichTask) -> Text:
        return Text() if "outlook" in task.fields else super().render(task)


def reporter_for(*, quiet: bool) -> Reporter:
    """The reporter that suits standard error: silent, live or plain."""
    if quiet:
        return SILENT
    return RichReporter() if sys.stderr.isatty() else PlainReporter()


def readable_seconds(seconds: float) -> str:
    """A time as a person reads it.

    >>> readable_seconds(75), readable_seconds(4000), readable_seconds(7 * 86400)
    ('75 s', '67 min', '168.0 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
