import io
import sys
from types import SimpleNamespace

import pytest
from rich.console import Console

from transferkit.core.progress import SILENT
from transferkit.reports import progress
from transferkit.reports.progress import PlainReporter, RichReporter, reporter_for


class Clock:
    """Time that passes only when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=clock))
    return clock


def test_plain_lines_are_printed_at_intervals_and_at_the_end(clock):
    stream = io.StringIO()
    reporter = PlainReporter(stream, every_seconds=10)
    with reporter.task("reading", 100, "images") as task:
        for _ in range(5):
            clock.now += 5
            task.advance(20)
    assert stream.getvalue() == (
        "reading: 40/100 images, 4/s, 15 s left\nreading: 80/100 images, 4/s, 5 s left\nreading: 100 images in 25 s\n"
    )


def test_a_plain_line_shows_the_given_outlook(clock):
    stream = io.StringIO()
    with PlainReporter(stream, every_seconds=10).task("study", 100, "tasks") as task:
        task.foresee("time left not known yet")
        clock.now += 180
        task.advance()
        clock.now += 9
        task.foresee("2 min left")
        clock.now += 1
        task.foresee("1 min left")
    assert stream.getvalue() == (
        "study: 1/100 tasks, time left not known yet\nstudy: 1/100 tasks, 1 min left\nstudy: 1 task in 190 s\n"
    )


def test_short_tasks_print_no_line(clock):
    stream = io.StringIO()
    with PlainReporter(stream, every_seconds=10).task("reading", 2, "images") as task:
        clock.now += 9
        task.advance(2)
    assert stream.getvalue() == ""


def test_failed_tasks_print_no_final_line(clock):
    stream = io.StringIO()

    def fail():
        with PlainReporter(stream, every_seconds=1).task("reading", 4, "images") as task:
            clock.now += 2
            task.advance()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert stream.getvalue() == "reading: 1/4 images, 0.5/s, 6 s left\n"


def test_plain_notes_are_lines_on_standard_error(capsys):
    PlainReporter().note("12 rows were skipped.")
    assert capsys.readouterr() == ("", "12 rows were skipped.\n")


@pytest.fixture
def terminal(monkeypatch) -> Console:
    """A terminal of 100 columns that writes into its own ``file``, with time standing still."""
    monkeypatch.setenv("TERM", "xterm")
    return Console(file=io.StringIO(), force_terminal=True, color_system=None, width=100, get_time=Clock())


def written(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_bar_shows_progress_and_rate_and_then_disappears(terminal):
    with RichReporter(terminal).task("reading [a]", 10, "images") as task:
        for _ in range(2):
            terminal.get_time.now += 2
            task.advance(3)
    *_, last_frame, _, wiped = written(terminal).splitlines()
    assert last_frame.endswith(f"\x1b[2Kreading [a] {'━' * 14}{' ' * 12}6/10 1.5 images/s 0:00:03")
    assert wiped == "\x1b[1A\x1b[2K"


def test_a_bar_shows_the_given_outlook_instead_of_a_rate(terminal):
    with RichReporter(terminal).task("study", 10, "tasks") as task:
        terminal.get_time.now += 2
        task.advance(3)
        task.foresee("2 min left")
    *_, last_frame, _, _ = written(terminal).splitlines()
    assert last_frame.rstrip().endswith("3/10 2 min left")


def test_a_bar_without_a_rate_shows_dots(terminal):
    with RichReporter(terminal).task("reading", 10, "images"):
        pass
    assert "… images/s" in written(terminal)


def test_tasks_may_be_nested(terminal):
    reporter = RichReporter(terminal)
    with reporter.task("outer", 1, "sets") as outer:
        with reporter.task("inner", 2, "images") as inner:
            inner.advance(2)
        outer.advance()
    assert "inner" in written(terminal)
    assert "1/1" in written(terminal).splitlines()[-3]


def test_notes_are_not_read_as_markup(terminal):
    RichReporter(terminal).note("layer [bold] of blocks.[369]")
    assert written(terminal) == "layer [bold] of blocks.[369]\n"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "quiet", "kind"),
    [
        (Terminal(), False, RichReporter),
        (io.StringIO(), False, PlainReporter),
        (Terminal(), True, type(SILENT)),
        (io.StringIO(), True, type(SILENT)),
    ],
)
def test_the_reporter_suits_standard_error(monkeypatch, stream, quiet, kind):
    monkeypatch.setattr(sys, "stderr", stream)
    assert type(reporter_for(quiet=quiet)) is kind
