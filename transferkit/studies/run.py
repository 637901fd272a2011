"""Run a study: all unfinished tasks, in parallel; a failed task does not stop independent ones."""

import os
import socket
import time
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
from .engines.engine import Engine, resource_request
from .eta import Eta
from .grid import Grid, Task, grid_of
from .outcome import Outcome
from .state import State, TaskState, first_titles
from .study import Study
from .task_store import TaskRecord, TaskStore, unfinished

LISTEN_SECONDS = 0.5  # maximum delay of the reaction to Ctrl-C

LOCK_SECONDS = 0.5
"""Seconds for which a run waits for the lock of its study, which ``state_of`` holds for an instant."""


@dataclass(frozen=True)
class StudyRun:
    """State of a study: the current one, or that after a run.

    Attributes:
        study: name of the study.
        marks: state of each task.
        cells: digests of the records of all finished tasks, in the order of the grid.
        newly_done: number of tasks that this run finished; 0 without a run.
    """

    study: str
    marks: Mapping[str, TaskState]
    cells: tuple[str, ...]
    newly_done: int = 0

    @property
    def failed(self) -> list[TaskState]:
        """Failed tasks."""
        return [task_state for task_state in self.marks.values() if task_state.state == "failed"]

    def count(self, state: str) -> int:
        """Return the number of tasks in a state."""
        return sum(task_state.state == state for task_state in self.marks.values())

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
            "failures": [{"task": failed.title, "error": failed.error} for failed in self.failed],
        }


def state_of(study: Study, context: RunContext) -> StudyRun:
    """Return the current state of each task from the workspace, with the errors of the last run."""
    grid = grid_of(study)
    finished = TaskStore(context).finished(grid)
    last = State.read(context.workspace.studies / study.name).task_states
    running = _is_running(study, context)
    remaining = {task.id for task in unfinished(grid, finished)}
    task_states = {}
    for name, task in grid.items():
        task_state = last.get(name, TaskState(task.title))
        if name not in remaining:
            task_state = TaskState(task.title, "done", seconds=_seconds(finished, name))
        elif task_state.state == "done" or (task_state.state == "running" and not running):
            task_state = TaskState(task.title)
        task_states[name] = task_state
    return StudyRun(study.name, task_states, _cells(grid, finished))


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
    if not _acquire(lock):
        raise UsageError(
            f"Another process{_lock_holder(path)} is running the study {study.name}. Wait until it has finished, "
            "follow it with transferkit study show, or give this study another name."
        )
    try:
        with writing_to(path):
            path.write_text(f"{os.getpid()} on {socket.gethostname()}", encoding="utf-8")
        grid, task_store, state = grid_of(study), TaskStore(context), State.read(folder)
        finished = task_store.finished(grid)
        remaining = {task.id: task for task in unfinished(grid, finished)}
        if change := state.change(grid, remaining):
            context.reporter.note(f"{change} All tasks are listed in {state.keep_change(change)}.")
        state.begin(grid, {name: _seconds(finished, name) for name in grid if name not in remaining})
        run = _Run(grid, task_store, state, context, fail_fast, finished, remaining)
        try:
            run.run_tasks(engine)
        finally:
            run.reset_running()
        return StudyRun(study.name, state.task_states, _cells(grid, run.finished), run.newly_done)
    finally:
        lock.release()


def _acquire(lock: Lock) -> bool:
    """Take the lock of a study; False if another process holds it for longer than an instant."""
    deadline = time.monotonic() + LOCK_SECONDS
    while not lock.acquire(wait=False):
        if time.monotonic() >= deadline:
            return False
        time.sleep(LOCK_SECONDS / 20)
    return True


def _lock_holder(lock: Path) -> str:
    """Return the holder of the lock of a study in brackets; empty if it is unknown."""
    try:
        holder = lock.read_text(encoding="utf-8")
    except OSError:
        return ""  # released in the meantime
    return f" ({holder})" if holder else ""


def _is_running(study: Study, context: RunContext) -> bool:
    """Return True if a process runs the study, which the lock shows: it is taken and released at once."""
    path = context.workspace.studies / study.name / "lock"
    if not path.exists():
        return False
    lock = Lock(path)
    try:
        acquired = lock.acquire(wait=False)
    except TransferkitError:
        return True  # unknown on a read-only disk: keep the stored state
    lock.release()
    return not acquired


def _seconds(finished: Mapping[str, TaskRecord], name: str) -> float:
    """Return the duration of a task that is done; 0 for an extraction that was not run because nothing needs it."""
    return finished[name].seconds if name in finished else 0.0


def _cells(grid: Grid, finished: Mapping[str, TaskRecord]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(cell for name in grid if name in finished for cell in finished[name].cells))


@dataclass(eq=False)
class _Run:
    """A run of a study.

    Attributes:
        grid, task_store, state, context, fail_fast: those of ``run_study``.
        finished: records of finished tasks, of this and earlier runs.
        remaining: tasks that have not been submitted.
        running: submitted tasks without an outcome.
        newly_done: number of tasks that this run finished.
        eta: estimate of the remaining time.
    """

    grid: Grid
    task_store: TaskStore
    state: State
    context: RunContext
    fail_fast: bool
    finished: dict[str, TaskRecord]
    remaining: dict[str, Task]
    running: dict[str, Task] = field(default_factory=dict)
    newly_done: int = 0
    eta: Eta = field(default_factory=Eta)

    def __post_init__(self) -> None:
        for name, task_record in self.finished.items():
            if name in self.grid:
                self.eta.add(self.grid[name], task_record.seconds)

    def run_tasks(self, make_engine: Callable[[], Engine]) -> None:
        """Submit tasks whose dependencies are finished until none remains."""
        if not self.remaining:
            return
        with (
            make_engine() as engine,
            self.context.reporter.task(f"study {self.state.folder.name}", len(self.remaining), "tasks") as progress,
        ):
            # The first run chooses the precision for all later ones, so that all features have the same.
            self.state.precision = self.state.precision or engine.precision()
            while self.remaining or self.running:
                self._submit_ready(engine)
                if not self.running:
                    titles = [task.title for task in self.remaining.values()]
                    raise StudyError(
                        f"No task is running, and no process accepts any of the {len(titles)} remaining tasks "
                        f"({first_titles(titles)}). Run the study again, or with other --jobs."
                    )
                progress.foresee(self.eta.remaining_text([*self.remaining.values(), *self.running.values()]))
                for outcome in engine.wait(LISTEN_SECONDS):
                    self._record(outcome, progress)
                self.state.write()

    def reset_running(self) -> None:
        """Reset running tasks to waiting, and write the state."""
        for task in self.running.values():
            self.state.set(task, "waiting")
        self.state.write(now=True)

    def _submit_ready(self, engine: Engine) -> None:
        """Submit each task whose dependencies are finished, if the engine accepts it."""
        unfinished_ids = self.remaining.keys() | self.running.keys()
        for name, task in list(self.remaining.items()):
            if not unfinished_ids.isdisjoint(task.after) or not engine.accepts(task):
                continue
            engine.submit(task, resource_request(task, rows=self._rows(task)), self.state.precision)
            self.running[name] = self.remaining.pop(name)
            self.state.set(task, "running")

    def _rows(self, task: Task) -> int:
        """Return the number of rows of the task's data set; 0 if it has none, or cannot be opened."""
        if "data" not in task.what:
            return 0
        try:
            dataset = self.task_store.open(task.what["data"], task.what["seed"])
        except TransferkitError:
            return 0  # the task reports the error
        return sum(map(len, dataset.splits.values()))

    def _record(self, outcome: Outcome, progress: ProgressTask) -> None:
        """Record the outcome of a task: its results, or its error and the tasks that it blocks."""
        task = self.running.pop(outcome.task)
        progress.advance()
        more = {"seconds": outcome.seconds, "node": outcome.node}
        if outcome.task_record is not None:
            self.finished[task.id] = outcome.task_record
            self.newly_done += 1
            self.eta.add_finished(task, outcome.seconds)
            self.state.set(task, "done", **more)
            return
        self.context.reporter.note(f"{task.title} failed: {outcome.error}")
        self.state.set(task, "failed", error=outcome.error, **more)
        if outcome.trace:
            self._keep_trace(task, outcome.trace)
        if self.fail_fast:
            raise StudyError(f"{task.title} failed: {outcome.error}")
        for blocked in self._dependents(task.id):
            self.remaining.pop(blocked.id)
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
        blocked = {name}
        dependents = []
        for other, task in self.remaining.items():  # dependencies come first, so that one pass is enough
            if not blocked.isdisjoint(task.after):
                blocked.add(other)
                dependents.append(task)
        return dependents
