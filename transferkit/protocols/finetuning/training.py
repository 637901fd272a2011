"""Training of one setting, with checkpoints that resume bit for bit, and the predictions of the trained network.

Each random draw is seeded by its epoch or step, so a checkpoint does not store the state of a generator.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torchvision.transforms import v2

from ...core.devices import Compute
from ...core.errors import DataError
from ...core.preprocessing import Preprocessing
from ...core.progress import Reporter
from ...core.seeding import generator, seed_of
from ...data.augment import AugmentSettings
from ...data.dataset import Split
from ...data.loading import Batch, load_batches
from ...data.resize_and_crop import normalised
from ...data.view_loading import ViewSettings, load_views
from ...models.memory_format import channels_last
from ...training.checkpoints import Resumable
from ...training.memory import oom_hint
from ...training.schedules import learning_rate
from ...training.state import NonFiniteGuard, StepLosses
from .cached_activations import CachedActivations
from .network import FinetuneNetwork, build_optimizer
from .settings import FinetuneSettings, GridPoint

_TEST_BATCH = 64
_CHECKPOINT_SECONDS = 600.0  # maximum time between checkpoints


@dataclass(frozen=True, eq=False)
class Predictions:
    """Predictions of a network for the rows of a split. Shapes: ``n`` readable rows, ``c`` classes.

    Attributes:
        rows: indices of the rows in the split ``[n]``.
        logits: logits ``[n, c]``, float32.
        reasons: row → error message, for rows that could not be read.
    """

    rows: NDArray[np.int64]
    logits: NDArray[np.float32]
    reasons: dict[int, str]


@dataclass(frozen=True, eq=False)
class TrainJob:
    """Inputs of one training: data, settings, length and checkpoint folder.

    Attributes:
        split: training rows.
        preprocessing: preprocessing of images that are not augmented.
        settings, setting: the settings of the grid, and the point of the grid to train.
        epochs: number of epochs, unless ``settings.steps`` gives the number of steps.
        held_out: rows for early stopping; None trains to the end.
        activations: cached outputs of the last frozen layer, which replace the images; None reads images.
        folder: folder of the checkpoints.
        identity: all values that determine the weights.
        workers: number of data-loading processes.
    """

    split: Split
    preprocessing: Preprocessing
    settings: FinetuneSettings
    setting: GridPoint
    epochs: int
    held_out: Split | None
    activations: CachedActivations | None
    folder: Path
    identity: dict[str, Any]
    workers: int


class TrainingLoop:
    """Training of one network on this process.

    Args:
        network: the initialised network.
        job: data, settings, length and checkpoint folder.
        fabric: launched Fabric, with devices, precision and processes.
        reporter: receives progress and notes.

    Raises: DataError: if there are fewer rows than the minimum batch size.
    """

    def __init__(self, network: FinetuneNetwork, job: TrainJob, *, fabric: Fabric, reporter: Reporter) -> None:
        self.job, self.fabric, self.reporter = job, fabric, reporter
        rows = len(job.split)
        self.batch = min(job.setting.batch, rows // fabric.world_size)
        if self.batch < job.settings.least_batch:
            least = job.settings.least_batch * fabric.world_size
            raise DataError(
                f"{job.split.dataset} has {rows} images to train on, and a step of {fabric.world_size} "
                f"processes needs at least {least}: use fewer --devices, or more images."
            )
        self.steps_per_epoch = rows // (self.batch * fabric.world_size)
        self.steps = job.settings.steps or job.epochs * self.steps_per_epoch
        self.network = channels_last(network)
        optimizer = build_optimizer(self.network, job.setting, job.settings)
        self.model, self.optimizer = fabric.setup(self.network, optimizer)
        self.checkpoint = Resumable(self.network, self.optimizer, fabric, job.folder, job.identity)
        self.training_state = self.checkpoint.restored()
        self.guard = NonFiniteGuard(
            self.training_state,
            advice=f"Fine-tuning diverged at {job.setting}: leave that learning rate out, clip the "
            "gradient with --clip 1, or use --precision fp32.",
        )

    def run(self) -> None:
        """Train to the end, or until early stopping."""
        remaining = self.steps - self.training_state.step
        if remaining <= 0 or self._patience_exceeded:
            return
        label = f"fine-tuning on {self.job.split.dataset} ({self.job.setting})"
        side = self.job.preprocessing.crop
        with (
            oom_hint(f"--batch {self.batch} at --size {side}", self._memory_hint),
            self.reporter.task(label, remaining * self.batch * self.fabric.world_size, "images") as task,
        ):
            while self.training_state.step < self.steps and not self._patience_exceeded:
                self._epoch(task)

    @property
    def _memory_hint(self) -> str:
        """Options that need less memory: half the batch size, unless it is below the minimum."""
        half = self.batch // 2
        return f"--batch {half}" if half >= self.job.settings.least_batch else "a smaller --size"

    @property
    def _patience_exceeded(self) -> bool:
        """True if the held-out accuracy has not improved for ``patience`` epochs."""
        accuracies = [line["held_out"] for line in self.training_state.history if "held_out" in line]
        return bool(accuracies) and len(accuracies) - 1 - int(np.argmax(accuracies)) >= self.job.settings.patience

    def _epoch(self, task: Any) -> None:
        training_state = self.training_state
        started = saved = time.perf_counter()
        before = training_state.seconds
        self.model.train()
        for images, labels, reasons in self._batches(training_state.step):
            readings = self._step(training_state.step, images, labels)
            self.guard.add(StepLosses(training_state.step, readings, reasons))
            training_state.step += 1
            training_state.unreadable += len(reasons)
            training_state.seconds = before + time.perf_counter() - started
            task.advance(self.batch * self.fabric.world_size)
            if time.perf_counter() - saved > _CHECKPOINT_SECONDS:
                self._save()
                saved = time.perf_counter()
        self.guard.read()
        extra = {}
        if self.job.held_out is not None and self.job.settings.patience:
            predictions = self.predict(self.job.held_out)
            correct = predictions.logits.argmax(1) == self.job.held_out.labels[predictions.rows]  # [n]
            extra["held_out"] = float(correct.mean())
        training_state.close_epoch(**extra)
        self._save()
        self.fabric.barrier()

    def _batches(self, first: int) -> Iterator[tuple[Tensor, Tensor, dict[int, str]]]:
        """Yield the rest of the epoch of step ``first``: normalised images or activations, labels, reasons."""
        job, settings = self.job, self.job.settings
        epoch, done = divmod(first, self.steps_per_epoch)
        last = min(self.steps_per_epoch, self.steps - epoch * self.steps_per_epoch)
        rows = self._rows(epoch, done, last)
        labels = torch.from_numpy(job.split.labels)
        if job.activations is not None:
            for batch_rows in rows:
                ids = [job.split.ids[row] for row in batch_rows.tolist()]
                yield job.activations.of(ids).to(self.fabric.device), labels[batch_rows], {}
            return
        if not settings.augment:
            for batch in load_batches(job.split, job.preprocessing, rows, workers=job.workers):
                used = _readable_indices(batch)
                images = batch.images[used].to(self.fabric.device)
                yield normalised(images, job.preprocessing), labels[batch.rows[used]], batch.reasons
            return
        views = ViewSettings(
            augment=AugmentSettings(
                size=job.preprocessing.crop,
                scale=(settings.crop_min_area, 1.0),
                jitter_prob=0.0,
                gray_prob=0.0,
                blur_prob=0.0,
                flip_prob=settings.flip_prob,
            ),
            count=1,
            workers=job.workers,
            seed=settings.seed,
        )
        for step, drawn in enumerate(load_views(job.split, views, rows, epoch=epoch, device=self.fabric.device), first):
            images = self._randaugment(drawn.views[0], step)
            yield normalised(images, job.preprocessing, white=1), labels[drawn.rows], drawn.reasons

    def _rows(self, epoch: int, skipped: int, last: int) -> Iterator[NDArray[np.int64]]:
        """Yield this process's rows of each batch; an incomplete last batch is dropped."""
        order = generator(self.job.settings.seed, "order", epoch).permutation(len(self.job.split))
        global_batch = self.batch * self.fabric.world_size
        for index in range(skipped, last):
            start = index * global_batch + self.fabric.global_rank * self.batch
            yield order[start : start + self.batch]

    def _randaugment(self, images: Tensor, step: int) -> Tensor:
        """Apply RandAugment to images ``[b, 3, s, s]`` in 0 … 1, unless its magnitude is 0."""
        magnitude = self.job.settings.randaugment
        if not magnitude:
            return images
        transform = v2.RandAugment(magnitude=magnitude)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(
                seed_of(self.job.settings.seed, "randaugment", step, self.fabric.global_rank) % 2**63
            )
            augmented = [transform((image * 255).to(torch.uint8)) for image in images.cpu()]
        return (torch.stack(augmented).float() / 255).to(images.device)

    def _step(self, number: int, inputs: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Update the weights once, from images or cached activations."""
        if self.job.activations is None:
            return self._update(number, inputs, labels)
        with self.job.activations.partial_forward.entered(self.network.body, inputs) as placeholder:
            return self._update(number, placeholder, labels)

    def _update(self, number: int, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        settings = self.job.settings
        rate = self._rate(number)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["scale"]
        labels = labels.to(images.device)
        if settings.mixup:
            rng = generator(settings.seed, "mixup", number, self.fabric.global_rank)
            lam = float(rng.beta(settings.mixup, settings.mixup))  # mixing weight
            other = torch.from_numpy(rng.permutation(len(labels))).to(images.device)  # partner of each image [b]
            logits = self.model(lam * images + (1 - lam) * images[other])  # [b, c]
            loss = lam * functional.cross_entropy(logits, labels)
            loss = loss + (1 - lam) * functional.cross_entropy(logits, labels[other])
        else:
            loss = functional.cross_entropy(self.model(images), labels)
        self.fabric.backward(loss)
        if settings.clip:
            self.fabric.clip_gradients(self.model, self.optimizer, max_norm=settings.clip, error_if_nonfinite=False)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return {"loss": loss.detach()}

    def _rate(self, number: int) -> float:
        """Return the learning rate of the head at a step."""
        settings, highest = self.job.settings, self.job.setting.lr * self.fabric.world_size
        warmup = settings.warmup_fraction * self.steps
        if settings.schedule == "step" and number >= warmup:
            done = number / self.steps
            return highest * (0.1 if done >= 0.5 else 1.0) * (0.1 if done >= 0.75 else 1.0)
        return learning_rate(number, steps=self.steps, warmup=warmup, highest=highest, lowest=0.0)

    @torch.inference_mode()
    def predict(self, split: Split) -> Predictions:
        """Return the predictions for the rows of ``split``, without augmentation."""
        self.model.eval()
        compute, preprocessing = Compute(self.fabric.device, "fp32"), self.job.preprocessing
        rows, logits = [], []
        reasons: dict[int, str] = {}
        batches = np.array_split(np.arange(len(split)), max(1, -(-len(split) // _TEST_BATCH)))
        with oom_hint(f"predictions for {_TEST_BATCH} images at --size {preprocessing.crop}", "a smaller --size"):
            for batch in load_batches(split, preprocessing, batches, workers=self.job.workers):
                readable = np.array([row not in batch.reasons for row in batch.rows.tolist()], bool)
                images = normalised(batch.images.to(compute.device), preprocessing)
                logits.append(self.network(images).float().cpu().numpy()[readable])
                rows.append(batch.rows[readable])
                reasons |= batch.reasons
        return Predictions(np.concatenate(rows), np.concatenate(logits), reasons)

    def _save(self) -> None:
        """Write a checkpoint, on rank 0 only."""
        self.guard.read()
        self.checkpoint.save(self.training_state)

    def remove_checkpoint(self) -> None:
        """Remove the checkpoint, once the result is recorded."""
        self.checkpoint.remove_checkpoint()


def _readable_indices(batch: Batch) -> NDArray[np.int64]:
    """Return an image index for each row of a batch: its own, or that of a readable image as replacement.

    Raises: DataError: if no image of the batch can be read.
    """
    readable = [index for index, row in enumerate(batch.rows.tolist()) if row not in batch.reasons]
    if not readable:
        reason = next(iter(batch.reasons.values()))
        raise DataError(f"None of {len(batch.rows)} images of a batch can be read: {reason}.")
    indices = np.resize(readable, len(batch.rows))  # repeats readable images
    indices[readable] = readable
    return indices
