"""Progress reports: live bars on a terminal, a plain line at intervals elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Task as RichTask
from rich.text import Text

from ..core.progress import SILENT, ProgressTask, Reporter
from ..core.wording import counted


class PlainReporter:
    """A reporter for logs and pipes, which prints plain lines at intervals.

    A task that has printed a line also prints one at its end.

    Args:
        stream: stream to which lines are printed.
        every_seconds: minimum time between two lines, also across several short tasks.
    """

    def __init__(self, stream: TextIO | None = None, *, every_seconds: float = 15) -> None:
        self._stream = stream or sys.stderr
        self._every_seconds = every_seconds
        self._last_line = time.monotonic()

    @property
    def due(self) -> bool:
        """True if enough time has passed since the last line."""
        return time.monotonic() - self._last_line >= self._every_seconds

    def note(self, message: str) -> None:
        """Print ``message`` as a line."""
        self._last_line = time.monotonic()
        print(message, file=self._stream, flush=True)

    @contextmanager
    def task(self, label: str, total: int, unit: str) -> Iterator[ProgressTask]:
        """Yield a task that prints its progress, and at the end its duration."""
        task = _PlainTask(self, label, total, unit)
        yield task
        task.close()


class _PlainTask:
    def __init__(self, reporter: PlainReporter, label: str, total: int, unit: str) -> None:
        self._reporter, self._label, self._unit, self._total = reporter, label, unit, total
        self._started = time.monotonic()
        self._done, self._has_printed, self._outlook = 0, False, ""

    def advance(self, count: int = 1) -> None:
        self._done += count
        if self._reporter.due:
            self._has_printed = True
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
        if self._has_printed:  # short tasks print no final line
            elapsed = time.monotonic() - self._started
            self._reporter.note(
                f"{self._label}: {counted(self._done, self._unit.removesuffix('s'), self._unit)} in {elapsed:.0f} s"
            )


class RichReporter:
    """A reporter for terminals, which shows a live bar with rate and remaining time."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)

    def note(self, message: str) -> None:
        """Print ``message`` above the bar."""
        self._console.print(message, style="dim", highlight=False, markup=False)

    @contextmanager
    def task(self, label: str, total: int, unit: str) -> Iterator[ProgressTask]:
        """Yield a task with a bar that disappears at the end."""
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            _RateColumn(unit),
            _TimeLeftColumn(),
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


class _RateColumn(TextColumn):
    """Units per second, or the text of ``foresee``."""

    def __init__(self, unit: str) -> None:
        super().__init__("")
        self._unit = unit

    def render(self, task: RichTask) -> Text:
        if "outlook" in task.fields:
            return Text(task.fields["outlook"])
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.3g} {self._unit}/s" if speed else f"… {self._unit}/s")


class _TimeLeftColumn(TimeRemainingColumn):
    """Remaining time; empty if ``foresee`` gave a text."""

    def render(self, task: RichTask) -> Text:
        return Text() if "outlook" in task.fields else super().render(task)


def reporter_for(*, quiet: bool) -> Reporter:
    """Return a silent reporter if ``quiet``, a live one if standard error is a terminal, else a plain one."""
    if quiet:
        return SILENT
    return RichReporter() if sys.stderr.isatty() else PlainReporter()
