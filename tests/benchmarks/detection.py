"""A step of a detector, Faster R-CNN with a pyramid, against torchvision's own in its reference loop."""

import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone

from tests.benchmarks.timing import median_ratio
from transferkit.core.devices import choose_compute
from transferkit.core.progress import SILENT
from transferkit.data.detection.boxed import Annotation, DetectionSplit, ImageBoxes
from transferkit.models.catalog import load_encoder
from transferkit.protocols.detecting.backbone import detector_of
from transferkit.protocols.detecting.loading import ImageBatch, target_of
from transferkit.protocols.detecting.settings import DetectSettings
from transferkit.protocols.detecting.training import DetectionJob, Training
from transferkit.training.devices import launched_fabric
from transferkit.training.settings import TrainerConfig

BATCH, OBJECTS, CLASSES = 2, 6, 20


class Unread:
    """Images that are handed over without being read."""

    def image(self, row: int) -> Any:
        raise AssertionError("These images are handed over: nobody reads them.")


def main() -> None:
    """Print the table."""
    compute = choose_compute()
    cuda = compute.device.type == "cuda"
    name, side, repeats = ("resnet50", 800, 20) if cuda else ("resnet18", 256, 7)
    print(f"a step of Faster R-CNN with FPN, {name} at {side}, batch {BATCH}, fp32 on {compute.device}")
    shown = noise(side)
    ratio = median_ratio(our_step(name, side, shown), their_step(name, shown, compute.device), repeats=repeats)
    print(f"{'against torchvision, its reference loop':42} {ratio}  {BATCH / ratio.subject_seconds:.1f}/s")


def noise(side: int) -> ImageBatch:
    """Images of noise, each with a few boxes."""
    rng = np.random.default_rng(0)
    images = [torch.from_numpy(rng.integers(0, 256, (3, side, side), np.uint8)) for _ in range(BATCH)]
    targets = []
    for _ in range(BATCH):
        corners = rng.uniform(0, side / 2, (OBJECTS, 2))
        sides = rng.uniform(16, side / 2, (OBJECTS, 2))
        boxes = np.concatenate([corners, corners + sides], 1).tolist()
        objects = ImageBoxes.of([Annotation(tuple(box), i % CLASSES) for i, box in enumerate(boxes)])
        targets.append(target_of(objects, (side, side)))
    return ImageBatch(np.arange(BATCH), images, targets, {})


def settings_at(side: int) -> DetectSettings:
    """The papers' numbers."""
    return DetectSettings(
        batch=BATCH,
        clip=0.0,
        min_size=(side,),
        test_min_size=side,
        trained_stages=3,
        anchor_size=32,
        fpn_channels=256,
        head_width=1024,
        rpn_proposals=2000,
        roi_samples=512,
        precision="fp32",
    )


def our_step(name: str, side: int, shown: ImageBatch) -> Callable[[], Any]:
    """A step of ours, without decoding."""
    settings = settings_at(side)
    folder = Path(tempfile.gettempdir()) / "unused"
    fabric = launched_fabric(TrainerConfig(), precision="fp32", folder=folder)
    ground_truth = tuple(ImageBoxes.of([Annotation((0, 0, 9, 9), 0)]) for _ in range(BATCH))
    split = DetectionSplit(
        "noise",
        "train",
        ("a", "b"),
        np.full((BATCH, 2), side),
        ground_truth,
        tuple(f"class {number}" for number in range(CLASSES)),
        "",
        Unread(),
    )
    detector = detector_of(load_encoder(f"random:{name}"), settings, CLASSES)
    training = Training(detector, DetectionJob(split, settings, folder, {}, 0), fabric=fabric, reporter=SILENT)
    training.model.train()
    return lambda: {name: float(value) for name, value in training._step(0, shown).items()}


def their_step(name: str, shown: ImageBatch, device: torch.device) -> Callable[[], Any]:
    """A step as in torchvision's references/detection, without decoding and the resizing that both do."""
    backbone = resnet_fpn_backbone(backbone_name=name, weights=None, trainable_layers=3)
    side = shown.images[0].shape[1]
    detector = FasterRCNN(backbone, CLASSES + 1, min_size=side, max_size=side).to(device).train()
    trained = [parameter for parameter in detector.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=1e-5, momentum=0.9, weight_decay=1e-4)

    def step() -> None:
        images = [image.to(device).float() / 255 for image in shown.images]
        targets = [{key: value.to(device) for key, value in one.items()} for one in shown.targets]
        losses = sum(detector(images, targets).values())
        if not math.isfinite(losses.item()):
            raise ArithmeticError("the reference diverged")
        optimizer.zero_grad()
        losses.backward()
        optimizer.step()

    return step
