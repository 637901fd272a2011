"""A worker process of the local engine, which reads tasks and writes outcomes as JSON lines.

The first line contains the workspace and the resources; each further line is a task, answered by its outcome.
When its input ends, the parent process has ended, and the worker exits immediately: the next run restarts the
task from the last checkpoint or shard.
"""

import json
import os
import signal
from pathlib import Path

import torch

from ...core.workspace import Workspace
from ..grid import Task
from ..outcome import ResourceGrant
from ..runner import TaskRunner
from .stdin_protocol import orders


def main() -> None:
    """Run tasks until the input ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # output of libraries goes to the log
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that started this one
    lines = orders()
    start = json.loads(lines.get())
    share = ResourceGrant(**start["share"])
    torch.set_num_threads(share.threads)
    bench = TaskRunner(Workspace(Path(start["workspace"]), Path(start["data"])))
    while True:
        given = json.loads(lines.get())
        bench.share = ResourceGrant(**{**start["share"], "precision": given["precision"]})
        outcome = bench.attempt(Task.from_json(given["task"]))
        answers.write(json.dumps(outcome.to_json()) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
