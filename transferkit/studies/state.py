"""The displayed state of a study: state, error and duration of each task. It does not decide what is run."""

import json
import time
from collections.abc import Container, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..core.files import atomic_path, write_json
from .grid import Grid, Task

Phase = Literal["waiting", "running", "done", "failed", "blocked"]


@dataclass(frozen=True)
class TaskState:
    """State of one task.

    Attributes:
        title: title of the task.
        state: ``waiting``, ``running``, ``done``, ``failed``, or ``blocked`` by a failed dependency.
        error: error message in one line.
        seconds: duration.
        node: machine that ran the task.
    """

    title: str
    state: Phase = "waiting"
    error: str = ""
    seconds: float = 0.0
    node: str = ""


@dataclass(frozen=True)
class Change:
    """Differences of a study from its last run.

    Attributes:
        new: titles of new tasks.
        gone: titles of removed tasks; their results stay in the workspace.
        again: titles of finished tasks to rerun, because weights or images changed or records are missing.
    """

    new: tuple[str, ...]
    gone: tuple[str, ...]
    again: tuple[str, ...] = ()

    @property
    def _named(self) -> dict[str, tuple[str, ...]]:
        return {"new": self.new, "gone": self.gone, "to be done again": self.again}

    def listed(self) -> str:
        """Return all titles, one per line, each after its kind of change."""
        return "".join(f"{word}: {title}\n" for word, titles in self._named.items() for title in titles)

    def __str__(self) -> str:
        parts = [
            f"{len(titles)} {'task is' if len(titles) == 1 else 'tasks are'} {word} ({first_titles(titles)})"
            for word, titles in self._named.items()
            if titles
        ]
        return f"The study has changed since it last ran: {', and '.join(parts)}. Finished tasks are kept."


def first_titles(titles: Sequence[str]) -> str:
    """Return the first three titles, separated by semicolons."""
    return "; ".join(titles[:3]) + ("; …" if len(titles) > 3 else "")


@dataclass(eq=False)
class State:
    """The file ``studies/NAME/tasks.json``.

    Attributes:
        folder: folder of the study.
        precision: precision of forward passes, chosen by the first run; empty before.
        task_states: state of each task by id.
    """

    folder: Path
    precision: str = ""
    task_states: dict[str, TaskState] = field(default_factory=dict)
    _written: float = 0.0
    _changed: bool = False

    @classmethod
    def read(cls, folder: Path) -> "State":
        """Read the state of the last run; empty if there is none, or it cannot be read."""
        try:
            value = json.loads((folder / "tasks.json").read_text(encoding="utf-8"))
            task_states = {name: TaskState(**stored) for name, stored in value["tasks"].items()}
            return cls(folder, value["precision"], task_states)
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return cls(folder)

    def change(self, grid: Grid, remaining: Container[str]) -> Change | None:
        """Return the differences from the last run, if there are any; ``remaining`` are the unfinished tasks."""
        new = tuple(task.title for name, task in grid.items() if name not in self.task_states)
        gone = tuple(sorted(task_state.title for name, task_state in self.task_states.items() if name not in grid))
        done = {name for name, task_state in self.task_states.items() if task_state.state == "done"}
        again = tuple(task.title for name, task in grid.items() if name in done and name in remaining)
        return Change(new, gone, again) if self.task_states and (new or gone or again) else None

    def begin(self, grid: Grid, done: Mapping[str, float]) -> None:
        """Set all tasks of ``grid`` to done, with their seconds, or waiting."""
        self.task_states = {
            name: TaskState(task.title, "done", seconds=done[name]) if name in done else TaskState(task.title)
            for name, task in grid.items()
        }
        self.write(now=True)

    def set(self, task: Task, state: Phase, **more: Any) -> None:
        """Set the state of ``task``."""
        self.task_states[task.id] = TaskState(task.title, state, **more)
        self._changed = True
        self.write()

    def write(self, *, now: bool = False) -> None:
        """Write the file if it has changed, at most once per second unless ``now``."""
        if now or (self._changed and time.monotonic() - self._written >= 1):
            tasks = {name: asdict(task_state) for name, task_state in self.task_states.items()}
            write_json(self.folder / "tasks.json", {"precision": self.precision, "tasks": tasks})
            self._written, self._changed = time.monotonic(), False

    def keep_trace(self, task: Task, trace: str) -> Path:
        """Write the traceback of ``task``, and return the path of the file."""
        return _kept(self.folder / "errors" / f"{task.id}.txt", f"{task.title}\n\n{trace}")

    def keep_change(self, change: Change) -> Path:
        """Write all titles of ``change``, and return the path of the file."""
        return _kept(self.folder / "change.txt", change.listed())


def _kept(path: Path, text: str) -> Path:
    with atomic_path(path) as part:
        part.write_text(text, encoding="utf-8")
    return path
