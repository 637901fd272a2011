"""The contract of this room: an engine is handed tasks, and says how each ended.

Read this first, then any sibling.
"""

from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from ..grid import Task
from ..performing import Outcome

PROCESS_BYTES = 3 << 29
"""Of a process with torch in it and a network or two: 1.5 GiB."""

ROW_BYTES = 2048 * 16
"""Of a row while it is probed: 2 048 features as float32, and working space as large three times over."""


@dataclass(frozen=True)
class Need:
    """What a task declares that it takes.

    Attributes:
        cpus: cores.
        gpus: of one machine; 0 for a task that only reads features.
        memory_bytes: of main memory.
    """

    cpus: int
    gpus: int
    memory_bytes: int


def need_of(task: Task, *, rows: int, threads: int = 1) -> Need:
    """What ``task`` takes where there are GPUs.

    Args:
        task: what is to be done.
        rows: of its data set.
        threads: that it computes with.
    """
    devices = int(task.what.get("devices", 1))
    features = rows * ROW_BYTES if task.kind in ("probe", "analyze") else 0
    return Need(
        cpus=threads * devices,
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

    def submit(self, task: Task, need: Need, precision: str) -> None:
        """Begin it; there must be room."""

    def wait(self, timeout_seconds: float) -> list[Outcome]:
        """Tasks that have ended since the last call; waits for the first one no longer than that."""
