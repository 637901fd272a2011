"""Estimate of the remaining time of a study, from the durations of similar tasks."""

import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from ..core.progress import readable_seconds
from .grid import Task


@dataclass(eq=False)
class Eta:
    """Durations of tasks per kind of work, and the remaining time that follows from them.

    Attributes:
        began: start of the run, in seconds of ``time.monotonic``.
        worked: total seconds of the tasks that have finished since.
    """

    began: float = field(default_factory=time.monotonic)
    worked: float = 0.0
    _took: dict[str, list[float]] = field(default_factory=dict)

    def add(self, task: Task, seconds: float) -> None:
        """Add the duration of ``task``, in this or an earlier run."""
        self._took.setdefault(work_of(task), []).append(seconds)

    def add_finished(self, task: Task, seconds: float) -> None:
        """Add the duration of a task that finished in this run."""
        self.add(task, seconds)
        self.worked += seconds

    def remaining_text(self, tasks: Iterable[Task]) -> str:
        """Return the remaining time of ``tasks`` as text; a minimum if the duration of some work is unknown.

        The degree of parallelism is the total duration of finished tasks divided by the elapsed time.
        """
        works = [work_of(task) for task in tasks]
        mean = {work: _mean(took) for work, took in self._took.items()}
        parallel = max(1.0, self.worked / max(1e-9, time.monotonic() - self.began))
        seconds = sum(mean.get(work, 0.0) for work in works) / parallel
        if mean.keys() >= set(works):
            return f"{readable_seconds(seconds)} left"
        return f"at least {readable_seconds(seconds)} left" if seconds else "time left not known yet"


def work_of(task: Task) -> str:
    """Return the protocol, analysis or kind of a task; tasks of the same work have similar durations."""
    return str(task.what.get("protocol") or task.what.get("analysis") or task.kind)


def _mean(seconds: Collection[float]) -> float:
    return sum(seconds) / len(seconds)
