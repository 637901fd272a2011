"""Engine with worker processes on this machine; their number is limited by cores and memory, which they divide."""

import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import torch

from ...core.cores import available_cores
from ...core.devices import choose_compute, free_memory_bytes
from ...core.errors import UsageError
from ...core.files import writing_to
from ...core.workspace import Workspace
from ..grid import Task
from ..outcome import Outcome, ResourceGrant
from .engine import PROCESS_BYTES, ResourceRequest, cores_of, runs_networks

ATTEMPTS = 2
"""Maximum number of attempts of a task whose process is killed, for example because of too little memory."""


@dataclass(eq=False)
class _Worker:
    """A worker process, its number, and its current task."""

    process: subprocess.Popen[bytes]
    number: int
    task: Task | None = None
    precision: str = "auto"
    began: float = 0.0
    unread: bytes = b""

    @property
    def answers(self) -> IO[bytes]:
        assert self.process.stdout is not None
        return self.process.stdout

    def say(self, value: object) -> None:
        """Send one line; ``wait`` detects a dead process."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(value).encode() + b"\n")
            self.process.stdin.flush()

    def dismiss(self) -> None:
        """Close the input of the process, which ends it immediately."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # the last message may not have been sent
            self.process.stdin.close()


@dataclass(eq=False)
class LocalEngine:
    """Runs tasks in worker processes of this machine.

    Attributes:
        workspace: workspace of the tasks.
        logs: folder of log files, one per process.
        jobs: number of processes; by default chosen from cores and memory.
    """

    workspace: Workspace
    logs: Path
    jobs: int | None = None
    _running: list[_Worker] = field(default_factory=list)
    _attempts: dict[str, int] = field(default_factory=dict)
    _selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)

    def __post_init__(self) -> None:
        if self.jobs is not None and self.jobs < 1:
            raise UsageError(f"--jobs {self.jobs} is too small: give 1 or more.")
        self._gpus = torch.cuda.device_count()
        self._count = self.jobs or default_jobs(self._gpus)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for worker in self._running:
            worker.dismiss()
        for worker in self._running:
            worker.process.wait()
            worker.answers.close()
        self._running.clear()
        self._selector.close()

    def precision(self) -> str:
        """Return the precision that suits this machine."""
        return choose_compute().precision

    def accepts(self, task: Task) -> bool:
        """Return True if a suitable process is idle; a task on several devices needs all processes idle."""
        busy = [worker.task for worker in self._running if worker.task]
        if any(_devices(other) > 1 for other in busy):
            return False
        if _devices(task) > 1:
            return not busy
        return self._idle(task) is not None or self._vacant(task) is not None

    def submit(self, task: Task, need: ResourceRequest, precision: str) -> None:
        """Send the task to an idle process, or to a new one."""
        worker = self._idle(task) or self._started(task)
        self._attempts[task.id] = self._attempts.get(task.id, 0) + 1
        worker.task, worker.precision, worker.began = task, precision, time.perf_counter()
        worker.say({"task": task.to_json(), "precision": precision})

    def wait(self, timeout_seconds: float) -> list[Outcome]:
        """Return the outcomes of finished tasks; a task whose process was killed is restarted once."""
        ended = []
        for key, _ in self._selector.select(timeout_seconds):
            worker: _Worker = key.data
            data = os.read(worker.answers.fileno(), 1 << 16)
            if not data:
                ended += self._replace_dead_worker(worker)
                continue
            *lines, worker.unread = (worker.unread + data).split(b"\n")
            for line in lines:
                worker.task = None
                ended.append(Outcome.from_json(json.loads(line)))
        return ended

    def _idle(self, task: Task) -> _Worker | None:
        """Return an idle process: one with a GPU for tasks that run networks, preferably one without for others."""
        idle = {worker.number: worker for worker in self._running if worker.task is None}
        number = self._suited(task, idle)
        return None if number is None else idle[number]

    def _vacant(self, task: Task) -> int | None:
        """Return the number of a process that could be started for the task."""
        return self._suited(task, set(range(self._count)) - {worker.number for worker in self._running})

    def _suited(self, task: Task, numbers: Iterable[int]) -> int | None:
        """Return the lowest suitable number; processes with a number below ``_gpus`` have a GPU."""
        if self._gpus and runs_networks(task):
            return min((number for number in numbers if number < self._gpus), default=None)
        return min(numbers, key=lambda number: (number < self._gpus, number), default=None)

    def share(self, number: int) -> ResourceGrant:
        """Return the resources of the process with that number."""
        owner = number < self._gpus
        feeding, reading = cores_of(available_cores(), self._gpus, self._count)
        threads = feeding if owner else reading
        memory = max(0.0, free_memory_bytes() / 2 / self._count) / 2**30
        loaders = threads - 1 if owner else None if self._count == 1 else threads // 4
        return ResourceGrant(threads=threads, loaders=loaders, memory=memory)

    def _log(self, number: int) -> IO[bytes]:
        path = self.logs / f"worker-{number}.log"
        with writing_to(path):
            self.logs.mkdir(parents=True, exist_ok=True)
            return path.open("ab")

    def _started(self, task: Task) -> _Worker:
        number = self._vacant(task)
        assert number is not None, "accepts() is true"
        share = self.share(number)
        visible = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(self._gpus)))
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": str(share.threads),
            "MKL_NUM_THREADS": str(share.threads),
            "TRANSFERKIT_GPUS": visible,
            "CUDA_VISIBLE_DEVICES": visible.split(",")[number] if number < self._gpus else "",
        }
        with self._log(number) as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "transferkit.studies.engines.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
            )
        worker = _Worker(process, number)
        where = {"workspace": str(self.workspace.root), "data": str(self.workspace.data)}
        worker.say({**where, "share": asdict(share)})
        self._selector.register(worker.answers, selectors.EVENT_READ, worker)
        self._running.append(worker)
        return worker

    def _replace_dead_worker(self, worker: _Worker) -> list[Outcome]:
        """Restart the task of a killed process in another process, unless it has failed twice."""
        self._selector.unregister(worker.answers)
        code = worker.process.wait()
        worker.answers.close()
        worker.dismiss()
        self._running.remove(worker)
        task = worker.task
        if task is None:
            return []
        if self._attempts[task.id] < ATTEMPTS:
            self.submit(task, ResourceRequest(1, 0, 0), worker.precision)
            return []
        ended = f"by signal {-code}" if code < 0 else f"with code {code}"
        error = (
            f"Its process ended {ended}, {ATTEMPTS} times, probably because of too little memory. Use fewer --jobs; "
            f"the log is in {self.logs}."
        )
        return [Outcome(task.id, None, error, seconds=time.perf_counter() - worker.began)]


def default_jobs(gpus: int = 0) -> int:
    """Return the default number of parallel tasks: half of the cores, limited by memory.

    With GPUs, it is one per GPU, plus half of the quarter of the cores that is reserved for other processes.
    """
    most = gpus + (available_cores() // 4 + 1) // 2 if gpus else available_cores() // 2
    return max(1, gpus, min(most, free_memory_bytes() // (2 * PROCESS_BYTES)))


def _devices(task: Task) -> int:
    return int(task.what.get("devices", 1))
