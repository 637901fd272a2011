"""Resources and outcomes of tasks, which scheduler and worker processes exchange."""

from dataclasses import dataclass

from ..core.json_dataclass import JsonDataclass
from .task_store import TaskRecord


@dataclass(frozen=True)
class ResourceGrant:
    """Resources of the machine that a task may use.

    Attributes:
        threads: number of compute threads.
        loaders: number of data-loading processes; None chooses it from the number of cores.
        memory: GiB of memory for probing a layer; None uses half of the free memory.
        precision: precision of forward passes, for studies with ``auto``.
        device: ``auto``, ``cpu`` or ``cuda``.
    """

    threads: int = 1
    loaders: int | None = None
    memory: float | None = None
    precision: str = "auto"
    device: str = "auto"


@dataclass(frozen=True)
class Outcome(JsonDataclass):
    """Outcome of a task.

    Attributes:
        task: id of the task.
        task_record: record of the task; None if it failed.
        error: error message for users, in one line.
        trace: traceback for developers.
        node: machine that ran the task.
        seconds: duration.
    """

    task: str
    task_record: TaskRecord | None
    error: str = ""
    trace: str = ""
    node: str = ""
    seconds: float = 0.0
