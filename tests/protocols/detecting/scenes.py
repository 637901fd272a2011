"""A few pictures of ``mini/scenes``, in memory."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tests.protocols.pretraining.runs import Notes
from transferkit.core.errors import UnreadableImageError
from transferkit.core.workspace import Workspace
from transferkit.data.detection.boxed import DetectionDataset, DetectionSplit, ImageBoxes
from transferkit.mini.scenes import CLASSES, draw_scene
from transferkit.protocols.context import RunContext
from transferkit.protocols.detecting.detect import Detected, DetectionRunOptions, detect
from transferkit.protocols.detecting.settings import DetectSettings
from transferkit.training.settings import TrainerConfig

MODEL = "random:test_resnet"
SMALL = DetectSettings(
    iterations=4,
    batch=4,
    lr=0.01,
    milestones=(3,),
    warmup_iterations=1,
    min_size=(64,),
    test_min_size=64,
    anchor_size=8,
    fpn_channels=16,
    head_width=32,
    rpn_proposals=40,
    roi_samples=16,
    trained_stages=4,
    precision="fp32",
)
ALONE = TrainerConfig(device="cpu", workers=0)


@dataclass(frozen=True)
class Pictures:
    """Reads from memory; some pictures may be broken."""

    images: tuple
    broken: frozenset = frozenset()

    def image(self, row):
        if row in self.broken:
            raise UnreadableImageError("it is broken")
        return self.images[row]


def split(name: str, numbers, *, shown_as: str = "", broken=()) -> DetectionSplit:
    scenes = [draw_scene(name, number) for number in numbers]
    ground_truth = tuple(
        ImageBoxes(s.boxes, s.labels, s.difficult, np.zeros(len(s.labels), bool), s.areas) for s in scenes
    )
    ids = tuple(f"{name}/{number:04}" for number in numbers)
    sizes = np.full((len(ids), 2), 128)
    reader = Pictures(tuple(scene.image for scene in scenes), frozenset(broken))
    own = shown_as or name
    return DetectionSplit("mini/scenes", own, ids, sizes, ground_truth, CLASSES, f"{name}{list(numbers)}", reader)


def dataset(train: DetectionSplit, test: DetectionSplit) -> DetectionDataset:
    return DetectionDataset("mini/scenes", {"train": train, "test": test}, tuple(range(1, 7)))


def eight() -> DetectionDataset:
    """Eight pictures to train on; the first three are tested, too."""
    return dataset(split("train", range(8)), split("train", range(3), shown_as="test"))


def detected(
    monkeypatch, workspace: Path, data, settings=SMALL, *, reporter=None, run_options=None, model=MODEL
) -> Detected:
    """Return the result of ``detect`` on a data set in memory."""
    monkeypatch.setattr("transferkit.protocols.detecting.detect.open_detection", lambda *_, **__: data)
    context = RunContext(Workspace(workspace, workspace / "data"), settings.seed, reporter or Notes())
    run_options = run_options or DetectionRunOptions(yes=True, keep=True)
    return detect([model], ["mini/scenes"], settings, context=context, trainer_config=ALONE, run_options=run_options)


def without_objects(one: DetectionSplit) -> DetectionSplit:
    nothing = ImageBoxes.of([])
    return replace(one, objects=(nothing,) * len(one))
