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
        min_size: pixels of an image's shorter side in training, one of which is drawn.
        test_min_size: pixels of the shorter side in use.
        max_size: pixels that the longer side may have.
        flip_prob: probability that an image is mirrored.
        bn_stats: those of the network's batch normalisations: ``frozen``, or ``sync`` over all
            processes.
        precise_bn: training batches from which shared batch statistics are computed again before scoring; 0
            keeps the running averages of training.
        trained_stages: of the network's four, counted from the last; 4 trains the stem, too.
        anchor_size: pixels of the smallest anchor's side.
        fpn_channels: channels of the pyramid.
        head_width: of the two layers of the pyramid's head.
        rpn_proposals: boxes an image that reach the second stage in training, half of it in use.
        roi_samples: boxes an image that the second stage is trained on.
        score_threshold: below which no box is reported.
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
    min_size: tuple[int, ...] = (128,)
    test_min_size: int = 128
    max_size: int = 1333
    flip_prob: float = 0.5
    bn_stats: Literal["frozen", "sync"] = "frozen"
    precise_bn: int = 0
    trained_stages: int = 3
    anchor_size: int = 16
    fpn_channels: int = 64
    head_width: int = 256
    rpn_proposals: int = 150
    roi_samples: int = 64
    score_threshold: float = 0.05
    sampling_ratio: int = 2
    precision: Precision = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        require_choices(self, _CHOICES)
        require_limits(self, _LIMITS)
        if not self.min_size:
            raise UsageError("--min-size is empty: give one number of pixels or more.")
        if max(*self.min_size, self.test_min_size) > self.max_size:
            raise UsageError(
                f"--max-size {self.max_size} is below a shorter side of {max(*self.min_size, self.test_min_size)}: "
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
    "bn_stats": ("frozen", "sync"),
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
    "min_size": (32, math.inf),
    "test_min_size": (32, math.inf),
    "max_size": (32, math.inf),
    "flip_prob": (0.0, 1.0),
    "precise_bn": (0, math.inf),
    "trained_stages": (0, 4),
    "anchor_size": (2, math.inf),
    "fpn_channels": (1, math.inf),
    "head_width": (1, math.inf),
    "rpn_proposals": (2, math.inf),
    "roi_samples": (4, math.inf),
    "score_threshold": (0.0, 1.0),
    "sampling_ratio": (0, math.inf),
    "seed": (0, 2**63 - 1),
}
