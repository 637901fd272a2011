"""The contract of this room: an engine is handed tasks, and says how each ended.

Read this first, then any sibling.
"""

from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from ..grid import Task
from ..outcome import Outcome

PROCESS_BYTES = 3 << 29
"""Of a process with torch in it and a network or two: 1.5 GiB."""

ROW_BYTES = 2048 * 16
"""Of a row while it is probed: 2 048 features as float32, and working space as large three times over."""


@dataclass(frozen=True)
class ResourceRequest:
    """What a task declares that it takes.

    Attributes:
        cpus: cores, at least.
        gpus: of one machine; 0 for a task that only reads features.
        memory_bytes: of main memory.
    """

    cpus: int
    gpus: int
    memory_bytes: int


def cores_of(cores: int, gpus: int, workers: int) -> tuple[int, int]:
    """Of each process with a GPU, and of each without, where ``workers`` processes share a machine.

    A GPU's process needs many cores, which decode images to feed it. A quarter of the machine is left to the
    processes without one, if there are any; they only read features.

    >>> cores_of(128, 8, 24)
    (12, 2)
    """
    owners = min(gpus, workers)
    others = workers - owners
    left = cores if not owners else cores // 4 if others else 0
    return max(1, (cores - left) // max(1, owners)), max(1, left // max(1, others))


def need_of(task: Task, *, rows: int) -> ResourceRequest:
    """What ``task`` takes where there are GPUs; an engine that knows its machines adds what feeds a GPU.

    Args:
        task: what is to be done.
        rows: of its data set.
    """
    devices = int(task.what.get("devices", 1))
    features = rows * ROW_BYTES if task.kind in ("probe", "analyze") else 0
    return ResourceRequest(
        cpus=devices,
        gpus=devices if runs_networks(task) else 0,
        memory_bytes=PROCESS_BYTES * devices + features,
    )


def runs_networks(task: Task) -> bool:
    """Whether the task shows images to a network, and so wants a GPU.

    Most questions only read features; some take further views of the images.
    """
    if task.kind == "probe":
        views = any(settings.get("views") for settings in task.what["settings"])
        return bool(task.what["protocol"] == "semantic" or views)
    return task.kind != "analyze" or task.what["analysis"] in ("robustness", "transferability")


class Engine(Protocol):
    """Carries out tasks, several at a time; a context, so that nothing is left running behind it."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    def precision(self) -> str:
        """``fp32`` or ``bf16``: of forward passes, where the study leaves it open."""

    def accepts(self, task: Task) -> bool:
        """Whether there is room for it now."""

    def submit(self, task: Task, need: ResourceRequest, precision: str) -> None:
        """Begin it; there must be room."""

    def wait(self, timeout_seconds: float) -> list[Outcome]:
        """Tasks that have ended since the last call; waits for the first one no longer than that."""
