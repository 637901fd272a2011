"""A study of a second or two: three colours, two networks, every kind of task."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from transferkit.core.workspace import Workspace
from transferkit.protocols.context import RunContext
from transferkit.studies.engines.engine import ResourceRequest
from transferkit.studies.grid import Task
from transferkit.studies.outcome import Outcome, ResourceGrant
from transferkit.studies.reading import parse_study
from transferkit.studies.run import StudyRun, run_study
from transferkit.studies.runner import TaskRunner
from transferkit.studies.study import Study

SMALL = """
name = "small"
models = ["pixels"]
data = ["folder:{pictures}"]

[sizes]
"run:*" = 32

[[pretrain]]
data = "folder:{pictures}"
loss = ["ce", "joint"]
model = "random:test_resnet"
epochs = 1
batch = 8
size = 32
test_resize = 32
test_crop = 32
warmup_epochs = 0.5
queue_size = 32
eval_every = 0
precision = "fp32"

[[probe]]
protocol = "linear"
penalties = 3

[[probe]]
protocol = "fewshot"
shots = [1, 2]
ways = 3
queries = 3
episodes = 10
"""


def drawn(folder: Path) -> Path:
    """The pictures, drawn once: three classes in much noise, so that no number is 1 everywhere."""
    pictures = folder / "pictures"
    if not pictures.exists():
        rng = np.random.default_rng(0)
        for split, count in (("train", 12), ("val", 6), ("test", 8)):
            for shade, name in enumerate(("dark", "gray", "light")):
                (pictures / split / name).mkdir(parents=True)
                for number in range(count):
                    pixels = rng.normal(rng.normal(110 + 15 * shade, 15), 60, (20, 24, 3))
                    image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
                    image.save(pictures / split / name / f"{number:02}.png")
    return pictures


def small(folder: Path, more: str = "", text: str = SMALL) -> Study:
    """The study, on pictures in ``folder``."""
    return parse_study(text.format(pictures=drawn(folder)) + more, where="small.toml")


def place_at(folder: Path, reporter: object = None) -> RunContext:
    context = RunContext(Workspace(folder, folder / "data"))
    return context if reporter is None else RunContext(context.workspace, 0, reporter)  # type: ignore[arg-type]


PLAIN = """
name = "plain"
models = ["pixels", "random:test_resnet"]
data = ["folder:{pictures}"]
precision = "fp32"

[sizes]
"random:test_resnet" = 32

[[probe]]
protocol = "linear"
penalties = 3

[[probe]]
protocol = "fewshot"
shots = [1, 2]
ways = 3
queries = 3
episodes = 10

[[probe]]
protocol = "knn"
k = [1, 3]
"""


def plain_study(folder: Path, more: str = "") -> Study:
    """Return a study without training."""
    return small(folder, more, PLAIN)


class Here:
    """An engine without processes: tasks are carried out in the order in which they come."""

    def __init__(self, context: RunContext, *, room: int = 1) -> None:
        self.bench = TaskRunner(context.workspace, ResourceGrant(loaders=0, device="cpu"))
        self.room, self.waiting, self.began = room, [], []

    def __enter__(self) -> "Here":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def precision(self) -> str:
        return "fp32"

    def accepts(self, task: Task) -> bool:
        return len(self.waiting) < self.room

    def submit(self, task: Task, need: ResourceRequest, precision: str) -> None:
        self.bench.share = ResourceGrant(loaders=0, device="cpu", precision=precision)
        self.waiting.append(task)
        self.began.append(task.id)

    def wait(self, timeout_seconds: float) -> list[Outcome]:
        task = self.waiting.pop(0)
        return [self.bench.attempt(task)]


def carried_out(study: Study, context: RunContext, **options: Any) -> tuple[StudyRun, Here]:
    """The study, run in this process."""
    here = Here(context)
    return run_study(study, context=context, engine=lambda: here, **options), here
