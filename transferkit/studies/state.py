"""What is shown of a study: where each task stands, what went wrong, how long it took. Decides nothing."""

import json
import time
from collections.abc import Container, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..core.files import appearing, write_json
from .grid import Grid, Task

Phase = Literal["waiting", "running", "done", "failed", "blocked"]


@dataclass(frozen=True)
class TaskState:
    """Where one task stands.

    Attributes:
        title: of the task.
        state: ``waiting``, ``running``, ``done``, ``failed``, or ``blocked`` by a failure before it.
        error: in one line.
        seconds: that it took.
        node: the machine that carried it out.
    """

    title: str
    state: Phase = "waiting"
    error: str = ""
    seconds: float = 0.0
    node: str = ""


@dataclass(frozen=True)
class Change:
    """How a study differs from what it was when it last ran.

    Attributes:
        new: titles of tasks that it did not have.
        gone: titles of those that it has no more; what they left stays in the workspace.
        again: titles of those that were done: of other weights or images, or their records are gone.
    """

    new: tuple[str, ...]
    gone: tuple[str, ...]
    again: tuple[str, ...] = ()

    @property
    def _named(self) -> dict[str, tuple[str, ...]]:
        return {"new": self.new, "gone": self.gone, "to be done again": self.again}

    def listed(self) -> str:
        """All titles, one a line, each behind what became of it."""
        return "".join(f"{word}: {title}\n" for word, titles in self._named.items() for title in titles)

    def __str__(self) -> str:
        parts = [
            f"{len(titles)} {'task is' if len(titles) == 1 else 'tasks are'} {word} ({some(titles)})"
            for word, titles in self._named.items()
            if titles
        ]
        return f"The study has changed since it last ran: {', and '.join(parts)}. What is finished is kept."


def some(titles: Sequence[str]) -> str:
    """The first three of several titles."""
    return "; ".join(titles[:3]) + ("; …" if len(titles) > 3 else "")


@dataclass(eq=False)
class State:
    """The file ``studies/NAME/tasks.json``.

    Attributes:
        folder: of the study.
        precision: of forward passes, as the first run settled it; empty before.
        marks: task → where it stands.
    """

    folder: Path
    precision: str = ""
    marks: dict[str, TaskState] = field(default_factory=dict)
    _written: float = 0.0
    _changed: bool = False

    @classmethod
    def read(cls, folder: Path) -> "State":
        """As the last run left it; empty if there is none, or it cannot be read."""
        try:
            value = json.loads((folder / "tasks.json").read_text(encoding="utf-8"))
            marks = {name: TaskState(**mark) for name, mark in value["tasks"].items()}
            return cls(folder, value["precision"], marks)
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return cls(folder)

    def change(self, grid: Grid, left: Container[str]) -> Change | None:
        """What differs from the last run, if there was one; ``left`` are the tasks that must be done."""
        new = tuple(task.title for name, task in grid.items() if name not in self.marks)
        gone = tuple(sorted(mark.title for name, mark in self.marks.items() if name not in grid))
        done = {name for name, mark in self.marks.items() if mark.state == "done"}
        again = tuple(task.title for name, task in grid.items() if name in done and name in left)
        return Change(new, gone, again) if self.marks and (new or gone or again) else None

    def begin(self, grid: Grid, done: Mapping[str, float]) -> None:
        """Every task of ``grid`` as it stands before anything is done: done, with its seconds, or waiting."""
        self.marks = {
            name: TaskState(task.title, "done", seconds=done[name]) if name in done else TaskState(task.title)
            for name, task in grid.items()
        }
        self.write(now=True)

    def set(self, task: Task, state: Phase, **more: Any) -> None:
        """Note where ``task`` stands."""
        self.marks[task.id] = TaskState(task.title, state, **more)
        self._changed = True
        self.write()

    def write(self, *, now: bool = False) -> None:
        """Write the file if it has changed, at most once a second unless ``now``."""
        if now or (self._changed and time.monotonic() - self._written >= 1):
            tasks = {name: asdict(mark) for name, mark in self.marks.items()}
            write_json(self.folder / "tasks.json", {"precision": self.precision, "tasks": tasks})
            self._written, self._changed = time.monotonic(), False

    def keep_trace(self, task: Task, trace: str) -> Path:
        """Write where in the code ``task`` went wrong; the file's path."""
        return _kept(self.folder / "errors" / f"{task.id}.txt", f"{task.title}\n\n{trace}")

    def keep_change(self, change: Change) -> Path:
        """Write every title of ``change``, of which a message names three; the file's path."""
        return _kept(self.folder / "change.txt", change.listed())


def _kept(path: Path, text: str) -> Path:
    with appearing(path) as part:
        part.write_text(text, encoding="utf-8")
    return path
