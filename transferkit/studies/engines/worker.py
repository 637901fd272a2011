"""A process that carries out tasks: JSON lines in, JSON lines out. Started by the local engine.

The first line says where and with what share; each further one is a task, and is answered by its outcome.
When its input ends, whoever gave the tasks is gone, and the process goes too, at once: what it was doing is
begun again by the next run, from the last checkpoint or shard.
"""

import json
import os
import queue
import signal
import sys
import threading
from pathlib import Path

import torch

from ...core.workspace import Workspace
from ..grid import Task
from ..performing import Share, Workbench


def main() -> None:
    """Answer tasks until the input ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints goes to the log
    orders = os.dup(0)
    # forked decoders close their standard input, and would wait for a thread that reads it
    sys.stdin = os.fdopen(os.open(os.devnull, os.O_RDONLY))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that started this one
    lines: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_read, args=(orders, lines), daemon=True).start()
    start = json.loads(lines.get())
    share = Share(**start["share"])
    torch.set_num_threads(share.threads)
    bench = Workbench(Workspace(Path(start["workspace"]), Path(start["data"])))
    while True:
        given = json.loads(lines.get())
        bench.share = Share(**{**start["share"], "precision": given["precision"]})
        outcome = bench.attempt(Task.from_json(given["task"]))
        answers.write(json.dumps(outcome.to_json()) + "\n")
        answers.flush()


def _read(orders: int, lines: queue.Queue[str]) -> None:
    """Pass on line after line; the end of the input is the end of the process."""
    unread = b""
    while data := os.read(orders, 1 << 16):
        *whole, unread = (unread + data).split(b"\n")
        for line in whole:
            lines.put(line.decode())
    os._exit(1)


if __name__ == "__main__":
    main()
