"""The interface of engines: an engine runs tasks and returns their outcomes."""

from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from ...probes import PROBES
from ...protocols.analyses.analysis import ANALYSES
from ..grid import Task
from ..outcome import Outcome

PROCESS_BYTES = 3 << 29
"""Memory of a process with torch and one or two networks: 1.5 GiB."""

ROW_BYTES = 2048 * 16
"""Memory per row during probing: 2 048 float32 features, and three times as much working memory."""


@dataclass(frozen=True)
class ResourceRequest:
    """Resources that a task declares.

    Attributes:
        cpus: minimum number of cores.
        gpus: number of GPUs of one machine; 0 for a task that only reads features.
        memory_bytes: main memory in bytes.
    """

    cpus: int
    gpus: int
    memory_bytes: int


def cores_of(cores: int, gpus: int, workers: int) -> tuple[int, int]:
    """Return the cores per process with a GPU and per process without, for ``workers`` processes on a machine.

    A process with a GPU needs many cores to decode images. A quarter of the cores is reserved for processes
    without a GPU, if there are any; these only read features.

    >>> cores_of(128, 8, 24)
    (12, 2)
    """
    owners = min(gpus, workers)
    others = workers - owners
    left = cores if not owners else cores // 4 if others else 0
    return max(1, (cores - left) // max(1, owners)), max(1, left // max(1, others))


def resource_request(task: Task, *, rows: int) -> ResourceRequest:
    """Return the resources of ``task`` on machines with GPUs; engines add the cores that load data for a GPU.

    Args:
        task: task to run.
        rows: number of rows of its data set.
    """
    devices = int(task.what.get("devices", 1))
    features = rows * ROW_BYTES if task.kind in ("probe", "analyze") else 0
    return ResourceRequest(
        cpus=devices,
        gpus=devices if runs_networks(task) else 0,
        memory_bytes=PROCESS_BYTES * devices + features,
    )


def runs_networks(task: Task) -> bool:
    """Return True if the task runs a network on images, and therefore uses a GPU.

    Most tasks only read cached features; some need further variants of the images.
    """
    if task.kind == "probe":
        probe = PROBES[task.what["protocol"]]
        return any(probe.needs_images(probe.settings_type.from_json(one)) for one in task.what["settings"])
    return task.kind != "analyze" or ANALYSES[task.what["analysis"]].needs_images


class Engine(Protocol):
    """Runs tasks in parallel; a context manager, which stops all processes at its end."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    def precision(self) -> str:
        """Return the precision of forward passes, ``fp32`` or ``bf16``, for studies with ``auto``."""

    def accepts(self, task: Task) -> bool:
        """Return True if the engine can take the task now."""

    def submit(self, task: Task, need: ResourceRequest, precision: str) -> None:
        """Start the task; ``accepts`` must be true."""

    def wait(self, timeout_seconds: float) -> list[Outcome]:
        """Return the tasks that have ended since the last call; wait at most ``timeout_seconds`` for the first one."""
