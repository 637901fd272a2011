"""Settings of fine-tuning: the hyperparameter grid, and the settings that all its points share."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Annotated, Literal

from ...core.errors import UsageError
from ...core.settings import Fraction, Limits, NonEmpty, NonNegativeFloat, NonNegativeInt, PositiveInt, Seed, Settings
from ...training.settings import Precision

Head = Literal["zero", "probe"]
Schedule = Literal["cosine", "step"]
Optimizer = Literal["sgd", "adamw"]


@dataclass(frozen=True)
class FinetuneSettings(Settings):
    """Settings of fine-tuning. The defaults are the preset ``quick``.

    Several learning rates, batch sizes or weight decays form a grid: each point is trained on a part of train
    and evaluated on the rest, and the best one is trained again on all of it.

    Attributes:
        lr: peak learning rates to compare; each is multiplied by the number of processes (--devices times --nodes),
            because --batch counts the images of one process.
        batch: batch sizes to compare, in images per step and process.
        weight_decay: weight decay values to compare; they apply to all trained weights.
        decay_over_lr: divide weight decay by the learning rate, as Kornblith et al. do.
        epochs: number of epochs of the final training.
        search_epochs: number of epochs while settings are compared; 0 means as many as in the final training. With
            --steps, all trainings take that number of steps.
        steps: number of steps of every training, in place of epochs; 0 uses --epochs and --search-epochs.
        optimizer: optimiser.
        momentum: momentum of SGD.
        nesterov: use Nesterov momentum with SGD.
        schedule: learning-rate schedule after the warmup; ``step`` divides the rate by 10 after 50 % and after 75 % of
            the steps.
        warmup_fraction: fraction of the steps with linear warmup of the learning rate, starting from 1 % of the peak.
        head: initial weights of the classifier; ``zero`` sets them to 0, ``probe`` to the linear probe fitted on the
            frozen features.
        batch_norm: insert a batch normalisation layer before the classifier, as Islam et al. (2021) do.
        bn_stats: running statistics of the model's batch normalisation layers; ``frozen`` keeps them, ``update``
            computes them from the training batches.
        freeze_through: last layer that is not trained, such as layer2; all layers before it are frozen too; by default
            no layer is frozen.
        layer_decay: factor by which the learning rate shrinks from each stage to the stage before it; 1 uses one rate
            for all.
        clip: maximum gradient norm; 0 disables clipping.
        augment: crop and flip training images at random; otherwise they are preprocessed as test images are.
        crop_min_area: smallest fraction of an image's area that a random crop keeps.
        flip_prob: probability of a horizontal flip.
        randaugment: magnitude of RandAugment, from 0 to 30; 0 disables it.
        mixup: alpha of mixup's beta distribution; 0 disables mixup.
        val_fraction: fraction of the training images that is held out to compare settings and for --patience, for data
            sets without a val split.
        patience: number of epochs without a better accuracy on the held-out images after which the final training
            stops; 0 disables early stopping. With it, the final training leaves out the held-out images; trainings that
            compare settings never stop early.
        size: input size of the model in pixels per side; by default the model's own, limited by --max-pixels.
        max_pixels: limit of the input size in pixels per side where --size is omitted; 0 sets no limit. With the
            default of the preset quick, a model of 224 pixels is fine-tuned at 128.
        precision: precision of training; ``auto`` selects bf16 where the hardware supports it, else fp32.
        seed: seed of the order of the images, the augmentation and the held-out images.
    """

    lr: Annotated[tuple[NonNegativeFloat, ...], NonEmpty()] = (0.03,)
    batch: Annotated[tuple[PositiveInt, ...], NonEmpty()] = (32,)
    weight_decay: Annotated[tuple[NonNegativeFloat, ...], NonEmpty()] = (1e-4,)
    decay_over_lr: bool = False
    epochs: PositiveInt = 8
    search_epochs: NonNegativeInt = 0
    steps: NonNegativeInt = 0
    optimizer: Optimizer = "sgd"
    momentum: Fraction = 0.9
    nesterov: bool = False
    schedule: Schedule = "cosine"
    warmup_fraction: Annotated[float, Limits(0, 0.9)] = 0.1
    head: Head = "probe"
    batch_norm: bool = False
    bn_stats: Literal["frozen", "update"] = "frozen"
    freeze_through: str = ""
    layer_decay: Fraction = 1.0
    clip: NonNegativeFloat = 1.0
    augment: bool = True
    crop_min_area: Annotated[float, Limits(0.01, 1)] = 0.5
    flip_prob: Fraction = 0.5
    randaugment: Annotated[int, Limits(0, 30)] = 0
    mixup: NonNegativeFloat = 0.0
    val_fraction: Annotated[float, Limits(0.01, 0.9)] = 0.2
    patience: NonNegativeInt = 0
    size: PositiveInt | None = None
    max_pixels: NonNegativeInt = 128
    precision: Precision = "auto"
    seed: Seed = 0

    def check(self) -> None:
        """Check that rates, batch sizes, batch normalisation and head fit together."""
        if self.decay_over_lr and not min(self.lr):
            raise UsageError("--decay-over-lr cannot divide weight decay by --lr 0: give learning rates above 0.")
        if min(self.batch) < self.least_batch:
            raise UsageError(
                f"--batch {min(self.batch)} is too small for batch normalisation: give --batch "
                f"{self.least_batch} or more, or --bn-stats frozen and --no-batch-norm."
            )
        if self.batch_norm and self.head == "probe":
            raise UsageError(
                "--head probe cannot be combined with --batch-norm: the probe is fitted on features without batch "
                "normalisation. Use --head zero, or --no-batch-norm."
            )

    @property
    def least_batch(self) -> int:
        """Minimum batch size: 2 if batch normalisation uses the statistics of the batch, else 1."""
        return 2 if self.batch_norm or self.bn_stats == "update" else 1

    @property
    def grid(self) -> tuple["GridPoint", ...]:
        """All combinations of learning rate, batch size and weight decay, in the order of the options."""
        return tuple(self._grid())

    def _grid(self) -> Iterator["GridPoint"]:
        for lr, batch, decay in product(self.lr, self.batch, self.weight_decay):
            yield GridPoint(lr, batch, decay / lr if self.decay_over_lr else decay)


@dataclass(frozen=True)
class GridPoint:
    """One point of the grid: learning rate, images per step and process, weight decay."""

    lr: float
    batch: int
    weight_decay: float

    def __str__(self) -> str:
        return f"lr {self.lr:g}, batch {self.batch}, weight decay {self.weight_decay:g}"
