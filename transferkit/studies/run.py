"""Run a study: whatever is not finished, several tasks at a time, the rest of it when one fails."""

import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..cache.locks import Lock
from ..core.errors import StudyError, TransferkitError, UsageError
from ..core.files import writing_to
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

LISTEN_SECONDS = 0.5  # between two looks at whoever pressed Ctrl-C


@dataclass(frozen=True)
class StudyRun:
    """How a run of a study ended.

    Attributes:
        study: its name.
        marks: where each task stands.
        cells: digests of the records of all finished tasks, in the order of the grid.
        done: how many tasks were carried out now.
    """

    study: str
    marks: Mapping[str, TaskState]
    cells: tuple[str, ...]
    done: int = 0

    @property
    def failed(self) -> list[TaskState]:
        """Tasks that went wrong."""
        return [mark for mark in self.marks.values() if mark.state == "failed"]

    def count(self, state: str) -> int:
        """How many tasks stand there."""
        return sum(mark.state == state for mark in self.marks.values())

    def results(self, context: RunContext) -> Results:
        """Their records, as they lie in the workspace."""
        store = ResultStore(context.workspace.results)
        return Results(store.named(cell) for cell in self.cells)

    def to_json(self) -> dict[str, Any]:
        """Plain values, without the records."""
        states = ("done", "failed", "blocked", "waiting", "running")
        return {
            "study": self.study,
            "tasks": {state: self.count(state) for state in states},
            "failures": [{"task": mark.title, "error": mark.error} for mark in self.failed],
        }


def state_of(study: Study, context: RunContext) -> StudyRun:
    """Where each task stands now, told by what is in the workspace; errors are of the last run."""
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
    """Carry out what is not finished.

    Args:
        study: what is asked.
        context: workspace and reporter.
        engine: makes what carries out the tasks; called only if there is anything to do.
        fail_fast: stop at the first failure; what is running then is lost.

    Raises:
        UsageError: if another process runs this study.
        StudyError: at the first failure, where ``fail_fast`` is on, and for tasks that no process can take.
    """
    folder = context.workspace.studies / study.name
    path = folder / "lock"
    lock = Lock(path)
    if not lock.acquire(wait=False):
        raise UsageError(
            f"Another process{_named(path)} is running the study {study.name}. Wait for it, look at it with "
            "transferkit study show, or give this one another name."
        )
    try:
        with writing_to(path):
            path.write_text(f"{os.getpid()} on {socket.gethostname()}", encoding="utf-8")
        grid, task_store, state = grid_of(study), TaskStore(context), State.read(folder)
        finished = task_store.finished(grid)
        left = {task.id: task for task in unfinished(grid, finished)}
        if change := state.change(grid, left):
            context.reporter.note(f"{change} Each is named in {state.keep_change(change)}.")
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
    """Who holds the lock of a study, as it wrote there; nothing before it has."""
    try:
        holder = lock.read_text(encoding="utf-8")
    except OSError:
        return ""  # it has just been let go
    return f" ({holder})" if holder else ""


def _is_running(study: Study, context: RunContext) -> bool:
    path = context.workspace.studies / study.name / "lock"
    if not path.exists():
        return False
    lock = Lock(path)
    try:
        mine = lock.acquire(wait=False)
    except TransferkitError:
        return True  # a disk that cannot be written does not tell; what was last noted stands
    lock.release()
    return not mine


def _cells(grid: Grid, finished: Mapping[str, TaskRecord]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(cell for name in grid if name in finished for cell in finished[name].cells))


@dataclass(eq=False)
class _Run:
    """The tasks that are left, while they are carried out."""

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
        """Hand out whatever is ready until nothing is left."""
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
                        f"Nothing runs, and no process takes any of the {len(titles)} tasks that are left "
                        f"({some(titles)}). Run the study again, or with other --workers."
                    )
                progress.foresee(self.pace.outlook([*self.left.values(), *self.running.values()]))
                for outcome in engine.wait(LISTEN_SECONDS):
                    self._take(outcome, progress)
                self.state.write()

    def settle(self) -> None:
        """What was running is not, any more."""
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
            return 0  # said by the task
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
        """A disk that does not take the trace has perhaps failed the task, and need not end the study too."""
        try:
            self.state.keep_trace(task, trace)
        except (OSError, TransferkitError) as error:
            self.context.reporter.note(f"Where in the code {task.title} failed is not kept: {error}")

    def _dependents(self, name: str) -> list[Task]:
        """All that wait for ``name``, or for something that does."""
        lost = {name}
        found = []
        for other, task in self.left.items():  # in order, so that one pass is enough
            if not lost.isdisjoint(task.after):
                lost.add(other)
                found.append(task)
        return found
