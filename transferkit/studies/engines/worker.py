"""A process that carries out tasks: JSON lines in, JSON lines out. Started by the local engine.

The first line says where and with what share; each further one is a task, and is answered by its outcome.
When its input ends, whoever gave the tasks is gone, and the process goes too, at once: what it was doing is
begun again by the next run, from the last checkpoint or shard.
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
    """Answer tasks until the input ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints goes to the log
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
