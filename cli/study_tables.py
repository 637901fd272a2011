"""Tables of a study: progress, failures and estimates."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.padding import Padding
from rich.text import Text

from transferkit.core.files import readable_bytes
from transferkit.core.fitted_table import Cell, Column, FittedTable, Name, Styled
from transferkit.core.progress import readable_seconds
from transferkit.studies.run import StudyRun
from transferkit.studies.state import TaskState

if TYPE_CHECKING:
    from transferkit.studies.estimate import StudyEstimate  # its import takes seconds

_BAR = 8  # characters
_PLAN_COLUMNS = (
    Column("work"),
    *(Column(heading, right=True) for heading in ("tasks", "images", "bytes", "one after another")),
)


def state_table(found: StudyRun) -> FittedTable:
    """Return a table of finished and total tasks, with one row and bar per model and one column per protocol."""
    counts: dict[str, dict[str, list[TaskState]]] = {}
    for mark in found.marks.values():
        column, row = _place_of(mark.title)
        counts.setdefault(row, {}).setdefault(column, []).append(mark)
    headings = list(dict.fromkeys(heading for cells in counts.values() for heading in cells))
    columns = (
        Column("model"),
        Column(""),
        *(Column(heading, right=True, stacked=True) for heading in headings),
    )
    rows: list[tuple[Cell, ...]] = [
        (
            Name(row),
            _bar([mark for marks in cells.values() for mark in marks]),
            *(_fraction(cells.get(heading, [])) for heading in headings),
        )
        for row, cells in counts.items()
    ]
    title = f"{found.study}: {found.count('done')} of {len(found.marks)} tasks are done"
    return FittedTable(columns, rows, title=title)


def _place_of(title: str) -> tuple[str, str]:
    """Return the column and row of a task, from its title."""
    first, *rest = title.split(" · ")
    word, _, model = first.partition(" ")
    if word == "pretrain":
        return word, f"run:{model}"
    if word == "extract":
        return word, model
    return first, rest[0]


def _bar(marks: list[TaskState]) -> Styled:
    filled = sum(mark.state == "done" for mark in marks) * _BAR // len(marks)
    return Styled("█" * filled + "░" * (_BAR - filled), _colour(marks))


def _fraction(marks: list[TaskState]) -> Cell:
    done = sum(mark.state == "done" for mark in marks)
    return Styled(f"{done}/{len(marks)}", _colour(marks)) if marks else ""


def _colour(marks: list[TaskState]) -> str:
    states = {mark.state for mark in marks}
    return "red" if "failed" in states else "green" if states == {"done"} else "yellow"


def failures_table(found: StudyRun) -> Iterator[RenderableType]:
    """Yield the failed tasks with their errors, if there are any, and the number of blocked tasks."""
    if not found.failed:
        return
    blocked = found.count("blocked")
    yield Text(f"\n{len(found.failed)} failed" + (f", {blocked} wait for them" if blocked else ""), "table.title")
    for mark in found.failed:
        where = f" (on {mark.node})" if mark.node else ""
        yield Text(mark.title, style="bold")
        yield Padding(Text(mark.error + where), (0, 0, 0, 2), expand=False)


def plan_table(plan: "StudyEstimate") -> FittedTable:
    """Return a table of the remaining work per kind, with time and bytes."""
    title = f"{plan.study}: {plan.done} tasks are done, {sum(line.tasks for line in plan.lines)} are left"
    rows = [
        (
            line.work,
            str(line.tasks),
            f"{line.images:,}".replace(",", " ") if line.images else "–",
            readable_bytes(line.bytes) if line.bytes else "–",
            "–" if line.seconds is None else readable_seconds(line.seconds),
        )
        for line in plan.lines
    ]
    return FittedTable(_PLAN_COLUMNS, rows, [plan.caption], title)
