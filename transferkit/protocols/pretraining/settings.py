"""Settings of a pretraining run."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from ...core.errors import UsageError
from ...core.settings import (
    Fraction,
    Limits,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Seed,
    Settings,
)
from ...training.settings import Precision

if TYPE_CHECKING:  # these modules import torch, which help pages do not need
    from ...data.augment import AugmentSettings
    from ...losses.pretext import PretextSettings
    from ...losses.weighted import Objective

Optimizer = Literal["sgd", "lars", "adamw"]


@dataclass(frozen=True)
class PretrainSettings(Settings):
    """Settings that determine the trained weights. The defaults are the preset ``mini``.

    Attributes:
        loss: training loss: ``ce`` (cross-entropy), ``selfsupcon`` (contrastive, without classes), ``supcon``
            (contrastive with classes), ``supcon-batch`` (the same within a batch), ``joint`` (ce + 0.5*selfsupcon),
            ``joint-supcon`` (supcon + 0.5*selfsupcon), or another weighted sum, such as ce + 2*supcon.
        data: data set to train on, such as folder:PATH; transferkit datasets list shows all.
        model: network to train: random:ARCH starts from random weights, any other model from its own. transferkit
            models list explains all forms.
        epochs: number of training epochs.
        batch: batch size in images per step and process; a weight update uses --batch times --devices times --nodes
            times --accumulate images.
        size: size of training images in pixels per side, after the random crop.
        test_resize: size in pixels to which images are resized before the centre crop, whenever the trained model is
            evaluated.
        test_crop: centre crop in pixels per side, whenever the trained model is evaluated.
        test_fit: side that --test-resize sets; ``squash`` resizes both sides, as Islam et al. (2021) do, ``shorter``
            keeps the aspect ratio.
        test_interpolation: interpolation of that resize; Islam et al. (2021) use ``bilinear``.
        optimizer: optimiser.
        lr: peak learning rate of one process; it is multiplied by the number of processes (--devices times --nodes),
            because --batch counts the images of one process.
        warmup_epochs: number of epochs with linear warmup of the learning rate, starting from 1 % of the peak.
        min_lr: final learning rate of the cosine schedule.
        momentum: momentum of SGD and LARS.
        weight_decay: weight decay.
        temperature: temperature of the contrastive losses.
        projection_dim: output dimension of the projection head.
        queue_size: number of keys in the queue of negatives, for ``selfsupcon``, ``supcon`` and sums with them.
        ema_momentum: momentum of the exponential moving average that updates the momentum encoder.
        bn_splits: number of parts, over all processes, that batch normalisation treats separately so that its
            statistics do not reveal which views belong together; for ``selfsupcon``, ``supcon`` and sums with them.
        crop_min_area: smallest fraction of an image's area that a random crop keeps.
        flip_prob: probability of a horizontal flip.
        jitter: strength of colour jitter: brightness, contrast, saturation and hue; by default 0.4,0.4,0.4,0.1.
        jitter_prob: probability of colour jitter; by default 0.8, or 0 for the loss ce alone.
        gray_prob: probability of conversion to grayscale; by default 0.2, or 0 for the loss ce alone.
        blur_prob: probability of Gaussian blur with a sigma of 0.1 to 2 pixels; by default 0 in the preset mini, else
            0.5, or 0 for the loss ce alone.
        augment_on: where images are augmented; ``cpu`` augments them one by one in the data-loading processes,
            ``device`` in batches on the device that trains.
        accumulate: number of steps whose gradients are averaged for one weight update.
        clip: maximum gradient norm; 0 disables clipping.
        eval_every: number of epochs between evaluations of the network by k-NN on the val split of --data; 0 evaluates
            only at the end.
        precision: precision of training; ``auto`` selects bf16 where the hardware supports it, else fp32.
        seed: seed of the initial weights, the order of the images and the augmentation.
    """

    loss: str = "joint"
    data: str = "mini/objects"
    model: str = "random:resnet10t"
    epochs: PositiveInt = 12
    batch: Annotated[int, Limits(2)] = 64
    size: Annotated[int, Limits(8)] = 32
    test_resize: PositiveInt = 48
    test_crop: Annotated[int, Limits(8)] = 48
    test_fit: Literal["squash", "shorter"] = "squash"
    test_interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    optimizer: Optimizer = "adamw"
    lr: NonNegativeFloat = 0.004
    warmup_epochs: NonNegativeFloat = 1
    min_lr: NonNegativeFloat = 1e-8
    momentum: Fraction = 0.9
    weight_decay: NonNegativeFloat = 0.05
    temperature: PositiveFloat = 0.1
    projection_dim: PositiveInt = 128
    queue_size: PositiveInt = 1024
    ema_momentum: Fraction = 0.99
    bn_splits: PositiveInt = 2
    crop_min_area: Annotated[float, Limits(0.01, 1)] = 0.5
    flip_prob: Fraction = 0.5
    jitter: tuple[float, float, float, float] | None = None
    jitter_prob: Fraction | None = None
    gray_prob: Fraction | None = None
    blur_prob: Fraction | None = 0.0
    augment_on: Literal["cpu", "device"] = "device"
    accumulate: PositiveInt = 1
    clip: NonNegativeFloat = 0.0
    eval_every: NonNegativeInt = 4
    precision: Precision = "auto"
    seed: Seed = 0

    def check(self) -> None:
        """Check that the schedule and the test images fit together."""
        if self.lr <= self.min_lr:
            raise UsageError(
                f"--lr {self.lr} is not above --min-lr {self.min_lr}, at which the cosine schedule ends: "
                "give a larger --lr."
            )
        if self.warmup_epochs >= self.epochs:
            raise UsageError(
                f"--warmup-epochs {self.warmup_epochs} is not less than --epochs {self.epochs}: give fewer epochs of "
                "warmup."
            )
        if self.test_crop > self.test_resize:
            raise UsageError(
                f"--test-crop {self.test_crop} is larger than --test-resize {self.test_resize}: "
                "give a crop of at most that size."
            )

    @property
    def objective(self) -> "Objective":
        """The training objective that ``loss`` names."""
        from ...losses.weighted import parse_loss

        return parse_loss(self.loss)

    @property
    def pretext(self) -> "PretextSettings":
        """The settings of the contrastive losses."""
        from ...losses.pretext import PretextSettings

        return PretextSettings(
            self.temperature, self.projection_dim, self.queue_size, self.ema_momentum, self.bn_splits
        )

    @property
    def augmentation(self) -> "AugmentSettings":
        """The settings of the augmentation; by default those of the study for this loss.

        Raises:
            UsageError: if options contradict each other, or if the loss compares two views that never differ.
        """
        from ...data.augment import STUDY, AugmentSettings

        strong = self.objective.strong_augmentation

        def default_unless_given(default: float, given: float | None) -> float:
            return given if given is not None else default * strong

        augmentation = AugmentSettings(
            size=self.size,
            scale=(self.crop_min_area, 1.0),
            jitter=self.jitter or STUDY.jitter,
            jitter_prob=default_unless_given(STUDY.jitter_prob, self.jitter_prob),
            gray_prob=default_unless_given(STUDY.gray_prob, self.gray_prob),
            blur_prob=default_unless_given(STUDY.blur_prob, self.blur_prob),
            flip_prob=self.flip_prob,
        )
        self._require_consistent(augmentation)
        return augmentation

    def _require_consistent(self, augmentation: "AugmentSettings") -> None:
        jitter = ",".join(f"{strength:g}" for strength in augmentation.jitter)
        if any(self.jitter or ()) and not augmentation.jitter_prob:
            raise UsageError(
                f"--jitter {jitter} has no effect: views of the loss {self.loss} are jittered with "
                "probability 0. Add --jitter-prob 0.8, or leave --jitter out."
            )
        if self.jitter_prob and not any(augmentation.jitter):
            raise UsageError(
                f"--jitter-prob {self.jitter_prob} has no effect with --jitter {jitter}. Give at least one "
                "strength above 0, or leave --jitter-prob out."
            )
        if self.objective.views > 1 and augmentation.never_changes:
            raise UsageError(
                f"The loss {self.loss} compares two views of each image, but with these options both are "
                "always the image itself. Give --crop-min-area below 1, or one of --flip-prob, "
                "--jitter-prob, --gray-prob and --blur-prob above 0."
            )
