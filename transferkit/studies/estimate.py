"""What a study will take, before it begins: images, bytes, and time from a short timing of each network."""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import torch

from ..cache.entry import planned_bytes
from ..core.devices import Compute, choose_compute
from ..core.errors import TransferkitError
from ..core.results import ResultStore
from ..data.dataset import Dataset
from ..models.catalog import load_encoder
from ..models.encoder import Encoder
from ..models.layers import resolve_layers
from ..protocols.context import RunContext
from ..protocols.finetuning.cost import total_training_images
from ..protocols.finetuning.settings import FinetuneSettings
from ..protocols.pretraining.settings import PretrainSettings
from ..protocols.settings import ExtractSettings
from .grid import Task, grid_of
from .runner import layers_had, settings_of
from .study import Study
from .task_store import TaskStore, unfinished

BACKWARD = 3
"""Forward passes that a step of training takes the time of."""

_BATCH = (16, 256)  # on a CPU, on a GPU
_TIMINGS, _TIMING_SECONDS = 12, 3.0


@dataclass(frozen=True)
class EstimateLine:
    """One kind of work.

    Attributes:
        work: what it is.
        tasks: how many are left.
        images: that pass through networks.
        bytes: of features that will be written.
        seconds: of all its tasks, one after another on this machine; None when nothing says how long.
    """

    work: str
    tasks: int
    images: int = 0
    bytes: int = 0
    seconds: float | None = None


@dataclass(frozen=True)
class StudyEstimate:
    """What is left of a study.

    Attributes:
        study: its name.
        done: tasks that are finished.
        lines: the work that is left, kind by kind.
        problems: models and data sets that could not be opened, and why; they are not counted.
    """

    study: str
    done: int
    lines: tuple[EstimateLine, ...]
    problems: tuple[str, ...] = ()

    @property
    def caption(self) -> str:
        """Where the numbers come from, and which there are not."""
        unknown = [line.work for line in self.lines if line.seconds is None]
        parts = ["Time: a short timing of each network on this machine; of probes, what their records took."]
        if unknown:
            parts.append(f"Nothing says yet how long {', '.join(unknown)} takes.")
        return " ".join([*parts, *self.problems])

    def to_json(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


def estimate(study: Study, context: RunContext) -> StudyEstimate:
    """Time networks for a moment, and count what is left; nothing is written but data that must be drawn."""
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
    """What is known while the tasks are gone through."""

    study: Study
    context: RunContext
    task_store: TaskStore
    problems: dict[str, None] = field(default_factory=dict)
    _encoders: dict[str, Encoder | None] = field(default_factory=dict)
    _seconds: dict[tuple[str, int], float] = field(default_factory=dict)
    _known_widths: dict[tuple[str, int, tuple[str, ...]], list[int]] = field(default_factory=dict)

    def line(self, task: Task) -> EstimateLine:
        """What one task takes."""
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
        size = what["sizes"][model] or encoder.view.crop
        rows = sum(map(len, dataset.splits.values()))
        if task.kind == "finetune":
            settings: FinetuneSettings = settings_of(FinetuneSettings, what["settings"])
            if not what["sizes"][model]:
                size = min(size, settings.max_pixels or size)
            images = total_training_images(settings, rows - len(dataset.split("test")))
            return EstimateLine(task.kind, 1, images, seconds=images * BACKWARD * self._image_seconds(encoder, size))
        if what["hand"]:
            return EstimateLine(task.kind, 1, seconds=0.0)  # the first hand is counted
        written = planned_bytes(rows, self._widths(encoder, size, tuple(what["layers"])), "float16")
        return EstimateLine(task.kind, 1, rows, written, rows * self._image_seconds(encoder, size))

    def _records(self, task: Task) -> int | None:
        """How many a question leaves: one a layer, and a setting of a probe; None if a model cannot be had.

        CKA leaves them for pairs of models, and takes its time before the first.
        """
        what, layers = task.what, 0
        if task.kind == "analyze" and what["analysis"] == "cka":
            return 1
        for model, size in what["sizes"].items():
            if (encoder := self._encoder(model)) is None:
                return None
            layers += len(self._widths(encoder, size or encoder.view.crop, tuple(what["layers"])))
        return layers * (len(what["settings"]) if task.kind == "probe" else 1)

    def _pretraining(self, what: Mapping[str, Any]) -> EstimateLine:
        settings: PretrainSettings = settings_of(PretrainSettings, what["settings"])
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
        """The encoder; of a run that is not there yet, the network that it will be."""
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
        """Features of each layer; an unknown one has none, and is said by the task that asks for it."""
        key = encoder.spec, size, layers
        if key not in self._known_widths:
            try:
                found = resolve_layers(encoder.at(size), layers, None)
            except TransferkitError as error:
                self.problems[str(error)] = None
                had = layers_had(encoder, ExtractSettings(layers=layers, size=size))
                found = resolve_layers(encoder.at(size), had, None) if had != layers else ()
            self._known_widths[key] = [layer.dim for layer in found]
        return self._known_widths[key]

    def _image_seconds(self, encoder: Encoder, size: int) -> float:
        """Of a forward pass, where and as precisely as the study will make it."""
        key = encoder.spec, size
        if key not in self._seconds:
            self._seconds[key] = _pass_seconds(encoder, size, choose_compute("auto", self.study.precision))
        return self._seconds[key]

    @cached_property
    def _measured(self) -> dict[str, float]:
        """Protocol → mean seconds of the records in the workspace."""
        found: dict[str, list[float]] = {}
        for record in ResultStore(self.context.workspace.results):
            found.setdefault(record.protocol, []).append(sum(record.seconds.values()))
        return {name: sum(seconds) / len(seconds) for name, seconds in found.items()}


def _pass_seconds(encoder: Encoder, size: int, compute: Compute) -> float:
    """Of one image of noise in a batch: the quickest of several, for a busy machine slows some of them."""
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
