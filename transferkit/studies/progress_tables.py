"""Tables of a study for the terminal: progress, failures and estimates."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text

from ..core.files import readable_bytes
from ..core.progress import readable_seconds
from .run import StudyRun
from .state import TaskState

if TYPE_CHECKING:
    from .estimate import StudyEstimate  # its import takes seconds

_BAR = 8  # characters


def state_table(found: StudyRun) -> Table:
    """Return a table of finished and total tasks, with one row and bar per model and one column per protocol."""
    counts: dict[str, dict[str, list[TaskState]]] = {}
    for mark in found.marks.values():
        column, row = _place_of(mark.title)
        counts.setdefault(row, {}).setdefault(column, []).append(mark)
    columns = list(dict.fromkeys(column for cells in counts.values() for column in cells))
    title = f"{found.study}: {found.count('done')} of {len(found.marks)} tasks are done"
    table = Table(title=Text(title), box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    table.add_column("model", overflow="fold")
    table.add_column("", no_wrap=True)
    for column in columns:
        table.add_column(Text(column), justify="right", overflow="fold")
    for row, cells in counts.items():
        whole = [mark for marks in cells.values() for mark in marks]
        table.add_row(Text(row), _bar(whole), *(_fraction(cells.get(column, [])) for column in columns))
    return table


def _place_of(title: str) -> tuple[str, str]:
    """Return the column and row of a task, from its title."""
    first, *rest = title.split(" · ")
    word, _, model = first.partition(" ")
    if word == "pretrain":
        return word, f"run:{model}"
    if word == "extract":
        return word, model
    return first, rest[0]


def _bar(marks: list[TaskState]) -> Text:
    filled = sum(mark.state == "done" for mark in marks) * _BAR // len(marks)
    return Text("█" * filled + "░" * (_BAR - filled), _colour(marks))


def _fraction(marks: list[TaskState]) -> Text:
    done = sum(mark.state == "done" for mark in marks)
    return Text(f"{done}/{len(marks)}", _colour(marks)) if marks else Text("")


def _colour(marks: list[TaskState]) -> str:
    states = {mark.state for mark in marks}
    return "red" if "failed" in states else "green" if states == {"done"} else "yellow"


def failures_table(found: StudyRun) -> Iterator[Table]:
    """Yield a table of failed tasks with their errors, if there are any, and the number of blocked tasks."""
    if not found.failed:
        return
    blocked = found.count("blocked")
    title = f"{len(found.failed)} failed" + (f", {blocked} wait for them" if blocked else "")
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for heading in ("task", "error"):
        table.add_column(heading, overflow="fold")
    for mark in found.failed:
        where = f" (on {mark.node})" if mark.node else ""
        table.add_row(Text(mark.title), Text(mark.error + where))
    yield table


def plan_table(plan: "StudyEstimate") -> Table:
    """Return a table of the remaining work per kind, with time and bytes."""
    title = f"{plan.study}: {plan.done} tasks are done, {sum(line.tasks for line in plan.lines)} are left"
    table = Table(title=Text(title), box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for heading in ("work", "tasks", "images", "bytes", "one after another"):
        table.add_column(heading, justify="left" if heading == "work" else "right")
    for line in plan.lines:
        table.add_row(
            Text(line.work),
            str(line.tasks),
            f"{line.images:,}".replace(",", " ") if line.images else "–",
            readable_bytes(line.bytes) if line.bytes else "–",
            "–" if line.seconds is None else readable_seconds(line.seconds),
        )
    table.caption = Text(plan.caption)
    table.caption_justify = "left"
    return table
