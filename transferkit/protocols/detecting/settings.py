"""Settings of the training of a detector."""

from dataclasses import dataclass
from typing import Annotated, Literal

from ...core.errors import UsageError
from ...core.settings import Fraction, Limits, NonEmpty, NonNegativeFloat, NonNegativeInt, PositiveInt, Seed, Settings
from ...training.settings import Precision

Side = Annotated[int, Limits(32)]
"""Side of an image in pixels."""


@dataclass(frozen=True)
class DetectSettings(Settings):
    """Settings of the training of a detector. The defaults are the preset ``quick``.

    Attributes:
        detector: detector: Faster R-CNN with a feature pyramid (``fpn``), or on the third stage of a ResNet (``c4``).
        iterations: number of training iterations, each on one batch.
        batch: batch size in images per step, over all processes together.
        lr: peak learning rate for the whole batch, independent of the number of processes.
        milestones: iterations after which the learning rate is divided by 10.
        warmup_iterations: number of iterations with linear warmup of the learning rate, starting from 0.1 % of the
            peak.
        weight_decay: weight decay; it does not apply to the scale and shift of batch normalisation layers.
        momentum: momentum of SGD.
        clip: maximum gradient norm; 0 disables clipping.
        min_size: shorter side of training images in pixels; of several sizes, one is drawn per image.
        test_min_size: shorter side of test images in pixels.
        max_size: maximum length of the longer side in pixels, in training and testing.
        flip_prob: probability of a horizontal flip.
        norm: batch normalisation; ``frozen`` uses the model's own statistics, ``sync`` computes them from the batch of
            all processes.
        precise_bn: number of training batches from which synchronised batch statistics are recomputed before scoring; 0
            keeps the running averages.
        trained_stages: number of trained stages of the backbone, counted from the last of four; 4 also trains the stem.
        anchor_size: side of the smallest anchors in pixels.
        fpn_channels: number of channels of the feature pyramid of ``fpn``.
        head_width: width of the two fully connected layers of the box head of ``fpn``.
        rpn_proposals: number of region proposals per image in training; half as many are used at test time.
        roi_samples: number of sampled boxes per image that train the box head.
        score_threshold: minimum score of a reported box.
        sampling_ratio: sampling points of RoIAlign per bin and axis; 0 adapts the number to the size of the box, as
            Detectron2 does, and is slower.
        precision: precision of training; ``auto`` selects bf16 where the hardware supports it, else fp32.
        seed: seed of new weights, the order of the images and random sampling.
    """

    detector: Literal["fpn", "c4"] = "fpn"
    iterations: PositiveInt = 300
    batch: PositiveInt = 8
    lr: NonNegativeFloat = 0.02
    milestones: tuple[PositiveInt, ...] = (220, 275)
    warmup_iterations: NonNegativeInt = 30
    weight_decay: NonNegativeFloat = 1e-4
    momentum: Fraction = 0.9
    clip: NonNegativeFloat = 5.0
    min_size: Annotated[tuple[Side, ...], NonEmpty()] = (128,)
    test_min_size: Side = 128
    max_size: Side = 1333
    flip_prob: Fraction = 0.5
    norm: Literal["frozen", "sync"] = "frozen"
    precise_bn: NonNegativeInt = 0
    trained_stages: Annotated[int, Limits(0, 4)] = 3
    anchor_size: Annotated[int, Limits(2)] = 16
    fpn_channels: PositiveInt = 64
    head_width: PositiveInt = 256
    rpn_proposals: Annotated[int, Limits(2)] = 150
    roi_samples: Annotated[int, Limits(4)] = 64
    score_threshold: Fraction = 0.05
    sampling_ratio: NonNegativeInt = 2
    precision: Precision = "auto"
    seed: Seed = 0

    def check(self) -> None:
        """Check that no shorter side exceeds the longer one."""
        if max(*self.min_size, self.test_min_size) > self.max_size:
            raise UsageError(
                f"--max-size {self.max_size} is less than --min-size or --test-min-size "
                f"{max(*self.min_size, self.test_min_size)}: give at least that many pixels."
            )

    def rate(self, step: int) -> float:
        """Return the learning rate of a step; the first step is 0.

        >>> settings = DetectSettings(iterations=30, lr=1.0, warmup_iterations=0, milestones=(10, 20))
        >>> [round(settings.rate(step), 6) for step in (0, 9, 10, 20)]
        [1.0, 1.0, 0.1, 0.01]
        """
        rate = self.lr * 0.1 ** sum(step >= milestone for milestone in self.milestones)
        if step < self.warmup_iterations:
            rate *= _WARMUP_START + (1 - _WARMUP_START) * step / self.warmup_iterations
        return rate


_WARMUP_START = 0.001  # fraction of the learning rate at which warmup starts
