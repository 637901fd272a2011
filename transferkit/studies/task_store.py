"""Detection of finished tasks, from their records and outputs.

A successful task stores a task record: the weights and images that it used, and the results or features that
it wrote. It counts as finished as long as weights and images are unchanged and all results exist. A lost task
record costs little: the protocols reuse finished results, and the task stores a new record.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from .. import __version__
from ..core.errors import TransferkitError
from ..core.files import write_json
from ..core.json_dataclass import JsonDataclass
from ..core.results import RECORD_VERSION
from ..data.dataset import Dataset
from ..models.runs import Run
from ..probes import PROBES
from ..protocols.context import RunContext
from .grid import Grid, Task

Stamp = dict[str, Any]
"""Values besides the task that determine its results: contents of weights and images, versions, and the
definition of a probe."""


@dataclass(frozen=True)
class TaskRecord(JsonDataclass):
    """Record of a finished task.

    Attributes:
        stamp: weights, images and versions that the task used.
        cells: digests of the result records.
        entries: digests of the cache entries that the task filled.
        seconds: duration.
    """

    stamp: Stamp
    cells: tuple[str, ...]
    entries: tuple[str, ...]
    seconds: float


@dataclass(eq=False)
class TaskStore:
    """Task records in one workspace.

    Attributes:
        context: context of the workspace.
    """

    context: RunContext
    _opened: dict[tuple[str, int], Dataset | None] = field(default_factory=dict)

    def stamp(self, task: Task) -> Stamp | None:
        """Return the current stamp of a task; None while a run or data set does not exist."""
        if task.kind == "pretrain":
            models = {f"run:{task.what['run']}": self._run(f"run:{task.what['run']}", finished=True)}
            data = None
        else:
            models = {model: self.weights(model) for model in task.models}
            data = self._data(task.what["data"], task.what["seed"])
            if data is None:
                return None
        if None in models.values():
            return None
        stamp = {"models": models, "data": data, "versions": _versions(), "record": RECORD_VERSION}
        if task.kind == "probe" and (definition := PROBES[task.what["protocol"]].definition()):
            stamp["definition"] = definition
        return stamp

    def task_record(self, task: Task) -> TaskRecord | None:
        """Return the record of ``task`` if it is finished, else None."""
        path = self._path(task)
        if not path.exists():
            return None
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
            del value["task"]
            task_record = TaskRecord.from_json(value)
        except (OSError, ValueError, TypeError, KeyError):
            return None  # the task will store a new one
        complete = all(self._files(task_record))
        return task_record if complete and task_record.stamp == self.stamp(task) else None

    def keep(self, task: Task, task_record: TaskRecord) -> None:
        """Store the record of ``task``."""
        write_json(self._path(task), {"task": task.to_json(), **task_record.to_json()})

    def finished(self, grid: Grid) -> dict[str, TaskRecord]:
        """Return the records of all finished tasks.

        Tasks that depend on a run to be trained are not finished, even if files of that name exist. Missing
        features do not invalidate tasks whose results exist.
        """
        found: dict[str, TaskRecord] = {}
        untrained: set[str] = set()
        for name, task in grid.items():
            task_record = self.task_record(task) if untrained.isdisjoint(task.after) else None
            if task_record is not None:
                found[name] = task_record
            elif task.kind == "pretrain" or not untrained.isdisjoint(task.after):
                untrained.add(name)
        return found

    def open(self, data: str, seed: int) -> Dataset:
        """Open a data set, once.

        Raises: TransferkitError: if it cannot be opened.
        """
        found = self._opened.get((data, seed))
        if found is None:
            found = self._opened[data, seed] = RunContext(self.context.workspace, seed, self.context.reporter).open(
                data
            )
        return found

    def _files(self, task_record: TaskRecord) -> Iterable[bool]:
        workspace = self.context.workspace
        for cell in task_record.cells:
            yield (workspace.results / f"{cell[:32]}.json").exists()
        for entry in task_record.entries:
            yield (workspace.features / entry / "entry.json").exists()

    def _path(self, task: Task) -> Path:
        return self.context.workspace.studies / "finished" / f"{task.id}.json"

    def _data(self, data: str, seed: int) -> str | None:
        if (data, seed) in self._opened and self._opened[data, seed] is None:
            return None
        try:
            dataset = self.open(data, seed)
        except TransferkitError:
            self._opened[data, seed] = None  # the task that needs it reports the error
            return None
        return dataset.fingerprint

    def weights(self, spec: str) -> Any:
        """Return a cheap identifier of a model's weights; None while they do not exist.

        For models of a hub, it is the spec.
        """
        scheme, _, rest = spec.partition(":")
        if scheme == "run":
            return self._run(spec, finished=False)
        if scheme == "file":
            return _file(Path(rest.rpartition("#")[0]))
        return spec

    def _run(self, spec: str, *, finished: bool) -> Any:
        """Return a cheap identifier of a run's weights; None while they do not exist."""
        name, _, weights = spec.partition(":")[2].partition("@")
        try:
            run = Run.named(name, self.context.workspace.runs)
            description = run.read()
        except TransferkitError:
            return None
        if finished and not description.finished:
            return None
        file = _file(run.best if weights else run.newest)
        return file and {"file": file, "identity": dict(description.identity)}


def _file(path: Path) -> list[int] | None:
    """Return size and modification time in nanoseconds; None if the file does not exist."""
    try:
        state = path.stat()
    except OSError:
        return None
    return [state.st_size, state.st_mtime_ns]


@cache
def _versions() -> dict[str, str]:
    """Return the versions of transferkit and of the libraries that run networks."""
    found = {"transferkit": __version__}
    for package in ("torch", "torchvision", "timm"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = ""
    return found


def unfinished(grid: Grid, finished: Mapping[str, TaskRecord]) -> list[Task]:
    """Return the unfinished tasks in order; extraction counts only if an unfinished task needs the features."""
    left: set[str] = set()
    wanted: set[str] = set()
    for name, task in reversed(grid.items()):
        if name not in finished and (task.kind != "extract" or name in wanted):
            left.add(name)
            wanted.update(task.after)
    return [task for name, task in grid.items() if name in left]
