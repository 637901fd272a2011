"""Engine on a Ray cluster: a running one, given by its address, or one that is started for the call.

Each task is a Ray task that declares its cores, GPUs and memory; Ray restarts it on another node if a node
dies. Tasks write all output to the workspace, which must be on a disk that all nodes share; on a node without
access to it, tasks fail with an error instead of writing to a local folder.
"""

import json
import os
import secrets
import socket
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ...core.devices import choose_compute
from ...core.errors import MissingExtraError, StudyError, UsageError
from ...core.files import atomic_path
from ...core.workspace import Workspace
from ..grid import Task
from ..outcome import Outcome, ResourceGrant
from ..runner import TaskRunner
from .engine import PROCESS_BYTES, ResourceRequest, cores_of, runs_networks
from .local import default_jobs

RETRIES = 3
"""Number of restarts of a task whose node or process died."""

MOST_WAITING = 2
"""Submitted tasks per core of the cluster, so that no node waits for this process."""


def _beacon(root: Path, token: str) -> Path:
    """Return the file by which a node checks its access to the workspace; it exists as long as its engine."""
    return root / "studies" / f"beacon-{token}"


@dataclass(eq=False)
class RayEngine:
    """Tasks on a Ray cluster.

    Attributes:
        workspace: workspace of the tasks, on a disk that all nodes share.
        address: address of a running cluster, ``auto`` for the one of this machine; None starts one.
        jobs: number of parallel tasks of a started cluster; by default chosen from cores and memory.
    """

    workspace: Workspace
    address: str | None = None
    jobs: int | None = None
    _ray: Any = field(init=False)
    _remote: Any = field(init=False)
    _running: dict[Any, Task] = field(default_factory=dict)
    _refused: list[Outcome] = field(default_factory=list)
    _feeding: int = 1
    _token: str = field(default_factory=lambda: secrets.token_hex(8))

    def __post_init__(self) -> None:
        if self.jobs is not None and self.jobs < 1:
            raise UsageError(f"--jobs {self.jobs} is too small: give 1 or more.")
        if self.jobs and self.address:
            raise UsageError(
                f"--jobs {self.jobs} applies to a cluster that is started, not to the one at {self.address}. "
                "Use one of the two options."
            )
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # disables usage reports
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # hides GPUs from tasks without one
        try:
            import ray
        except ImportError as error:
            raise MissingExtraError("ray", extra="cluster", purpose="for --engine ray") from error
        self._ray = ray

    def __enter__(self) -> Self:
        self._connect()
        self._remote = self._ray.remote(carry_out)
        resources = self._ray.cluster_resources()
        self._cpus = int(resources.get("CPU", 1))
        self._gpus = int(resources.get("GPU", 0))
        self._feeding = feeding_cores(node["Resources"] for node in self._ray.nodes() if node["Alive"])
        with atomic_path(_beacon(self.workspace.root, self._token)):
            pass  # an empty file is enough
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for reference in self._running:
            self._ray.cancel(reference, force=True)
        self._running.clear()
        self._ray.shutdown()
        _beacon(self.workspace.root, self._token).unlink(missing_ok=True)

    def precision(self) -> str:
        """Return the precision that suits the nodes that run networks."""
        remote = self._ray.remote(suited_precision).options(num_gpus=1 if self._gpus else 0)
        return str(self._ray.get(remote.remote()))

    def accepts(self, task: Task) -> bool:
        """Return True if more tasks are needed to keep the cluster busy.

        While tasks use GPUs, tasks that only read features leave the cores that load data for the GPUs free.
        """
        readers = [other for other in self._running.values() if not runs_networks(other)]
        if self._gpus and len(readers) < len(self._running) and not runs_networks(task):
            return len(readers) < max(1, self._cpus - self._gpus * self._feeding)
        return len(self._running) < MOST_WAITING * max(1, self._cpus)

    def submit(self, task: Task, need: ResourceRequest, precision: str) -> None:
        """Submit a task with its resources; if no node has enough, the task fails instead of waiting forever."""
        gpus = need.gpus if self._gpus else 0
        cpus = max(need.cpus, gpus * self._feeding)
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        if not any(node.get("CPU", 0) >= cpus and node.get("GPU", 0) >= gpus for node in nodes):
            required = f"{cpus} cores and {gpus} GPUs" if gpus else f"{cpus} cores"
            error = f"No node of the cluster has the required {required}. Add such a node, or use fewer devices."
            self._refused.append(Outcome(task.id, None, error))
            return
        memory = int(min(need.memory_bytes, 0.9 * max(node.get("memory", 0) for node in nodes)))
        share = ResourceGrant(
            threads=cpus,
            loaders=cpus - 1 if gpus else 0,
            memory=max(0, memory - PROCESS_BYTES) / 2**30,
            precision=precision,
            device="auto" if gpus or not self._gpus else "cpu",
        )
        given = {
            "task": task.to_json(),
            "share": asdict(share),
            "workspace": str(self.workspace.root),
            "data": str(self.workspace.data),
            "token": self._token,
        }
        remote = self._remote.options(num_cpus=cpus, num_gpus=gpus, memory=memory, max_retries=RETRIES)
        self._running[remote.remote(json.dumps(given))] = task

    def wait(self, timeout_seconds: float) -> list[Outcome]:
        """Return the outcomes of finished tasks; a task that died too often has failed."""
        refused, self._refused = self._refused, []
        if refused or not self._running:
            return refused
        ready, _ = self._ray.wait(list(self._running), num_returns=1, timeout=timeout_seconds)
        more, _ = self._ray.wait(list(self._running), num_returns=len(self._running), timeout=0)
        return [self._outcome(reference) for reference in dict.fromkeys([*ready, *more])]

    def _outcome(self, reference: Any) -> Outcome:
        task = self._running.pop(reference)
        try:
            return Outcome.from_json(json.loads(self._ray.get(reference)))
        except self._ray.exceptions.RayError as error:
            first = str(error).strip().splitlines()[0]
            return Outcome(task.id, None, f"The task was started {RETRIES + 1} times and failed: {first}", str(error))

    def _connect(self) -> None:
        """Connect to the cluster, or start one.

        Raises: StudyError: if the address does not answer.
        """
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
        if self.address:
            options["address"] = self.address
            _require_answer(self.address)
        else:
            options |= {"num_cpus": self.jobs or default_jobs(), "include_dashboard": False}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._ray.init(**options)
        except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
            where, reason = self.address or "this machine", str(error).splitlines()[0].rstrip(".")
            raise StudyError(
                f"Cannot connect to a Ray cluster at {where}: {reason}. Start one with ray start --head, and give "
                "its address with --address."
            ) from error


def feeding_cores(nodes: Iterable[Mapping[str, float]]) -> int:
    """Return the number of cores per GPU that a task declares, so that all GPUs of a node can be used at once.

    Args:
        nodes: resources of each node, with Ray's names.
    """
    cores_per_gpu = []
    for node in nodes:
        if gpus := int(node.get("GPU", 0)):
            feeding, _ = cores_of(int(node.get("CPU", 0)), gpus, gpus + 1)  # leaves cores for other tasks
            cores_per_gpu.append(feeding)
    return min(cores_per_gpu, default=1)


def _require_answer(address: str, *, timeout_seconds: float = 5) -> None:
    """Check that the address accepts connections, because Ray would try for minutes.

    Raises: StudyError
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        return  # Ray resolves auto, local and similar names
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=timeout_seconds).close()
    except OSError as error:
        raise StudyError(
            f"No Ray cluster answers at {address} ({error.strerror or error}). "
            "Start one with ray start --head, and give the address that it prints."
        ) from error


_BENCHES: dict[tuple[str, str], TaskRunner] = {}


def carry_out(text: str) -> str:
    """Run a task on a node, and return its outcome, both as JSON; loaded networks are kept for further tasks."""
    import torch

    given = json.loads(text)
    task, share = Task.from_json(given["task"]), ResourceGrant(**given["share"])
    root = Path(given["workspace"])
    if not _beacon(root, given["token"]).exists():
        node = socket.gethostname()
        error = (
            f"The node {node} has no access to the workspace {root}. Use a disk that all nodes share, and "
            "give the folder with --workspace."
        )
        return json.dumps(Outcome(task.id, None, error, node=node).to_json())
    torch.set_num_threads(share.threads)
    key = (given["workspace"], given["data"])
    bench = _BENCHES.setdefault(key, TaskRunner(Workspace(root, Path(given["data"]))))
    bench.share = share
    return json.dumps(bench.attempt(task).to_json())


def suited_precision() -> str:
    """Return the precision that suits a node."""
    return choose_compute().precision
