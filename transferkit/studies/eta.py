"""How long the rest of a study takes, told by what tasks like those that are left have taken."""

import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from ..core.progress import readable_seconds
from .grid import Task


@dataclass(eq=False)
class Eta:
    """What tasks took, work by work: a training takes minutes, a probe a second.

    Attributes:
        began: when the run did, in seconds of ``time.monotonic``.
        worked: seconds of the tasks that have ended since.
    """

    began: float = field(default_factory=time.monotonic)
    worked: float = 0.0
    _took: dict[str, list[float]] = field(default_factory=dict)

    def know(self, task: Task, seconds: float) -> None:
        """Take into account what ``task`` took, now or in a former run."""
        self._took.setdefault(work_of(task), []).append(seconds)

    def end(self, task: Task, seconds: float) -> None:
        """``task`` has ended in this run."""
        self.know(task, seconds)
        self.worked += seconds

    def outlook(self, tasks: Iterable[Task]) -> str:
        """In words, how long ``tasks`` take; at least, where some are of a work that nobody has done yet.

        They are carried out several at a time: as many as seconds of tasks have ended in each second so far.
        """
        works = [work_of(task) for task in tasks]
        mean = {work: _mean(took) for work, took in self._took.items()}
        together = max(1.0, self.worked / max(1e-9, time.monotonic() - self.began))
        seconds = sum(mean.get(work, 0.0) for work in works) / together
        if mean.keys() >= set(works):
            return f"{readable_seconds(seconds)} left"
        return f"at least {readable_seconds(seconds)} left" if seconds else "time left not known yet"


def work_of(task: Task) -> str:
    """The protocol or analysis, else the kind: tasks of the same work take about as long as each other."""
    return str(task.what.get("protocol") or task.what.get("analysis") or task.kind)


def _mean(seconds: Collection[float]) -> float:
    return sum(seconds) / len(seconds)
