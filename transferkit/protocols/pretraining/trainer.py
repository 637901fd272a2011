"""Training steps: augmented views, losses, gradients, weight updates.

Each random draw is seeded by its step, so a checkpoint does not store the state of a generator: an interrupted
run takes the same steps as an uninterrupted one.
"""

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from lightning.fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor, nn

from ...core.errors import DataError
from ...core.preprocessing import Preprocessing
from ...core.seeding import generator
from ...core.wording import counted
from ...data.dataset import Split
from ...data.resize_and_crop import normalised
from ...data.view_loading import ViewBatch, ViewSettings, load_views
from ...losses.pretext import Pretext
from ...training.schedules import learning_rate
from ...training.state import StepLosses
from .settings import PretrainSettings


class Trainer:
    """Updates the weights of a ``Pretext`` on this process.

    Args:
        pretext: encoder, heads and queue.
        split: training rows.
        settings: settings of the run.
        fabric: launched Fabric, with devices, precision and processes.
        workers: number of data-loading processes.

    Raises:
        ShapeError, UsageError: if the batch is too small to be split, or not smaller than the queue.
        DataError: if the split has fewer images than one batch of all processes.
    """

    def __init__(
        self, pretext: Pretext, split: Split, settings: PretrainSettings, *, fabric: Fabric, workers: int
    ) -> None:
        self.pretext, self.split, self.settings, self.fabric = pretext, split, settings, fabric
        self.global_batch = settings.batch * fabric.world_size
        updates_per_epoch = len(split) // (self.global_batch * settings.accumulate)
        if not updates_per_epoch:
            most = len(split) // (fabric.world_size * settings.accumulate)
            raise DataError(
                f"{split.dataset} has {counted(len(split), 'image')} to train on, fewer than one batch of "
                f"{self.global_batch * settings.accumulate} (--batch, --accumulate and all processes): "
                + (f"give --batch {most} or less." if most else "give a smaller --accumulate.")
            )
        pretext.require_batch(settings.batch)
        self.steps_per_epoch = updates_per_epoch * settings.accumulate
        self.steps = settings.epochs * self.steps_per_epoch
        self.model, self.optimizer = fabric.setup(pretext, build_optimizer(pretext.parameters(), settings))
        self._labels = torch.from_numpy(split.labels)
        self._views = ViewSettings(
            augment=settings.augmentation,
            count=pretext.objective.views,
            where=settings.augment_on,
            workers=workers,
            seed=settings.seed,
        )

    def epoch(self, first: int) -> Iterator[StepLosses]:
        """Take the step ``first`` and the remaining steps of its epoch."""
        epoch, done = divmod(first, self.steps_per_epoch)
        batches = load_views(self.split, self._views, self._rows(epoch, done), epoch=epoch, device=self.fabric.device)
        for number, batch in enumerate(batches, start=first):
            yield StepLosses(number, self.step(number, batch), batch.reasons)

    def _rows(self, epoch: int, skipped: int) -> Iterator[NDArray[np.int64]]:
        """Yield this process's rows of each batch in the epoch's order; an incomplete last batch is dropped."""
        order = generator(self.settings.seed, "order", epoch).permutation(len(self.split))
        for index in range(skipped, self.steps_per_epoch):
            start = index * self.global_batch + self.fabric.global_rank * self.settings.batch
            yield order[start : start + self.settings.batch]

    def step(self, number: int, batch: ViewBatch) -> dict[str, Tensor]:
        """Compute the losses and gradients, and update the weights after ``accumulate`` steps."""
        settings = self.settings
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate(number)
        views = [normalised(view, Preprocessing(), white=1) for view in batch.views]
        updating = (number + 1) % settings.accumulate == 0
        with self.fabric.no_backward_sync(self.model, enabled=not updating):
            losses = self.model(views, self._labels[batch.rows])
            self.fabric.backward(losses["total"] / settings.accumulate)
        readings = {name: value.detach() for name, value in losses.items()}
        if updating:
            norm = self._clip_gradients()
            self.optimizer.step()
            self.optimizer.zero_grad()
            if settings.precision != "fp16":  # loss scaling of fp16 skips updates with non-finite gradients
                readings["gradient_norm"] = norm
        return readings

    def _clip_gradients(self) -> Tensor:
        """Clip the gradients if the settings ask for it, and return their norm before clipping."""
        if self.settings.clip:
            norm = self.fabric.clip_gradients(
                self.model, self.optimizer, max_norm=self.settings.clip, error_if_nonfinite=False
            )
            assert norm is not None  # only sharded strategies return None
            return norm
        return torch.nn.utils.get_total_norm(p.grad for p in self.pretext.parameters() if p.grad is not None)

    def rate(self, number: int) -> float:
        """Return the learning rate of a step; all steps of one weight update have the same."""
        settings = self.settings
        return learning_rate(
            number - number % settings.accumulate,
            steps=self.steps,
            warmup=settings.warmup_epochs * self.steps_per_epoch,
            highest=settings.lr * self.fabric.world_size,
            lowest=settings.min_lr,
        )

    def compile(self) -> None:
        """Compile the encoder and the momentum encoder."""
        self.pretext.encoder.compile()
        if hasattr(self.pretext, "key_encoder"):
            self.pretext.key_encoder.compile()


def build_optimizer(parameters: Iterable[nn.Parameter], settings: PretrainSettings) -> torch.optim.Optimizer:
    """Return the optimizer of the settings, for the parameters that require a gradient."""
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    decay = settings.weight_decay
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(trained, lr=settings.lr, weight_decay=decay)
    if settings.optimizer == "lars":
        from timm.optim import Lars

        return Lars(trained, lr=settings.lr, momentum=settings.momentum, weight_decay=decay)
    return torch.optim.SGD(trained, lr=settings.lr, momentum=settings.momentum, weight_decay=decay)
