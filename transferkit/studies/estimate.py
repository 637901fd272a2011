"""What a study will take, before it begins: images, bytes, and time from a short timing of each network."""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import torch

from ..cache.entry import planned_bytes
from ..core.errors import TransferkitError
from ..core.results import ResultStore
from ..data.dataset import Dataset
from ..models.catalog import load_encoder
from ..models.encoder import Encoder
from ..models.layers import resolve_layers
from ..protocols.finetuning.cost import images_seen
from ..protocols.finetuning.settings import FinetuneSettings
from ..protocols.place import Place
from ..protocols.pretraining.settings import PretrainSettings
from .finished import Ledger, unfinished
from .grid import Task, grid_of
from .performing import settings_of
from .study import Study

BACKWARD = 3
"""Forward passes that a step of training takes the time of."""

_BATCH = 16
_TIMINGS, _TIMING_SECONDS = 12, 3.0


@dataclass(frozen=True)
class Line:
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
class Plan:
    """What is left of a study.

    Attributes:
        study: its name.
        done: tasks that are finished.
        lines: the work that is left, kind by kind.
        problems: models and data sets that could not be opened, and why; they are not counted.
    """

    study: str
    done: int
    lines: tuple[Line, ...]
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
        """Plain values."""
        return asdict(self)


def estimate(study: Study, place: Place) -> Plan:
    """Time networks for a moment, and count what is left; nothing is written but data that must be drawn."""
    grid = grid_of(study)
    ledger = Ledger(place)
    finished = ledger.finished(grid)
    left = unfinished(grid, finished)
    counting = _Counting(study, place, ledger)
    lines: dict[str, list[Line]] = {}
    for task in left:
        line = counting.line(task)
        lines.setdefault(line.work, []).append(line)
    return Plan(
        study.name,
        len(grid) - len(left),
        tuple(_summed(each) for each in lines.values()),
        tuple(counting.problems),
    )


def _summed(lines: list[Line]) -> Line:
    known = [line.seconds for line in lines if line.seconds is not None]
    return Line(
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
    place: Place
    ledger: Ledger
    problems: dict[str, None] = field(default_factory=dict)
    _encoders: dict[str, Encoder | None] = field(default_factory=dict)
    _seconds: dict[tuple[str, int], float] = field(default_factory=dict)
    _known_widths: dict[tuple[str, int, tuple[str, ...]], list[int]] = field(default_factory=dict)

    def line(self, task: Task) -> Line:
        """What one task takes."""
        what = task.what
        if task.kind == "pretrain":
            return self._pretraining(what)
        if task.kind in ("probe", "analyze"):
            name = what.get("protocol") or what["analysis"]
            cells = len(what.get("settings", ())) if task.kind == "probe" else 1
            seconds = self._measured.get(name)
            return Line(name, 1, seconds=None if seconds is None else seconds * cells)
        (model,) = what["sizes"]
        dataset, encoder = self._dataset(what), self._encoder(model)
        if dataset is None or encoder is None:
            return Line(task.kind, 1)
        size = what["sizes"][model] or encoder.view.crop
        rows = sum(map(len, dataset.splits.values()))
        if task.kind == "finetune":
            settings: FinetuneSettings = settings_of(FinetuneSettings, what["settings"])
            if not what["sizes"][model]:
                size = min(size, settings.largest or size)
            images = images_seen(settings, rows - len(dataset.split("test")))
            return Line(task.kind, 1, images, seconds=images * BACKWARD * self._image_seconds(encoder, size))
        if what["hand"]:
            return Line(task.kind, 1, seconds=0.0)  # the first hand is counted
        written = planned_bytes(rows, self._widths(encoder, size, tuple(what["layers"])), "float16")
        return Line(task.kind, 1, rows, written, rows * self._image_seconds(encoder, size))

    def _pretraining(self, what: Mapping[str, Any]) -> Line:
        settings: PretrainSettings = settings_of(PretrainSettings, what["settings"])
        try:
            dataset = self.place.open(settings.data)
        except TransferkitError as error:
            self.problems[str(error)] = None
            return Line("pretrain", 1)
        encoder = self._load(settings.model)
        images = settings.epochs * len(dataset.split("train"))
        if encoder is None:
            return Line("pretrain", 1, images)
        passes = BACKWARD + (1 if "con" in settings.loss or "joint" in settings.loss else 0)
        seconds = images * passes * self._image_seconds(encoder, settings.size)
        return Line("pretrain", 1, images, seconds=seconds / what["devices"])

    def _dataset(self, what: Mapping[str, Any]) -> Dataset | None:
        try:
            return self.ledger.open(what["data"], what["seed"])
        except TransferkitError as error:
            self.problems[str(error)] = None
            return None

    def _encoder(self, model: str) -> Encoder | None:
        """The encoder; of a run that is not there yet, the network that it will be."""
        for run in self.study.pretrain:
            if model == f"run:{run.run}":
                encoder = self._load(run.settings.model)
                return encoder and encoder.at(run.settings.test_crop)
        return self._load(model)

    def _load(self, model: str) -> Encoder | None:
        if model not in self._encoders:
            try:
                self._encoders[model] = load_encoder(model, runs=self.place.workspace.runs)
            except TransferkitError as error:
                self.problems[str(error)] = None
                self._encoders[model] = None
        return self._encoders[model]

    def _widths(self, encoder: Encoder, size: int, layers: tuple[str, ...]) -> list[int]:
        """Features of each layer; an unknown one has none, and is said by the task that asks for it."""
        key = encoder.spec, size, layers
        if key not in self._known_widths:
            try:
                found = resolve_layers(encoder.at(size), layers, encoder.pooling)
                self._known_widths[key] = [layer.dim for layer in found]
            except TransferkitError as error:
                self.problems[str(error)] = None
                self._known_widths[key] = []
        return self._known_widths[key]

    def _image_seconds(self, encoder: Encoder, size: int) -> float:
        """Of a forward pass on noise: the quickest of several, for a busy machine slows some of them."""
        key = encoder.spec, size
        if key not in self._seconds:
            images = torch.randn(_BATCH, 3, size, size, generator=torch.Generator().manual_seed(0))
            took: list[float] = []
            with torch.inference_mode():
                while len(took) < _TIMINGS and sum(took) < _TIMING_SECONDS:
                    started = time.perf_counter()
                    encoder.module(images)
                    took.append(time.perf_counter() - started)
            self._seconds[key] = min(took) / _BATCH
        return self._seconds[key]

    @cached_property
    def _measured(self) -> dict[str, float]:
        """Protocol → mean seconds of the records in the workspace."""
        found: dict[str, list[float]] = {}
        for record in ResultStore(self.place.workspace.results):
            found.setdefault(record.protocol, []).append(sum(record.seconds.values()))
        return {name: sum(seconds) / len(seconds) for name, seconds in found.items()}


def readable_seconds(seconds: float) -> str:
    """A time as a person reads it.

    >>> readable_seconds(75), readable_seconds(4000), readable_seconds(7 * 86400)
    ('75 s', '67 min', '168.0 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
