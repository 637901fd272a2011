"""A Ray cluster: one that runs already, by its address, or one that is started for the call.

Each task is a Ray task that declares its cores, GPUs and memory; Ray begins it again on another node when one
dies. Whatever a task leaves, it leaves in the workspace, which must lie on a disk that all nodes see; a node
that does not see it says so instead of filling a folder of its own.
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
from ...core.files import appearing
from ...core.workspace import Workspace
from ..grid import Task
from ..outcome import Outcome, ResourceGrant
from ..runner import TaskRunner
from .engine import PROCESS_BYTES, ResourceRequest, cores_of, runs_networks
from .local import default_workers

RETRIES = 3
"""How often a task is begun again whose node or process died."""

MOST_WAITING = 2
"""Tasks handed over for each that the cluster can run at once, so that none of it waits for this process."""


def _beacon(root: Path, token: str) -> Path:
    """The file by which a node knows that it sees the workspace; of one engine, while that lives."""
    return root / "studies" / f"beacon-{token}"


@dataclass(eq=False)
class RayEngine:
    """Tasks on a Ray cluster.

    Attributes:
        workspace: where they work; on a disk that all nodes see.
        address: of a running cluster, ``auto`` for the one of this machine; one is started unless given.
        workers: tasks at a time of a cluster that is started; as many as this machine carries unless given.
    """

    workspace: Workspace
    address: str | None = None
    workers: int | None = None
    _ray: Any = field(init=False)
    _remote: Any = field(init=False)
    _running: dict[Any, Task] = field(default_factory=dict)
    _refused: list[Outcome] = field(default_factory=list)
    _feeding: int = 1
    _token: str = field(default_factory=lambda: secrets.token_hex(8))

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise UsageError(f"--workers {self.workers} is too few: give 1 or more.")
        if self.workers and self.address:
            raise UsageError(
                f"--workers {self.workers} is for a cluster that is started; the one at {self.address} "
                "has as many as it has. Leave out one of the two."
            )
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # which would send reports home
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # a task without a GPU sees none
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
        with appearing(_beacon(self.workspace.root, self._token)):
            pass  # that it is there is all it says
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
        """What suits the nodes that run networks."""
        asked = self._ray.remote(suited_precision).options(num_gpus=1 if self._gpus else 0)
        return str(self._ray.get(asked.remote()))

    def accepts(self, task: Task) -> bool:
        """Whether fewer tasks are handed over than keep the cluster busy.

        While GPUs are asked for, what only reads features leaves them the cores that feed them.
        """
        readers = [other for other in self._running.values() if not runs_networks(other)]
        if self._gpus and len(readers) < len(self._running) and not runs_networks(task):
            return len(readers) < max(1, self._cpus - self._gpus * self._feeding)
        return len(self._running) < MOST_WAITING * max(1, self._cpus)

    def submit(self, task: Task, need: ResourceRequest, precision: str) -> None:
        """Hand it over, with what it declares; what no node has is a failure, not a wait without end."""
        gpus = need.gpus if self._gpus else 0
        cpus = max(need.cpus, gpus * self._feeding)
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        if not any(node.get("CPU", 0) >= cpus and node.get("GPU", 0) >= gpus for node in nodes):
            asked = f"{cpus} cores and {gpus} GPUs" if gpus else f"{cpus} cores"
            error = f"No node of the cluster has the {asked} that it needs. Add one, or ask for fewer devices."
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
        """What the tasks answered; one that died as often as it may is a failure."""
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
            return Outcome(task.id, None, f"It was begun {RETRIES + 1} times and ended so: {first}", str(error))

    def _connect(self) -> None:
        """Join the cluster, or start one.

        Raises: StudyError: if the address does not answer.
        """
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
        if self.address:
            options["address"] = self.address
            _require_answer(self.address)
        else:
            options |= {"num_cpus": self.workers or default_workers(), "include_dashboard": False}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._ray.init(**options)
        except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
            where, why = self.address or "this machine", str(error).splitlines()[0].rstrip(".")
            raise StudyError(
                f"No Ray cluster can be had at {where}: {why}. Start one with ray start --head, and give its "
                "address as --address."
            ) from error


def feeding_cores(nodes: Iterable[Mapping[str, float]]) -> int:
    """Cores that a task declares for each GPU, so that each node's GPUs can all be fed at once.

    Args:
        nodes: the resources of each, as Ray names them.
    """
    shares = []
    for node in nodes:
        if gpus := int(node.get("GPU", 0)):
            feeding, _ = cores_of(int(node.get("CPU", 0)), gpus, gpus + 1)  # something is left to others
            shares.append(feeding)
    return min(shares, default=1)


def _require_answer(address: str, *, timeout_seconds: float = 5) -> None:
    """Knock at an address before Ray does, which would knock for minutes.

    Raises: StudyError
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        return  # auto, local and the like are Ray's to understand
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=timeout_seconds).close()
    except OSError as error:
        raise StudyError(
            f"No Ray cluster answers at {address} ({error.strerror or error}). "
            "Start one with ray start --head, and give the address that it says."
        ) from error


_BENCHES: dict[tuple[str, str], TaskRunner] = {}


def carry_out(text: str) -> str:
    """On a node: the outcome of a task; both as JSON. The process keeps what it loaded for the next one."""
    import torch

    given = json.loads(text)
    task, share = Task.from_json(given["task"]), ResourceGrant(**given["share"])
    root = Path(given["workspace"])
    if not _beacon(root, given["token"]).exists():
        node = socket.gethostname()
        error = (
            f"The node {node} does not see the workspace {root}. Put it on a disk that all nodes see, and "
            "name it with --workspace."
        )
        return json.dumps(Outcome(task.id, None, error, node=node).to_json())
    torch.set_num_threads(share.threads)
    key = (given["workspace"], given["data"])
    bench = _BENCHES.setdefault(key, TaskRunner(Workspace(root, Path(given["data"]))))
    bench.share = share
    return json.dumps(bench.attempt(task).to_json())


def suited_precision() -> str:
    """On a node: what its processor computes fast."""
    return choose_compute().precision
