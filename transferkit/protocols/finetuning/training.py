"""One setting, trained: step after step, resumable to the bit, and the answers of the trained network.

Every random draw is named by the epoch or step it belongs to, so a checkpoint needs no generator's state.
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
from ..pretraining.memory import enough_memory
from ..pretraining.optimizing import learning_rate
from ..pretraining.resumable import Resumable
from ..pretraining.state import NonFiniteGuard
from ..pretraining.trainer import Step
from .cached_activations import CachedActivations
from .network import FinetuneNetwork, build_optimizer
from .settings import FinetuneSettings, Setting

_TEST_BATCH = 64
_PATIENCE_SECONDS = 600.0  # the longest time between two checkpoints


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a network says of some rows. Shapes: ``n`` readable rows, ``c`` classes.

    Attributes:
        rows: ``[n]`` of the split.
        logits: ``[n, c]`` float32.
        reasons: row → why it could not be read.
    """

    rows: NDArray[np.int64]
    logits: NDArray[np.float32]
    reasons: dict[int, str]


@dataclass(frozen=True, eq=False)
class TrainJob:
    """What is trained, on what, for how long, and where it is kept.

    Attributes:
        split: the rows that are trained on.
        view: how an image is shown when it is not augmented.
        settings, setting: of all settings, and of this one.
        epochs: passes over the rows, unless ``settings.steps`` counts steps.
        held: rows that tell when to stop early; None trains to the end.
        maps: what stands in for images: cached outputs of the layer below which nothing is trained.
        folder: of checkpoints.
        identity: everything that the weights depend on.
        workers: decoding processes.
    """

    split: Split
    view: Preprocessing
    settings: FinetuneSettings
    setting: Setting
    epochs: int
    held: Split | None
    maps: CachedActivations | None
    folder: Path
    identity: dict[str, Any]
    workers: int


class TrainingLoop:
    """The training of one network on this process.

    Args:
        network: begins where the settings say.
        job: what it is trained on.
        fabric: devices, precision, processes; launched.
        reporter: told how far it has come.

    Raises: DataError: if there are fewer rows than a step must have.
    """

    def __init__(self, network: FinetuneNetwork, job: TrainJob, *, fabric: Fabric, reporter: Reporter) -> None:
        self.job, self.fabric, self.reporter = job, fabric, reporter
        rows = len(job.split)
        self.batch = min(job.setting.batch, rows // fabric.world_size)
        if self.batch < job.settings.least_batch:
            least = job.settings.least_batch * fabric.world_size
            raise DataError(
                f"{job.split.dataset} has {rows} images to train on, and a step of {fabric.world_size} "
                f"processes needs {least}: use fewer --devices, or more images."
            )
        self.steps_an_epoch = rows // (self.batch * fabric.world_size)
        self.steps = job.settings.steps or job.epochs * self.steps_an_epoch
        self.network = channels_last(network)
        optimizer = build_optimizer(self.network, job.setting, job.settings)
        self.model, self.optimizer = fabric.setup(self.network, optimizer)
        self.kept = Resumable(self.network, self.optimizer, fabric, job.folder, job.identity)
        self.training_state = self.kept.restored()
        self.guard = NonFiniteGuard(
            self.training_state,
            advice=f"Fine-tuning diverged at {job.setting}: leave that learning rate out, limit the "
            "gradient with --clip 1, or use --precision fp32.",
        )

    def run(self) -> None:
        """Train to the end, or until the held-out rows say that it is enough."""
        left = self.steps - self.training_state.step
        if left <= 0 or self._exhausted:
            return
        label = f"fine-tuning on {self.job.split.dataset} ({self.job.setting})"
        side = self.job.view.crop
        with (
            enough_memory(f"--batch {self.batch} at --size {side}", self._less),
            self.reporter.task(label, left * self.batch * self.fabric.world_size, "images") as task,
        ):
            while self.training_state.step < self.steps and not self._exhausted:
                self._epoch(task)

    @property
    def _less(self) -> str:
        """What takes less memory: half the batch, where that can be trained on."""
        half = self.batch // 2
        return f"--batch {half}" if half >= self.job.settings.least_batch else "a smaller --size"

    @property
    def _exhausted(self) -> bool:
        """Whether the held-out accuracy has not risen for too many epochs."""
        seen = [line["held_out"] for line in self.training_state.history if "held_out" in line]
        return bool(seen) and len(seen) - 1 - int(np.argmax(seen)) >= self.job.settings.patience

    def _epoch(self, task: Any) -> None:
        training_state = self.training_state
        started = saved = time.perf_counter()
        before = training_state.seconds
        self.model.train()
        for images, labels, reasons in self._batches(training_state.step):
            readings = self._step(training_state.step, images, labels)
            self.guard.add(Step(training_state.step, readings, reasons))
            training_state.step += 1
            training_state.unreadable += len(reasons)
            training_state.seconds = before + time.perf_counter() - started
            task.advance(self.batch * self.fabric.world_size)
            if time.perf_counter() - saved > _PATIENCE_SECONDS:
                self._save()
                saved = time.perf_counter()
        self.guard.read()
        extra = {}
        if self.job.held is not None and self.job.settings.patience:
            answers = self.answers(self.job.held)
            right = answers.logits.argmax(1) == self.job.held.labels[answers.rows]
            extra["held_out"] = float(right.mean())
        training_state.close_epoch(**extra)
        self._save()
        self.fabric.barrier()

    def _batches(self, first: int) -> Iterator[tuple[Tensor, Tensor, dict[int, str]]]:
        """What is left of the epoch of step ``first``: normalised images or maps, labels, reasons."""
        job, settings = self.job, self.job.settings
        epoch, done = divmod(first, self.steps_an_epoch)
        last = min(self.steps_an_epoch, self.steps - epoch * self.steps_an_epoch)
        rows = self._rows(epoch, done, last)
        labels = torch.from_numpy(job.split.labels)
        if job.maps is not None:
            for some in rows:
                ids = [job.split.ids[row] for row in some.tolist()]
                yield job.maps.of(ids).to(self.fabric.device), labels[some], {}
            return
        if not settings.augment:
            for batch in load_batches(job.split, job.view, rows, workers=job.workers):
                shown = _shown(batch)
                images = batch.images[shown].to(self.fabric.device)
                yield normalised(images, job.view), labels[batch.rows[shown]], batch.reasons
            return
        views = ViewSettings(
            augment=AugmentSettings(
                size=job.view.crop,
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
            images = self._stronger(drawn.views[0], step)
            yield normalised(images, job.view, white=1), labels[drawn.rows], drawn.reasons

    def _rows(self, epoch: int, skipped: int, last: int) -> Iterator[NDArray[np.int64]]:
        """This process's part of each batch; what is no whole batch is left over."""
        order = generator(self.job.settings.seed, "order", epoch).permutation(len(self.job.split))
        whole = self.batch * self.fabric.world_size
        for index in range(skipped, last):
            start = index * whole + self.fabric.global_rank * self.batch
            yield order[start : start + self.batch]

    def _stronger(self, images: Tensor, step: int) -> Tensor:
        """With RandAugment, where it is asked for; ``[b, 3, s, s]`` in 0 … 1."""
        strength = self.job.settings.randaugment
        if not strength:
            return images
        change = v2.RandAugment(magnitude=strength)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(
                seed_of(self.job.settings.seed, "randaugment", step, self.fabric.global_rank) % 2**63
            )
            changed = [change((image * 255).to(torch.uint8)) for image in images.cpu()]
        return (torch.stack(changed).float() / 255).to(images.device)

    def _step(self, number: int, inputs: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Move the weights once."""
        if self.job.maps is None:
            return self._moved(number, inputs, labels)
        with self.job.maps.partial_forward.entered(self.network.body, inputs) as nothing:
            return self._moved(number, nothing, labels)

    def _moved(self, number: int, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        settings = self.job.settings
        rate = self._rate(number)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["scale"]
        labels = labels.to(images.device)
        if settings.mixup:
            rng = generator(settings.seed, "mixup", number, self.fabric.global_rank)
            share = float(rng.beta(settings.mixup, settings.mixup))
            other = torch.from_numpy(rng.permutation(len(labels))).to(images.device)
            logits = self.model(share * images + (1 - share) * images[other])
            loss = share * functional.cross_entropy(logits, labels)
            loss = loss + (1 - share) * functional.cross_entropy(logits, labels[other])
        else:
            loss = functional.cross_entropy(self.model(images), labels)
        self.fabric.backward(loss)
        if settings.clip:
            self.fabric.clip_gradients(self.model, self.optimizer, max_norm=settings.clip, error_if_nonfinite=False)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return {"loss": loss.detach()}

    def _rate(self, number: int) -> float:
        """The learning rate of the head at a step."""
        settings, highest = self.job.settings, self.job.setting.lr * self.fabric.world_size
        warmup = settings.warmup * self.steps
        if settings.schedule == "step" and number >= warmup:
            done = number / self.steps
            return highest * (0.1 if done >= 0.5 else 1.0) * (0.1 if done >= 0.75 else 1.0)
        return learning_rate(number, steps=self.steps, warmup=warmup, highest=highest, lowest=0.0)

    @torch.inference_mode()
    def answers(self, split: Split) -> Predictions:
        """What the network says of the rows of ``split``, shown as they are tested."""
        self.model.eval()
        compute, view = Compute(self.fabric.device, "fp32"), self.job.view
        rows, logits = [], []
        reasons: dict[int, str] = {}
        batches = np.array_split(np.arange(len(split)), max(1, -(-len(split) // _TEST_BATCH)))
        with enough_memory(f"answers to {_TEST_BATCH} images at --size {view.crop}", "a smaller --size"):
            for batch in load_batches(split, view, batches, workers=self.job.workers):
                readable = np.array([row not in batch.reasons for row in batch.rows.tolist()], bool)
                images = normalised(batch.images.to(compute.device), view)
                logits.append(self.network(images).float().cpu().numpy()[readable])
                rows.append(batch.rows[readable])
                reasons |= batch.reasons
        return Predictions(np.concatenate(rows), np.concatenate(logits), reasons)

    def _save(self) -> None:
        """Keep everything, from the process that speaks."""
        self.guard.read()
        self.kept.save(self.training_state)

    def forget(self) -> None:
        """Remove the checkpoint of a training whose result is recorded."""
        self.kept.forget()


def _shown(batch: Batch) -> NDArray[np.int64]:
    """The place of an image for each row of a batch: its own, or where it could not be read another's.

    Raises: DataError: if there is none to take its place.
    """
    readable = [place for place, row in enumerate(batch.rows.tolist()) if row not in batch.reasons]
    if not readable:
        why = next(iter(batch.reasons.values()))
        raise DataError(f"None of {len(batch.rows)} images of a batch can be read: {why}.")
    shown = np.resize(readable, len(batch.rows))
    shown[readable] = readable
    return shown
