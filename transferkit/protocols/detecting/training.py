"""A detector, trained: step after step, resumable to the bit; and what it finds afterwards.

Every random draw is named by the step it belongs to, so a checkpoint needs no generator's state.
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
from ..pretraining.memory import enough_memory
from ..pretraining.resumable import Resumable
from ..pretraining.state import NonFiniteGuard
from ..pretraining.trainer import Step
from .loading import ImageBatch, Order, ScoredItems, TrainingItems, part_of, training_view
from .settings import DetectSettings

_LINES = 20  # of the learning curve
_PATIENCE_SECONDS = 600.0  # the longest time between two checkpoints
_TEST_BATCH = 8


@dataclass(frozen=True, eq=False)
class DetectionJob:
    """What is trained on, for how long, and where it is kept.

    Attributes:
        split: the rows that are trained on.
        settings: everything that has a number.
        folder: of checkpoints.
        identity: everything that the weights depend on.
        workers: decoding processes.
    """

    split: DetectionSplit
    settings: DetectSettings
    folder: Path
    identity: dict[str, Any]
    workers: int


class Training:
    """The training of one detector on this process.

    Args:
        detector: at its beginning.
        job: what it is trained on.
        fabric: devices, precision, processes; launched.
        reporter: told how far it has come.

    Raises:
        DataError: if there are fewer images than a batch.
        UsageError: if the processes cannot share a batch, or batch statistics on a CPU.
    """

    def __init__(self, detector: Detector, job: DetectionJob, *, fabric: Fabric, reporter: Reporter) -> None:
        self.job, self.fabric, self.reporter = job, fabric, reporter
        settings = job.settings
        if settings.batch % fabric.world_size:
            raise UsageError(
                f"{fabric.world_size} processes cannot share a --batch of {settings.batch}: "
                f"give a multiple of {fabric.world_size}."
            )
        if settings.bn_stats == "sync" and fabric.world_size > 1 and fabric.device.type == "cpu":
            raise UsageError("--bn-stats sync over several processes needs GPUs: use frozen on a CPU.")
        self.order = Order(job.split.sizes, settings.batch, settings.seed)
        self.detector = channels_last(detector)
        optimizer = torch.optim.SGD(
            decayed_and_not(self.detector, settings.weight_decay), lr=settings.lr, momentum=settings.momentum
        )
        self.model, self.optimizer = fabric.setup(self.detector, optimizer)
        self.kept = Resumable(self.detector, self.optimizer, fabric, job.folder, job.identity)
        self.training_state = self.kept.restored()
        self.guard = NonFiniteGuard(
            self.training_state,
            advice=f"The detector diverged at --lr {settings.lr:g}: give less, more --warmup-iterations, "
            "or --precision fp32.",
        )

    def run(self) -> None:
        """Train to the end."""
        settings, training_state = self.job.settings, self.training_state
        left = settings.iterations - training_state.step
        if left <= 0:
            return
        label = f"training a detector on {self.job.split.dataset}"
        with (
            enough_memory(f"--batch {settings.batch} at --min-size {max(settings.min_size)}", self._less),
            self.reporter.task(label, left * settings.batch, "images") as task,
        ):
            self._steps(task)

    @property
    def _less(self) -> str:
        """What takes less memory: half the batch, where the processes can share one."""
        settings, processes = self.job.settings, self.fabric.world_size
        half = settings.batch // 2 // processes * processes
        return f"--batch {half} --lr {settings.lr * half / settings.batch:g}" if half else "smaller --min-size"

    def _steps(self, task: Any) -> None:
        settings, training_state = self.job.settings, self.training_state
        every = max(1, settings.iterations // _LINES)
        self.model.train()
        started = saved = time.perf_counter()
        before = training_state.seconds
        for shown in self._batches(training_state.step):
            self.guard.add(Step(training_state.step, self._step(training_state.step, shown), shown.reasons))
            training_state.step += 1
            training_state.unreadable += len(shown.reasons)
            training_state.seconds = before + time.perf_counter() - started
            task.advance(settings.batch)
            ended = training_state.step % every == 0 or training_state.step == settings.iterations
            if ended:
                self.guard.read()
                training_state.close_epoch()
                started, before = time.perf_counter(), 0.0
            if ended or time.perf_counter() - saved > _PATIENCE_SECONDS:
                self._save()
                saved = time.perf_counter()
        self.fabric.barrier()

    @torch.no_grad()
    def recompute_statistics(self) -> None:
        """Set batch statistics to the means over the batches that would follow the training.

        Running averages lag behind weights that still move, and remember mostly the last batches.
        """
        settings = self.job.settings
        norms = normalisations(self.detector)
        if not settings.precise_bn or settings.bn_stats == "frozen":
            return
        momenta = [norm.momentum for norm in norms]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # the mean over all batches since the reset
        self.model.train()
        for number, shown in enumerate(self._batches(settings.iterations, settings.precise_bn)):
            images, targets = self._on_device(shown)
            with self._draws(settings.iterations + number):
                self.model(images, targets)
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum

    def _batches(self, first: int, count: int | None = None) -> Iterator[ImageBatch]:
        """What this process is shown from the step ``first`` on: ``count`` batches, or the rest."""
        settings, fabric = self.job.settings, self.fabric
        last = settings.iterations if count is None else first + count
        items = TrainingItems(self.job.split, training_view(settings), settings.seed)
        asked: Any = (
            (step, part_of(rows, process=fabric.global_rank, processes=fabric.world_size))
            for step, rows in self.order.steps(first, last)
        )
        yield from load_items(items, asked, workers=self.job.workers)

    def _step(self, number: int, shown: ImageBatch) -> dict[str, Tensor]:
        """Move the weights once; each loss, and the gradient's norm."""
        settings = self.job.settings
        for group in self.optimizer.param_groups:
            group["lr"] = settings.rate(number)
        images, targets = self._on_device(shown)
        with self._draws(number):
            losses: dict[str, Tensor] = self.model(images, targets)
        loss = torch.stack(list(losses.values())).sum()
        self.fabric.backward(loss)
        norm = self.fabric.clip_gradients(
            self.model, self.optimizer, max_norm=settings.clip or torch.inf, error_if_nonfinite=False
        )
        self.optimizer.step()
        self.optimizer.zero_grad()
        readings = {name.removeprefix("loss_"): value.detach() for name, value in losses.items()}
        if settings.precision != "fp16":  # which tries how far it can be scaled up, and skips such moves
            assert norm is not None  # as only sharded strategies give
            readings["gradient_norm"] = norm
        return readings

    def _on_device(self, shown: ImageBatch) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
        """Images in 0 … 1, and their boxes and labels."""
        device = self.fabric.device
        images = [image.to(device, non_blocking=True).float() / 255 for image in shown.images]
        return images, [{name: value.to(device) for name, value in one.items()} for one in shown.targets]

    @contextmanager
    def _draws(self, number: int) -> Iterator[None]:
        """Which boxes a step is trained on is drawn from torch's own generators: seed them for its time."""
        device = self.fabric.device
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(
                seed_of(self.job.settings.seed, "detection samples", number, self.fabric.global_rank) % 2**63
            )
            yield

    @torch.inference_mode()
    def found(self, split: DetectionSplit) -> tuple[list[Detections], dict[int, str]]:
        """What the detector finds in each image of ``split``, and why some could not be read."""
        self.model.eval()
        settings, fabric = self.job.settings, self.fabric
        items = ScoredItems(split, settings.test_min_size, settings.max_size)
        mine = np.arange(len(split))[fabric.global_rank :: fabric.world_size]
        batches = np.array_split(mine, max(1, -(-len(mine) // _TEST_BATCH)))
        answers: dict[int, Detections] = {}
        reasons: dict[int, str] = {}
        with (
            enough_memory(f"boxes at --test-min-size {settings.test_min_size}", "a smaller --test-min-size"),
            self.reporter.task(f"finding objects in {split.dataset}", len(split), "images") as task,
        ):
            for shown in load_items(items, batches, workers=self.job.workers):
                images = [image.to(fabric.device).float() / 255 for image in shown.images]
                outputs = self.detector(images) if images else []
                for row, image, output in zip(shown.rows.tolist(), images, outputs, strict=True):
                    size = (image.shape[1], image.shape[2])
                    answers[row] = _found(output, size, tuple(split.sizes[row].tolist()))
                reasons |= shown.reasons
                task.advance((len(shown.rows) + len(shown.reasons)) * fabric.world_size)
        answers, reasons = self._gathered(answers), self._gathered(reasons)
        return [answers.get(row, Detections.nothing()) for row in range(len(split))], reasons

    def _gathered(self, mine: dict[int, Any]) -> dict[int, Any]:
        """The dictionaries of all processes in one."""
        if self.fabric.world_size == 1:
            return mine
        parts: list[dict[int, Any]] = [{} for _ in range(self.fabric.world_size)]
        torch.distributed.all_gather_object(parts, mine)
        return {row: one for part in parts for row, one in part.items()}

    def _save(self) -> None:
        """Keep everything, from the process that speaks."""
        self.guard.read()
        self.kept.save(self.training_state)

    def forget(self) -> None:
        """Remove the checkpoint of a training whose result is recorded."""
        self.kept.forget()


def decayed_and_not(detector: Detector, weight_decay: float) -> list[dict[str, Any]]:
    """Groups of trained parameters: scale and shift of normalisations are not decayed, as in Detectron2."""
    still = {id(one) for norm in normalisations(detector) for one in norm.parameters(recurse=False)}
    trained = [one for one in detector.parameters() if one.requires_grad]
    groups = [
        {"params": [one for one in trained if id(one) not in still], "weight_decay": weight_decay},
        {"params": [one for one in trained if id(one) in still], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def _found(output: dict[str, Tensor], size: tuple[int, int], whole: tuple[int, ...]) -> Detections:
    """In pixels of the image as it is stored, labels from 0 on."""
    boxes = resized_boxes(output["boxes"].float().cpu().numpy(), size, (whole[0], whole[1]))
    return Detections(
        boxes.astype(np.float32),
        output["labels"].cpu().numpy() - 1,
        output["scores"].float().cpu().numpy(),
    )
