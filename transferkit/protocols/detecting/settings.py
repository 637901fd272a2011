"""How a detector is trained."""

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from ...core.checks import require_choices, require_limits
from ...core.errors import UsageError
from ..pretraining.settings import Precision


@dataclass(frozen=True)
class DetectSettings:
    """How a detector is trained. The defaults are the preset ``quick``.

    Attributes:
        detector: Faster R-CNN with a pyramid, ``fpn``, or on a ResNet's third stage, ``c4``.
        iterations: steps of the training.
        batch: images a step, of all processes together.
        lr: highest learning rate, for that batch.
        milestones: steps after which the learning rate is a tenth of what it was.
        warmup_iterations: steps in which the rate rises from 0.1 %.
        weight_decay: of every weight but scale and shift of batch normalisations.
        momentum: of SGD.
        clip: largest norm of the gradient; 0 leaves it as it is.
        sides: pixels of an image's shorter side in training, one of which is drawn.
        test_side: pixels of the shorter side in use.
        longest: pixels that the longer side may have.
        flip: probability that an image is mirrored.
        batch_statistics: those of the network's batch normalisations: ``frozen``, or ``sync`` over all
            processes.
        precise_bn: training batches from which shared batch statistics are computed again before scoring; 0
            keeps the running averages of training.
        trained_stages: of the network's four, counted from the last; 4 trains the stem, too.
        anchor: pixels of the smallest anchor's side.
        depth: channels of the pyramid.
        width: of the two layers of the pyramid's head.
        proposals: boxes an image that reach the second stage in training, half of it in use.
        samples: boxes an image that the second stage is trained on.
        score: below which no box is reported.
        sampling_ratio: samples per bin and axis of RoIAlign; 0 takes as many as a bin has map pixels, as
            Detectron2 does, and is slower.
        precision: ``auto``, ``fp32``, ``bf16`` or ``fp16``; auto is bf16 where the processor has it.
        seed: of new weights, of the order of the images, and of every draw.
    """

    detector: Literal["fpn", "c4"] = "fpn"
    iterations: int = 300
    batch: int = 8
    lr: float = 0.02
    milestones: tuple[int, ...] = (220, 275)
    warmup_iterations: int = 30
    weight_decay: float = 1e-4
    momentum: float = 0.9
    clip: float = 5.0
    sides: tuple[int, ...] = (128,)
    test_side: int = 128
    longest: int = 1333
    flip: float = 0.5
    batch_statistics: Literal["frozen", "sync"] = "frozen"
    precise_bn: int = 0
    trained_stages: int = 3
    anchor: int = 16
    depth: int = 64
    width: int = 256
    proposals: int = 150
    samples: int = 64
    score: float = 0.05
    sampling_ratio: int = 2
    precision: Precision = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        require_choices(self, _CHOICES)
        require_limits(self, _LIMITS)
        if not self.sides:
            raise UsageError("--sides is empty: give one number of pixels or more.")
        if max(*self.sides, self.test_side) > self.longest:
            raise UsageError(
                f"--longest {self.longest} is below a shorter side of {max(*self.sides, self.test_side)}: "
                "give at least as many pixels."
            )

    def to_json(self) -> dict[str, Any]:
        """Plain values, for records."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    def rate(self, step: int) -> float:
        """The learning rate of a step, 0 the first.

        >>> settings = DetectSettings(iterations=30, lr=1.0, warmup_iterations=0, milestones=(10, 20))
        >>> [round(settings.rate(step), 6) for step in (0, 9, 10, 20)]
        [1.0, 1.0, 0.1, 0.01]
        """
        rate = self.lr * 0.1 ** sum(step >= milestone for milestone in self.milestones)
        if step < self.warmup_iterations:
            rate *= _WARMUP_START + (1 - _WARMUP_START) * step / self.warmup_iterations
        return rate


_WARMUP_START = 0.001  # of the learning rate
_CHOICES = {
    "detector": ("fpn", "c4"),
    "batch_statistics": ("frozen", "sync"),
    "precision": ("auto", "fp32", "bf16", "fp16"),
}
_LIMITS = {
    "iterations": (1, math.inf),
    "batch": (1, math.inf),
    "lr": (0.0, math.inf),
    "milestones": (1, math.inf),
    "warmup_iterations": (0, math.inf),
    "weight_decay": (0.0, math.inf),
    "momentum": (0.0, 1.0),
    "clip": (0.0, math.inf),
    "sides": (32, math.inf),
    "test_side": (32, math.inf),
    "longest": (32, math.inf),
    "flip": (0.0, 1.0),
    "precise_bn": (0, math.inf),
    "trained_stages": (0, 4),
    "anchor": (2, math.inf),
    "depth": (1, math.inf),
    "width": (1, math.inf),
    "proposals": (2, math.inf),
    "samples": (4, math.inf),
    "score": (0.0, 1.0),
    "sampling_ratio": (0, math.inf),
    "seed": (0, 2**63 - 1),
}
