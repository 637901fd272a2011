"""Training of a detector, with checkpoints that resume bit for bit, and detection with the trained detector.

Each random draw is seeded by its step, so a checkpoint does not store the state of a generator.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.fabric import Fabric
from torch import Tensor

from ...core.errors import UsageError
from ...core.progress import Reporter
from ...core.seeding import seed_of
from ...data.detection.boxed import DetectionSplit
from ...data.detection.transforms import resized_boxes
from ...data.loading import load_items
from ...detection.assembly import Detector
from ...detection.backbone import normalisations
from ...detection.detections import Detections
from ...models.memory_format import channels_last
from ...training.checkpoints import Resumable
from ...training.memory import oom_hint
from ...training.state import NonFiniteGuard, StepLosses
from .loading import ImageBatch, Order, ScoredItems, TrainingItems, part_of, training_view
from .settings import DetectSettings

_LINES = 20  # number of points of the learning curve
_CHECKPOINT_SECONDS = 600.0  # maximum time between checkpoints
_TEST_BATCH = 8


@dataclass(frozen=True, eq=False)
class DetectionJob:
    """Inputs of one training: data, settings and checkpoint folder.

    Attributes:
        split: training rows.
        settings: settings of the detector and its training.
        folder: folder of the checkpoints.
        identity: all values that determine the weights.
        workers: number of data-loading processes.
    """

    split: DetectionSplit
    settings: DetectSettings
    folder: Path
    identity: dict[str, Any]
    workers: int


class Training:
    """Training of one detector on this process.

    Args:
        detector: the initialised detector.
        job: data, settings and checkpoint folder.
        fabric: launched Fabric, with devices, precision and processes.
        reporter: receives progress and notes.

    Raises:
        DataError: if there are fewer images than the batch size.
        UsageError: if the batch size is not a multiple of the number of processes, or if batch statistics are
            synchronised on CPUs.
    """

    def __init__(self, detector: Detector, job: DetectionJob, *, fabric: Fabric, reporter: Reporter) -> None:
        self.job, self.fabric, self.reporter = job, fabric, reporter
        settings = job.settings
        if settings.batch % fabric.world_size:
            raise UsageError(
                f"--batch {settings.batch} cannot be divided equally among {fabric.world_size} processes: "
                f"give a multiple of {fabric.world_size}."
            )
        if settings.norm == "sync" and fabric.world_size > 1 and fabric.device.type == "cpu":
            raise UsageError("--norm sync over several processes needs GPUs: use --norm frozen on a CPU.")
        self.order = Order(job.split.sizes, settings.batch, settings.seed)
        self.detector = channels_last(detector)
        optimizer = torch.optim.SGD(
            parameter_groups(self.detector, settings.weight_decay), lr=settings.lr, momentum=settings.momentum
        )
        self.model, self.optimizer = fabric.setup(self.detector, optimizer)
        self.checkpoint = Resumable(self.detector, self.optimizer, fabric, job.folder, job.identity)
        self.training_state = self.checkpoint.restored()
        self.guard = NonFiniteGuard(
            self.training_state,
            advice=f"The detector diverged at --lr {settings.lr:g}: lower it, raise --warmup-iterations, "
            "or use --precision fp32.",
        )

    def run(self) -> None:
        """Train to the end."""
        settings, training_state = self.job.settings, self.training_state
        remaining = settings.iterations - training_state.step
        if remaining <= 0:
            return
        label = f"training a detector on {self.job.split.dataset}"
        with (
            oom_hint(f"--batch {settings.batch} at --min-size {max(settings.min_size)}", self._memory_hint),
            self.reporter.task(label, remaining * settings.batch, "images") as task,
        ):
            self._steps(task)

    @property
    def _memory_hint(self) -> str:
        """Options that need less memory: half the batch size, if the processes can divide it."""
        settings, processes = self.job.settings, self.fabric.world_size
        half = settings.batch // 2 // processes * processes
        return f"--batch {half} --lr {settings.lr * half / settings.batch:g}" if half else "smaller --min-size"

    def _steps(self, task: Any) -> None:
        settings, training_state = self.job.settings, self.training_state
        every = max(1, settings.iterations // _LINES)
        self.model.train()
        started = saved = time.perf_counter()
        before = training_state.seconds
        for batch in self._batches(training_state.step):
            self.guard.add(StepLosses(training_state.step, self._step(training_state.step, batch), batch.reasons))
            training_state.step += 1
            training_state.unreadable += len(batch.reasons)
            training_state.seconds = before + time.perf_counter() - started
            task.advance(settings.batch)
            ended = training_state.step % every == 0 or training_state.step == settings.iterations
            if ended:
                self.guard.read()
                training_state.close_epoch()
                started, before = time.perf_counter(), 0.0
            if ended or time.perf_counter() - saved > _CHECKPOINT_SECONDS:
                self._save()
                saved = time.perf_counter()
        self.fabric.barrier()

    @torch.no_grad()
    def recompute_statistics(self) -> None:
        """Set the batch statistics to the means over the batches that would follow the training.

        Running averages lag behind the weights while these change, and mostly reflect the last batches.
        """
        settings = self.job.settings
        norms = normalisations(self.detector)
        if not settings.precise_bn or settings.norm == "frozen":
            return
        momenta = [norm.momentum for norm in norms]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # the mean over all batches since the reset
        self.model.train()
        for number, batch in enumerate(self._batches(settings.iterations, settings.precise_bn)):
            images, targets = self._on_device(batch)
            with self._seeded(settings.iterations + number):
                self.model(images, targets)
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum

    def _batches(self, first: int, count: int | None = None) -> Iterator[ImageBatch]:
        """Yield this process's batches starting from step ``first``: ``count`` batches, or all that remain."""
        settings, fabric = self.job.settings, self.fabric
        last = settings.iterations if count is None else first + count
        items = TrainingItems(self.job.split, training_view(settings), settings.seed)
        steps_and_rows: Any = (
            (step, part_of(rows, process=fabric.global_rank, processes=fabric.world_size))
            for step, rows in self.order.steps(first, last)
        )
        yield from load_items(items, steps_and_rows, workers=self.job.workers)

    def _step(self, number: int, batch: ImageBatch) -> dict[str, Tensor]:
        """Update the weights once, and return each loss and the gradient norm."""
        settings = self.job.settings
        for group in self.optimizer.param_groups:
            group["lr"] = settings.rate(number)
        images, targets = self._on_device(batch)
        with self._seeded(number):
            losses: dict[str, Tensor] = self.model(images, targets)
        loss = torch.stack(list(losses.values())).sum()
        self.fabric.backward(loss)
        norm = self.fabric.clip_gradients(
            self.model, self.optimizer, max_norm=settings.clip or torch.inf, error_if_nonfinite=False
        )
        self.optimizer.step()
        self.optimizer.zero_grad()
        readings = {name.removeprefix("loss_"): value.detach() for name, value in losses.items()}
        if settings.precision != "fp16":  # loss scaling of fp16 skips updates with non-finite gradients
            assert norm is not None  # only sharded strategies return None
            readings["gradient_norm"] = norm
        return readings

    def _on_device(self, batch: ImageBatch) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
        """Return images in 0 … 1, and their boxes and labels, on the device."""
        device = self.fabric.device
        images = [image.to(device, non_blocking=True).float() / 255 for image in batch.images]
        return images, [{name: value.to(device) for name, value in one.items()} for one in batch.targets]

    @contextmanager
    def _seeded(self, number: int) -> Iterator[None]:
        """Seed torch's generators during a step, because torchvision samples the training boxes from them."""
        device = self.fabric.device
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(
                seed_of(self.job.settings.seed, "detection samples", number, self.fabric.global_rank) % 2**63
            )
            yield

    @torch.inference_mode()
    def detect(self, split: DetectionSplit) -> tuple[list[Detections], dict[int, str]]:
        """Return the detections in each image of ``split``, and error messages of unreadable images by row."""
        self.model.eval()
        settings, fabric = self.job.settings, self.fabric
        items = ScoredItems(split, settings.test_min_size, settings.max_size)
        mine = np.arange(len(split))[fabric.global_rank :: fabric.world_size]
        batches = np.array_split(mine, max(1, -(-len(mine) // _TEST_BATCH)))
        detections: dict[int, Detections] = {}
        reasons: dict[int, str] = {}
        with (
            oom_hint(f"boxes at --test-min-size {settings.test_min_size}", "a smaller --test-min-size"),
            self.reporter.task(f"finding objects in {split.dataset}", len(split), "images") as task,
        ):
            for batch in load_items(items, batches, workers=self.job.workers):
                images = [image.to(fabric.device).float() / 255 for image in batch.images]
                outputs = self.detector(images) if images else []
                for row, image, output in zip(batch.rows.tolist(), images, outputs, strict=True):
                    size = (image.shape[1], image.shape[2])
                    detections[row] = _to_detections(output, size, tuple(split.sizes[row].tolist()))
                reasons |= batch.reasons
                task.advance((len(batch.rows) + len(batch.reasons)) * fabric.world_size)
        detections, reasons = self._gathered(detections), self._gathered(reasons)
        return [detections.get(row, Detections.nothing()) for row in range(len(split))], reasons

    def _gathered(self, mine: dict[int, Any]) -> dict[int, Any]:
        """Return the dictionaries of all processes, merged into one."""
        if self.fabric.world_size == 1:
            return mine
        parts: list[dict[int, Any]] = [{} for _ in range(self.fabric.world_size)]
        torch.distributed.all_gather_object(parts, mine)
        return {row: one for part in parts for row, one in part.items()}

    def _save(self) -> None:
        """Write a checkpoint, on rank 0 only."""
        self.guard.read()
        self.checkpoint.save(self.training_state)

    def remove_checkpoint(self) -> None:
        """Remove the checkpoint, once the result is recorded."""
        self.checkpoint.remove_checkpoint()


def parameter_groups(detector: Detector, weight_decay: float) -> list[dict[str, Any]]:
    """Return parameter groups: scale and shift of normalisation layers have no weight decay, as in Detectron2."""
    no_decay = {id(one) for norm in normalisations(detector) for one in norm.parameters(recurse=False)}
    trained = [one for one in detector.parameters() if one.requires_grad]
    groups = [
        {"params": [one for one in trained if id(one) not in no_decay], "weight_decay": weight_decay},
        {"params": [one for one in trained if id(one) in no_decay], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def _to_detections(output: dict[str, Tensor], size: tuple[int, int], original: tuple[int, ...]) -> Detections:
    """Return the detections in pixels of the stored image, with labels starting from 0."""
    boxes = resized_boxes(output["boxes"].float().cpu().numpy(), size, (original[0], original[1]))
    return Detections(
        boxes.astype(np.float32),
        output["labels"].cpu().numpy() - 1,
        output["scores"].float().cpu().numpy(),
    )
