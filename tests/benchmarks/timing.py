"""Ratios of durations, measured such that a busy machine slows both functions alike."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Ratio:
    """Medians of both, and how often ``subject`` fits into ``against``: above 1 is faster.

    Attributes:
        low, high: quartiles of the ratio over the pairs.
    """

    subject_seconds: float
    against_seconds: float
    ratio: float
    low: float
    high: float

    def __str__(self) -> str:
        return (
            f"{self.subject_seconds * 1e3:9.2f} ms {self.against_seconds * 1e3:9.2f} ms "
            f"{self.ratio:6.2f}x [{self.low:.2f}, {self.high:.2f}]"
        )


def median_ratio(
    subject: Callable[[], object],
    against: Callable[[], object],
    *,
    repeats: int,
    clock: Callable[[], float] = time.perf_counter,
) -> Ratio:
    """Run A B A B … in one process, after one untimed run of each.

    Args:
        subject: what is measured.
        against: what it is compared with.
        repeats: how many pairs, at least 2.
        clock: seconds since some moment.
    """
    subject()
    against()
    pairs = [(_seconds(subject, clock), _seconds(against, clock)) for _ in range(repeats)]
    ratios = [slow / fast for fast, slow in pairs]
    low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
    fast, slow = (statistics.median(column) for column in zip(*pairs, strict=True))
    return Ratio(fast, slow, middle, low, high)


def _seconds(work: Callable[[], object], clock: Callable[[], float]) -> float:
    started = clock()
    work()
    return clock() - started


def peak_gib() -> float:
    """The most that this process has had in memory, as Linux counts it since the program began.

    ``getrusage`` would count what the process that started this one had, too.
    """
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    kilobytes = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(kilobytes) / 2**20
