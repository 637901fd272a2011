"""How a network is fine-tuned: the grid that is tried, and what all of it has in common."""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any, Literal

from ...core.checks import option_name, require_choices, require_limits
from ...core.errors import UsageError
from ..pretraining.settings import Precision

Head = Literal["zero", "probe"]
Schedule = Literal["cosine", "step"]
Optimizer = Literal["sgd", "adamw"]


@dataclass(frozen=True)
class FinetuneSettings:
    """How a network is fine-tuned. The defaults are the preset ``quick``.

    Several learning rates, batches or weight decays make a grid: each setting is trained on a part of train
    and judged on the rest, and the best is trained again on all of it.

    Attributes:
        lr: highest learning rates of one process; multiplied by the number of processes.
        batch: images a step and process.
        weight_decay: of every weight.
        decay_over_lr: whether weight decay is divided by the learning rate, as Kornblith et al. do.
        epochs: passes over the images, in the final training.
        search_epochs: passes while settings are compared; 0 as many as in the final training.
        steps: in place of epochs; 0 counts epochs.
        optimizer: ``sgd`` or ``adamw``.
        momentum: of SGD.
        nesterov: whether SGD looks ahead.
        schedule: ``cosine``, or ``step``: a tenth after half, and again after three quarters.
        warmup: share of the steps in which the rate rises from 1 %.
        head: the classifier starts from ``zero``, or from the linear ``probe`` of the frozen features.
        batch_norm: whether a batch normalisation stands before the classifier, as Islam et al. have it.
        bn_stats: those of the network's batch normalisations: ``frozen``, or ``update`` from the batches.
        train_from: a layer below which nothing is trained.
        layer_decay: by how much the learning rate shrinks from each stage to the one below it.
        clip: largest norm of the gradient; 0 leaves it as it is.
        augment: whether images are cropped and flipped at random, or shown as they are tested.
        crop_min_area: smallest share of an image's area that a crop keeps.
        flip_prob: probability that an image is mirrored.
        randaugment: strength of RandAugment, 0 … 30; 0 is none.
        mixup: parameter of mixup's beta distribution; 0 is none.
        val_fraction: share of train that settings are judged on, where the data set has no val.
        patience: epochs without a better held-out accuracy after which training stops; 0 never stops.
        size: pixels of the square that is shown; the model's own unless given.
        max_pixels: pixels that the model's own square is limited to; 0 leaves it.
        precision: ``auto``, ``fp32``, ``bf16`` or ``fp16``; auto is bf16 where the processor has it.
        seed: of the order of the images, of every crop, and of the held-out rows.
    """

    lr: tuple[float, ...] = (0.03,)
    batch: tuple[int, ...] = (32,)
    weight_decay: tuple[float, ...] = (1e-4,)
    decay_over_lr: bool = False
    epochs: int = 8
    search_epochs: int = 0
    steps: int = 0
    optimizer: Optimizer = "sgd"
    momentum: float = 0.9
    nesterov: bool = False
    schedule: Schedule = "cosine"
    warmup: float = 0.1
    head: Head = "probe"
    batch_norm: bool = False
    bn_stats: Literal["frozen", "update"] = "frozen"
    train_from: str = ""
    layer_decay: float = 1.0
    clip: float = 1.0
    augment: bool = True
    crop_min_area: float = 0.5
    flip_prob: float = 0.5
    randaugment: int = 0
    mixup: float = 0.0
    val_fraction: float = 0.2
    patience: int = 0
    size: int | None = None
    max_pixels: int = 128
    precision: Precision = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        require_choices(self, _CHOICES)
        require_limits(self, _LIMITS)
        for name in ("lr", "batch", "weight_decay"):
            if not getattr(self, name):
                raise UsageError(f"{option_name(name)} is empty: give one value or more.")
        if self.decay_over_lr and not min(self.lr):
            raise UsageError("--decay-over-lr divides by the learning rate: give --lr above 0.")
        if min(self.batch) < self.least_batch:
            raise UsageError(
                f"--batch {min(self.batch)} leaves a batch normalisation nothing to compare: give --batch "
                f"{self.least_batch} or more, or --bn-stats frozen and --no-batch-norm."
            )
        if self.batch_norm and self.head == "probe":
            raise UsageError("--head probe starts from features as they are: use --head zero with --batch-norm.")

    @property
    def least_batch(self) -> int:
        """Images that a step must have: two where a batch normalisation is trained with them."""
        return 2 if self.batch_norm or self.bn_stats == "update" else 1

    @property
    def grid(self) -> tuple["Setting", ...]:
        """Every combination, in the order of the options."""
        return tuple(self._grid())

    def _grid(self) -> Iterator["Setting"]:
        for lr, batch, decay in product(self.lr, self.batch, self.weight_decay):
            yield Setting(lr, batch, decay / lr if self.decay_over_lr else decay)

    def to_json(self) -> dict[str, Any]:
        """Plain values, for records."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


@dataclass(frozen=True)
class Setting:
    """One place of the grid: learning rate, images a step, weight decay."""

    lr: float
    batch: int
    weight_decay: float

    def __str__(self) -> str:
        return f"lr {self.lr:g}, batch {self.batch}, weight decay {self.weight_decay:g}"


_CHOICES = {
    "optimizer": ("sgd", "adamw"),
    "schedule": ("cosine", "step"),
    "head": ("zero", "probe"),
    "bn_stats": ("frozen", "update"),
    "precision": ("auto", "fp32", "bf16", "fp16"),
}
_LIMITS = {
    "lr": (0.0, math.inf),
    "batch": (1, math.inf),
    "weight_decay": (0.0, math.inf),
    "epochs": (1, math.inf),
    "search_epochs": (0, math.inf),
    "steps": (0, math.inf),
    "momentum": (0.0, 1.0),
    "warmup": (0.0, 0.9),
    "layer_decay": (0.0, 1.0),
    "clip": (0.0, math.inf),
    "crop_min_area": (0.01, 1.0),
    "flip_prob": (0.0, 1.0),
    "randaugment": (0, 30),
    "mixup": (0.0, math.inf),
    "val_fraction": (0.01, 0.9),
    "patience": (0, math.inf),
    "max_pixels": (0, math.inf),
    "seed": (0, 2**63 - 1),
}
