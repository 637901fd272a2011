"""What a pretraining run is, and what it runs on."""

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from ...core.errors import UsageError

if TYPE_CHECKING:  # torch comes with them, and a help page has no use for it
    from ...data.augment import AugmentSettings
    from ...losses.pretext import PretextSettings
    from ...losses.weighted import Objective

Optimizer = Literal["sgd", "lars", "adamw"]
Precision = Literal["auto", "fp32", "bf16", "fp16"]


@dataclass(frozen=True)
class PretrainSettings:
    """Everything that the weights depend on. The defaults are the preset ``mini``.

    Attributes:
        loss: ``ce``, ``selfsupcon``, ``supcon``, ``supcon-batch``, ``joint``, ``joint-supcon``, or a weighted
            sum such as ``ce + 0.5*selfsupcon``.
        data: the data set; its train split is trained on, its val split is watched.
        model: what is trained: ``random:ARCH``, or any encoder to go on from.
        epochs: passes over the train split.
        batch: images a step and process.
        size: pixels of the squares that are trained on.
        test_resize: pixels to which an image is resized when the trained encoder is used.
        test_crop: pixels of the central square that it is then shown.
        test_fit: ``squash`` resizes both sides to ``test_resize``, as the study does; ``shorter`` resizes the
            shorter side and keeps the aspect ratio.
        test_interpolation: ``bilinear``, as in the study, or ``bicubic``.
        optimizer: ``sgd``, ``lars`` or ``adamw``.
        lr: the highest learning rate of one process; multiplied by the number of processes.
        warmup: epochs in which it rises from 1 %.
        min_lr: where the cosine ends.
        sgd_momentum: of SGD and LARS.
        weight_decay: of every weight.
        temperature: of the contrastive softmax.
        projection_dim: length of a key.
        queue_size: how many keys are remembered.
        momentum: of the key encoder.
        bn_splits: into how many parts a batch is cut for batch normalisation, where there are keys.
        crop_min_area: smallest fraction of an image's area that the random crop of a view keeps.
        flip_prob: probability that a view is mirrored left to right.
        jitter: largest change of brightness, contrast, saturation and hue; four numbers, by default
            0.4,0.4,0.4,0.1.
        jitter_prob: probability that the colours of a view are jittered; by default 0.8, and 0 for the loss
            ce alone, as in the study.
        gray_prob: probability that a view becomes grayscale; by default 0.2, and 0 for the loss ce alone.
        blur_prob: probability that a view is blurred by a Gaussian of 0.1 to 2 pixels; with the presets
            imagenet and miniimagenet 0.5, and 0 for the loss ce alone.
        augment_on: where views are drawn: ``cpu`` in the decoding processes, ``device`` by the batch.
        accumulate: steps whose gradients are added up before the weights move.
        clip: largest norm of the gradient; 0 leaves it as it is.
        eval_every: epochs between two looks of the k-NN monitor; 0 looks at the end only.
        precision: ``auto``, ``fp32``, ``bf16`` or ``fp16``; auto is bf16 where the processor has it.
        seed: of the first weights, the order of the images, and every view.
    """

    loss: str = "joint"
    data: str = "mini/objects"
    model: str = "random:resnet10t"
    epochs: int = 12
    batch: int = 64
    size: int = 32
    test_resize: int = 48
    test_crop: int = 48
    test_fit: Literal["squash", "shorter"] = "squash"
    test_interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    optimizer: Optimizer = "adamw"
    lr: float = 0.004
    warmup: float = 1
    min_lr: float = 1e-8
    sgd_momentum: float = 0.9
    weight_decay: float = 0.05
    temperature: float = 0.1
    projection_dim: int = 128
    queue_size: int = 1024
    momentum: float = 0.99
    bn_splits: int = 2
    crop_min_area: float = 0.5
    flip_prob: float = 0.5
    jitter: tuple[float, float, float, float] = ()  # type: ignore[assignment]  # empty: the study's
    jitter_prob: float | None = None
    gray_prob: float | None = None
    blur_prob: float | None = 0.0
    augment_on: Literal["cpu", "device"] = "device"
    accumulate: int = 1
    clip: float = 0.0
    eval_every: int = 4
    precision: Precision = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "jitter", tuple(self.jitter))  # a list, when read from JSON
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                option, choices = name.replace("_", "-"), ", ".join(known)
                raise UsageError(f"--{option} {getattr(self, name)!r} is unknown. Choose from: {choices}.")
        for name, lowest in _LOWEST.items():
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value >= lowest):
                raise UsageError(_out_of_range(name, value, f"{lowest} or more"))
        for name, highest in _HIGHEST.items():
            value = getattr(self, name)
            if value is not None and value > highest:
                raise UsageError(_out_of_range(name, value, f"{highest} or less"))
        if not (math.isfinite(self.lr) and self.lr > self.min_lr):
            raise UsageError(f"--lr {self.lr} is not above --min-lr {self.min_lr}, where the cosine ends: give more.")
        if self.warmup >= self.epochs:
            raise UsageError(
                f"--warmup {self.warmup} leaves nothing of --epochs {self.epochs}: give fewer epochs of it."
            )
        if self.test_crop > self.test_resize:
            raise UsageError(
                f"--test-crop {self.test_crop} cannot be cut out of --test-resize {self.test_resize}: "
                "give as many pixels or fewer."
            )

    @property
    def objective(self) -> "Objective":
        """What is trained for."""
        from ...losses.weighted import parse_loss

        return parse_loss(self.loss)

    @property
    def pretext(self) -> "PretextSettings":
        """Numbers of the contrastive terms."""
        from ...losses.pretext import PretextSettings

        return PretextSettings(self.temperature, self.projection_dim, self.queue_size, self.momentum, self.bn_splits)

    @property
    def augmentation(self) -> "AugmentSettings":
        """The distributions that views are drawn from; by default those of the study for this loss.

        Raises:
            UsageError: if options contradict each other, or the loss compares two views that never differ.
        """
        from ...data.augment import STUDY, AugmentSettings

        strong = self.objective.strong_augmentation

        def given_or(default: float, given: float | None) -> float:
            return given if given is not None else default * strong

        augmentation = AugmentSettings(
            size=self.size,
            scale=(self.crop_min_area, 1.0),
            jitter=self.jitter or STUDY.jitter,
            jitter_prob=given_or(STUDY.jitter_prob, self.jitter_prob),
            gray_prob=given_or(STUDY.gray_prob, self.gray_prob),
            blur_prob=given_or(STUDY.blur_prob, self.blur_prob),
            flip_prob=self.flip_prob,
        )
        self._require_consistent(augmentation)
        return augmentation

    def _require_consistent(self, augmentation: "AugmentSettings") -> None:
        jitter = ",".join(f"{strength:g}" for strength in augmentation.jitter)
        if any(self.jitter) and not augmentation.jitter_prob:
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

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self) | {"jitter": list(self.jitter)}


_CHOICES = {
    "test_fit": ("squash", "shorter"),
    "test_interpolation": ("bilinear", "bicubic"),
    "optimizer": ("sgd", "lars", "adamw"),
    "augment_on": ("cpu", "device"),
    "precision": ("auto", "fp32", "bf16", "fp16"),
}
_LOWEST = {
    "epochs": 1,
    "batch": 2,
    "size": 8,
    "test_crop": 8,
    "accumulate": 1,
    "warmup": 0,
    "weight_decay": 0,
    "sgd_momentum": 0,
    "clip": 0,
    "eval_every": 0,
    "min_lr": 0,
    "seed": 0,
    "flip_prob": 0,
    "jitter_prob": 0,
    "gray_prob": 0,
    "blur_prob": 0,
    "crop_min_area": 0.01,
}
_HIGHEST = {
    "flip_prob": 1,
    "jitter_prob": 1,
    "gray_prob": 1,
    "blur_prob": 1,
    "crop_min_area": 1,
    "sgd_momentum": 1,
    "seed": 2**63 - 1,
}


def _out_of_range(name: str, value: float, limits: str) -> str:
    return f"--{name.replace('_', '-')} {value} cannot be meant: give a number of {limits}."


@dataclass(frozen=True)
class TrainerConfig:
    """What a run runs on, and what it leaves besides the weights.

    Attributes:
        device: ``auto`` (a GPU where there is one), ``cpu`` or ``cuda``.
        devices: processes on this machine; one a GPU.
        nodes: machines.
        workers: decoding processes of each; a number that suits the cores unless given.
        compile: whether the network is compiled; the first step then takes minutes.
        logger: ``csv``, ``tensorboard``, ``wandb``, or several.
        checkpoint_minutes: the longest time between two checkpoints; one is also made after each epoch.
    """

    device: Literal["auto", "cpu", "cuda"] = "auto"
    devices: int = 1
    nodes: int = 1
    workers: int | None = None
    compile: bool = False
    logger: tuple[str, ...] = ()
    checkpoint_minutes: float = 10.0

    def __post_init__(self) -> None:
        if self.device not in ("auto", "cpu", "cuda"):
            raise UsageError(f"--device {self.device!r} is unknown. Choose from: auto, cpu, cuda.")
        for name, lowest in (("devices", 1), ("nodes", 1), ("workers", 0), ("checkpoint_minutes", 0)):
            value = getattr(self, name)
            if value is not None and not value >= lowest:
                raise UsageError(_out_of_range(name, value, f"{lowest} or more"))
