"""Communication with a worker process: tasks as lines on standard input, whose end terminates the process."""

import os
import queue
import sys
import threading


def orders() -> queue.Queue[str]:
    """Return a queue that receives the lines of the standard input.

    The end of the input means that the parent process has ended; this process then exits immediately. No other
    code can read the standard input after this call.
    """
    given = os.dup(0)
    # forked data-loading processes close their standard input, and would wait for a thread that reads it
    sys.stdin = os.fdopen(os.open(os.devnull, os.O_RDONLY))
    lines: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_read, args=(given, lines), daemon=True).start()
    return lines


def _read(given: int, lines: queue.Queue[str]) -> None:
    unread = b""
    while data := os.read(given, 1 << 16):
        *whole, unread = (unread + data).split(b"\n")
        for line in whole:
            lines.put(line.decode())
    os._exit(1)
