"""Estimate of a study: images, bytes, and time from a short timing of each network."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch

from ..cache.entry import planned_bytes
from ..core.devices import Compute, choose_compute
from ..core.errors import TransferkitError
from ..core.json_dataclass import JsonDataclass
from ..core.results import ResultStore
from ..data.dataset import Dataset
from ..models.catalog import load_encoder
from ..models.encoder import Encoder
from ..models.layers import resolve_layers
from ..protocols.analyses.analysis import ANALYSES
from ..protocols.context import RunContext
from ..protocols.finetuning.cost import total_training_images
from ..protocols.finetuning.settings import FinetuneSettings
from ..protocols.pretraining.settings import PretrainSettings
from ..protocols.settings import ExtractSettings
from .grid import Task, grid_of
from .runner import available_layers
from .study import Study
from .task_store import TaskStore, unfinished

BACKWARD = 3
"""Duration of a training step in forward passes."""

_BATCH = (16, 256)  # batch size on a CPU and on a GPU
_TIMINGS, _TIMING_SECONDS = 12, 3.0


@dataclass(frozen=True)
class EstimateLine:
    """Estimate for one kind of work.

    Attributes:
        work: kind of the tasks.
        tasks: number of remaining tasks.
        images: number of images that networks process.
        bytes: bytes of features to write.
        seconds: duration of all tasks in sequence on this machine; None if unknown.
    """

    work: str
    tasks: int
    images: int = 0
    bytes: int = 0
    seconds: float | None = None


@dataclass(frozen=True)
class StudyEstimate(JsonDataclass):
    """Estimate of the remaining work of a study.

    Attributes:
        study: name of the study.
        done: number of finished tasks.
        lines: remaining work per kind.
        problems: error messages of models and data sets that could not be opened, which are not counted.
    """

    study: str
    done: int
    lines: tuple[EstimateLine, ...]
    problems: tuple[str, ...] = ()

    @property
    def caption(self) -> str:
        """Sources of the estimates, and a list of unknown durations."""
        unknown = [line.work for line in self.lines if line.seconds is None]
        parts = ["Time: a short timing of each network on this machine; for probes, the duration of earlier records."]
        if unknown:
            parts.append(f"Unknown duration: {', '.join(unknown)}.")
        return " ".join([*parts, *self.problems])


def estimate(study: Study, context: RunContext) -> StudyEstimate:
    """Time networks briefly, and count the remaining work; nothing is written except generated data."""
    grid = grid_of(study)
    task_store = TaskStore(context)
    finished = task_store.finished(grid)
    left = unfinished(grid, finished)
    counting = _Counting(study, context, task_store)
    lines: dict[str, list[EstimateLine]] = {}
    for task in left:
        line = counting.line(task)
        lines.setdefault(line.work, []).append(line)
    return StudyEstimate(
        study.name,
        len(grid) - len(left),
        tuple(_summed(each) for each in lines.values()),
        tuple(counting.problems),
    )


def _summed(lines: list[EstimateLine]) -> EstimateLine:
    known = [line.seconds for line in lines if line.seconds is not None]
    return EstimateLine(
        lines[0].work,
        len(lines),
        sum(line.images for line in lines),
        sum(line.bytes for line in lines),
        sum(known) if len(known) == len(lines) else None,
    )


@dataclass(eq=False)
class _Counting:
    """Caches for the estimates of all tasks."""

    study: Study
    context: RunContext
    task_store: TaskStore
    problems: dict[str, None] = field(default_factory=dict)
    _encoders: dict[str, Encoder | None] = field(default_factory=dict)
    _seconds: dict[tuple[str, int], float] = field(default_factory=dict)
    _known_widths: dict[tuple[str, int, tuple[str, ...]], list[int]] = field(default_factory=dict)

    def line(self, task: Task) -> EstimateLine:
        """Return the estimate of one task."""
        what = task.what
        if task.kind == "pretrain":
            return self._pretraining(what)
        if task.kind in ("probe", "analyze"):
            name = what.get("protocol") or what["analysis"]
            each, records = self._measured.get(name), self._records(task)
            return EstimateLine(name, 1, seconds=None if each is None or records is None else each * records)
        (model,) = what["sizes"]
        dataset, encoder = self._dataset(what), self._encoder(model)
        if dataset is None or encoder is None:
            return EstimateLine(task.kind, 1)
        size = what["sizes"][model] or encoder.preprocessing.crop
        rows = sum(map(len, dataset.splits.values()))
        if task.kind == "finetune":
            settings = FinetuneSettings.from_json(what["settings"])
            if not what["sizes"][model]:
                size = min(size, settings.max_pixels or size)
            images = total_training_images(settings, rows - len(dataset.split("test")))
            return EstimateLine(task.kind, 1, images, seconds=images * BACKWARD * self._image_seconds(encoder, size))
        if what["hand"]:
            return EstimateLine(task.kind, 1, seconds=0.0)  # the first hand is counted
        written = planned_bytes(rows, self._widths(encoder, size, tuple(what["layers"])), "float16")
        return EstimateLine(task.kind, 1, rows, written, rows * self._image_seconds(encoder, size))

    def _records(self, task: Task) -> int | None:
        """Return the number of records of a task: one per layer and setting; None if a model cannot be loaded.

        An analysis that compares models counts as one, because it computes the records of all pairs together.
        """
        what, layers = task.what, 0
        if task.kind == "analyze" and ANALYSES[what["analysis"]].compares_models:
            return 1
        for model, size in what["sizes"].items():
            if (encoder := self._encoder(model)) is None:
                return None
            layers += len(self._widths(encoder, size or encoder.preprocessing.crop, tuple(what["layers"])))
        return layers * (len(what["settings"]) if task.kind == "probe" else 1)

    def _pretraining(self, what: Mapping[str, Any]) -> EstimateLine:
        settings = PretrainSettings.from_json(what["settings"])
        try:
            dataset = self.context.open(settings.data)
        except TransferkitError as error:
            self.problems[str(error)] = None
            return EstimateLine("pretrain", 1)
        encoder = self._encoder(settings.model)
        images = settings.epochs * len(dataset.split("train"))
        if encoder is None:
            return EstimateLine("pretrain", 1, images)
        passes = BACKWARD + (1 if "con" in settings.loss or "joint" in settings.loss else 0)
        seconds = images * passes * self._image_seconds(encoder, settings.size)
        return EstimateLine("pretrain", 1, images, seconds=seconds / what["devices"])

    def _dataset(self, what: Mapping[str, Any]) -> Dataset | None:
        try:
            return self.task_store.open(what["data"], what["seed"])
        except TransferkitError as error:
            self.problems[str(error)] = None
            return None

    def _encoder(self, model: str) -> Encoder | None:
        """Return the encoder; for a run that does not exist yet, its network before training."""
        for run in self.study.pretrain:
            if model.removesuffix("@best") == f"run:{run.run}":
                encoder = self._load(run.settings.model)
                return encoder and encoder.at(run.settings.test_crop)
        return self._load(model)

    def _load(self, model: str) -> Encoder | None:
        if model not in self._encoders:
            try:
                self._encoders[model] = load_encoder(model, runs=self.context.workspace.runs)
            except TransferkitError as error:
                self.problems[str(error)] = None
                self._encoders[model] = None
        return self._encoders[model]

    def _widths(self, encoder: Encoder, size: int, layers: tuple[str, ...]) -> list[int]:
        """Return the feature dimensions of the layers; an unknown layer is skipped, and its task reports it."""
        key = encoder.spec, size, layers
        if key not in self._known_widths:
            try:
                found = resolve_layers(encoder.at(size), layers, None)
            except TransferkitError as error:
                self.problems[str(error)] = None
                available = available_layers(encoder, ExtractSettings(layers=layers, size=size))
                found = resolve_layers(encoder.at(size), available, None) if available != layers else ()
            self._known_widths[key] = [layer.dim for layer in found]
        return self._known_widths[key]

    def _image_seconds(self, encoder: Encoder, size: int) -> float:
        """Return the seconds per image of a forward pass, on the device and with the precision of the study."""
        key = encoder.spec, size
        if key not in self._seconds:
            self._seconds[key] = _pass_seconds(encoder, size, choose_compute("auto", self.study.precision))
        return self._seconds[key]

    @cached_property
    def _measured(self) -> dict[str, float]:
        """Mean seconds of the records in the workspace by protocol."""
        found: dict[str, list[float]] = {}
        for record in ResultStore(self.context.workspace.results):
            found.setdefault(record.protocol, []).append(sum(record.seconds.values()))
        return {name: sum(seconds) / len(seconds) for name, seconds in found.items()}


def _pass_seconds(encoder: Encoder, size: int, compute: Compute) -> float:
    """Return the seconds per image in a batch of noise: the minimum of several timings, as other load slows some."""
    batch = _BATCH[compute.device.type == "cuda"]
    images = torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(0)).to(compute.device)
    module = encoder.module.to(compute.device)
    took: list[float] = []
    with torch.inference_mode(), compute.autocast():
        while len(took) < _TIMINGS and sum(took) < _TIMING_SECONDS:
            started = time.perf_counter()
            module(images)
            if compute.device.type == "cuda":
                torch.cuda.synchronize(compute.device)
            took.append(time.perf_counter() - started)
    module.to("cpu")
    return min(took) / batch
