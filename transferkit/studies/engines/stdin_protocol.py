"""What a process is told by the one that gives it work: lines, and with their end that it must end too."""

import os
import queue
import sys
import threading


def orders() -> queue.Queue[str]:
    """The lines of the standard input, as they come.

    When it ends, whoever gave the work is gone, however that came about, and this process goes too, at once,
    whatever it is doing. Nothing else can read the standard input from then on.
    """
    given = os.dup(0)
    # forked decoders close their standard input, and would wait for a thread that reads it
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
