"""Run a study: all unfinished tasks, in parallel; a failed task does not stop independent ones."""

import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..core.errors import StudyError, TransferkitError, UsageError
from ..core.files import writing_to
from ..core.locks import Lock
from ..core.progress import ProgressTask
from ..core.results import Results, ResultStore
from ..protocols.context import RunContext
from .engines.engine import Engine, need_of
from .eta import Eta
from .grid import Grid, Task, grid_of
from .outcome import Outcome
from .state import State, TaskState, some
from .study import Study
from .task_store import TaskRecord, TaskStore, unfinished

LISTEN_SECONDS = 0.5  # maximum delay of the reaction to Ctrl-C


@dataclass(frozen=True)
class StudyRun:
    """State of a study after a run.

    Attributes:
        study: name of the study.
        marks: state of each task.
        cells: digests of the records of all finished tasks, in the order of the grid.
        done: number of tasks that this run finished.
    """

    study: str
    marks: Mapping[str, TaskState]
    cells: tuple[str, ...]
    done: int = 0

    @property
    def failed(self) -> list[TaskState]:
        """Failed tasks."""
        return [mark for mark in self.marks.values() if mark.state == "failed"]

    def count(self, state: str) -> int:
        """Return the number of tasks in a state."""
        return sum(mark.state == state for mark in self.marks.values())

    def results(self, context: RunContext) -> Results:
        """Return the records of the finished tasks from the workspace."""
        store = ResultStore(context.workspace.results)
        return Results(store.named(cell) for cell in self.cells)

    def to_json(self) -> dict[str, Any]:
        """Return plain values for JSON, without the records."""
        states = ("done", "failed", "blocked", "waiting", "running")
        return {
            "study": self.study,
            "tasks": {state: self.count(state) for state in states},
            "failures": [{"task": mark.title, "error": mark.error} for mark in self.failed],
        }


def state_of(study: Study, context: RunContext) -> StudyRun:
    """Return the current state of each task from the workspace, with the errors of the last run."""
    grid = grid_of(study)
    finished = TaskStore(context).finished(grid)
    last = State.read(context.workspace.studies / study.name).marks
    marks = {}
    running = _is_running(study, context)
    needed = {task.id for task in unfinished(grid, finished)}
    for name, task in grid.items():
        mark = last.get(name, TaskState(task.title))
        if name not in needed:
            seconds = finished[name].seconds if name in finished else 0.0
            mark = TaskState(task.title, "done", seconds=seconds)
        elif mark.state == "done" or (mark.state == "running" and not running):
            mark = TaskState(task.title)
        marks[name] = mark
    return StudyRun(study.name, marks, _cells(grid, finished))


def run_study(study: Study, *, context: RunContext, engine: Callable[[], Engine], fail_fast: bool = False) -> StudyRun:
    """Run all unfinished tasks of a study.

    Args:
        study: the study.
        context: workspace and reporter.
        engine: factory of the engine; called only if tasks are left.
        fail_fast: stop at the first failure, and cancel running tasks.

    Raises:
        UsageError: if another process runs this study.
        StudyError: at the first failure, if ``fail_fast`` is set, and for tasks that no process can take.
    """
    folder = context.workspace.studies / study.name
    path = folder / "lock"
    lock = Lock(path)
    if not lock.acquire(wait=False):
        raise UsageError(
            f"Another process{_named(path)} is running the study {study.name}. Wait until it has finished, follow it "
            "with transferkit study show, or give this study another name."
        )
    try:
        with writing_to(path):
            path.write_text(f"{os.getpid()} on {socket.gethostname()}", encoding="utf-8")
        grid, task_store, state = grid_of(study), TaskStore(context), State.read(folder)
        finished = task_store.finished(grid)
        left = {task.id: task for task in unfinished(grid, finished)}
        if change := state.change(grid, left):
            context.reporter.note(f"{change} All tasks are listed in {state.keep_change(change)}.")
        state.begin(grid, {n: finished[n].seconds if n in finished else 0.0 for n in grid if n not in left})
        run = _Run(grid, task_store, state, context, fail_fast, finished, left)
        try:
            run.carry_out(engine)
        finally:
            run.settle()
        return StudyRun(study.name, state.marks, _cells(grid, run.finished), run.done)
    finally:
        lock.release()


def _named(lock: Path) -> str:
    """Return the holder of the lock of a study in brackets; empty if it is unknown."""
    try:
        holder = lock.read_text(encoding="utf-8")
    except OSError:
        return ""  # released in the meantime
    return f" ({holder})" if holder else ""


def _is_running(study: Study, context: RunContext) -> bool:
    path = context.workspace.studies / study.name / "lock"
    if not path.exists():
        return False
    lock = Lock(path)
    try:
        mine = lock.acquire(wait=False)
    except TransferkitError:
        return True  # unknown on a read-only disk: keep the stored state
    lock.release()
    return not mine


def _cells(grid: Grid, finished: Mapping[str, TaskRecord]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(cell for name in grid if name in finished for cell in finished[name].cells))


@dataclass(eq=False)
class _Run:
    """The remaining tasks while a study runs."""

    grid: Grid
    task_store: TaskStore
    state: State
    context: RunContext
    fail_fast: bool
    finished: dict[str, TaskRecord]
    left: dict[str, Task]
    running: dict[str, Task] = field(default_factory=dict)
    done: int = 0
    pace: Eta = field(default_factory=Eta)

    def __post_init__(self) -> None:
        for name, task_record in self.finished.items():
            if name in self.grid:
                self.pace.know(self.grid[name], task_record.seconds)

    def carry_out(self, make: Callable[[], Engine]) -> None:
        """Submit tasks whose dependencies are finished until none is left."""
        if not self.left:
            return
        with (
            make() as engine,
            self.context.reporter.task(f"study {self.state.folder.name}", len(self.left), "tasks") as progress,
        ):
            self.state.precision = self.state.precision or engine.precision()
            while self.left or self.running:
                self._hand_out(engine)
                if not self.running:
                    titles = [task.title for task in self.left.values()]
                    raise StudyError(
                        f"No task is running, and no process accepts any of the {len(titles)} remaining tasks "
                        f"({some(titles)}). Run the study again, or with other --jobs."
                    )
                progress.foresee(self.pace.outlook([*self.left.values(), *self.running.values()]))
                for outcome in engine.wait(LISTEN_SECONDS):
                    self._take(outcome, progress)
                self.state.write()

    def settle(self) -> None:
        """Reset running tasks to waiting, and write the state."""
        for task in self.running.values():
            self.state.set(task, "waiting")
        self.state.write(now=True)

    def _hand_out(self, engine: Engine) -> None:
        waiting = self.left.keys() | self.running.keys()
        for name, task in list(self.left.items()):
            if not waiting.isdisjoint(task.after) or not engine.accepts(task):
                continue
            need = need_of(task, rows=self._rows(task))
            engine.submit(task, need, self.state.precision)
            self.running[name] = self.left.pop(name)
            self.state.set(task, "running")

    def _rows(self, task: Task) -> int:
        if "data" not in task.what:
            return 0
        try:
            dataset = self.task_store.open(task.what["data"], task.what["seed"])
        except TransferkitError:
            return 0  # the task reports the error
        return sum(map(len, dataset.splits.values()))

    def _take(self, outcome: Outcome, progress: ProgressTask) -> None:
        task = self.running.pop(outcome.task)
        progress.advance()
        more = {"seconds": outcome.seconds, "node": outcome.node}
        if outcome.task_record is not None:
            self.finished[task.id] = outcome.task_record
            self.done += 1
            self.pace.end(task, outcome.seconds)
            self.state.set(task, "done", **more)
            return
        self.context.reporter.note(f"{task.title} failed: {outcome.error}")
        self.state.set(task, "failed", error=outcome.error, **more)
        if outcome.trace:
            self._keep_trace(task, outcome.trace)
        if self.fail_fast:
            raise StudyError(f"{task.title} failed: {outcome.error}")
        for blocked in self._dependents(task.id):
            self.left.pop(blocked.id)
            self.state.set(blocked, "blocked", error=f"waits for {task.title}, which failed")
            progress.advance()

    def _keep_trace(self, task: Task, trace: str) -> None:
        """Write the traceback of a task; an error of the disk must not end the study."""
        try:
            self.state.keep_trace(task, trace)
        except (OSError, TransferkitError) as error:
            self.context.reporter.note(f"The traceback of {task.title} cannot be stored: {error}")

    def _dependents(self, name: str) -> list[Task]:
        """Return the tasks that depend on ``name``, directly or indirectly."""
        lost = {name}
        found = []
        for other, task in self.left.items():  # dependencies come first, so that one pass is enough
            if not lost.isdisjoint(task.after):
                lost.add(other)
                found.append(task)
        return found
