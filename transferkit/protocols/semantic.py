"""The semantic protocol: targets from pixels, tasks from changed images, and the floors they stand against.

A score says how much of a target stands in a layer. That a layer is wide, or near the pixels, is worth
something by itself; so every score stands beside its floors: that of ``pixels``, and that of the same layer
of the same network untrained. Normalised, -1 is knowing nothing, 0 what the better floor knows, and 1 all.
"""

import hashlib
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..cache.entry import Entry
from ..core.devices import free_memory_bytes
from ..core.errors import DataError, TransferkitError, UnknownNameError
from ..core.features import Features
from ..core.files import digest_of
from ..core.groups import grouped_fingerprint
from ..core.labels import is_multilabel, require_one_label
from ..core.results import Score
from ..data.dataset import Dataset
from ..data.loading import MOST_WORKERS, can_fork, map_in_forked_processes
from ..data.variants import PLAIN
from ..models.catalog import load_encoder
from ..models.encoder import Encoder
from ..models.ending import LAST
from ..probes.semantic import SemanticSettings, TargetScore, summary, target_scores
from ..semantics import TARGETS
from ..semantics.factors import PREFIX, factor_targets
from ..semantics.scene import DEFINITION
from .context import RunContext
from .extract import Extractor
from .semantic_tasks import MOST_ROWS, TASKS
from .targets import measured, read_targets, targets_key, targets_of

OWN, PIXELS, UNTRAINED = "own", "pixels", "random"

CLASS = "class"
"""The target of level ``high``."""

FACTORS = "factors"
"""The level of what was recorded when images were drawn."""

Scores = tuple[dict[str, TargetScore], tuple[str, ...]]
"""By target, and the targets that are constant."""

ScoreCache = dict[str, Scores]
"""What was scored, by what ``Semantics`` calls it."""

_FEATURE_BYTES = 48  # of a feature of a row, in the copies that two fits make of it


@dataclass(frozen=True)
class ScoreRequest:
    """What is asked of one layer at once.

    Attributes:
        spec, layer: of the encoder, or of a floor.
        levels: whose targets are scored together, from one decomposition of the features.
        task: the name of a task of changed images, in place of levels.
        penalties: that are tried.
    """

    spec: str
    layer: str
    levels: tuple[str, ...]
    task: str
    penalties: tuple[float, ...]


@dataclass(eq=False)
class Semantics:
    """Semantic questions about one encoder on one data set.

    Attributes:
        extractor: of the encoder; its layers are asked about.
        dataset: whose images.
        context: workspace, seed and reporter.
        levels: that will be asked about; a layer's targets of all of them are scored together, from one
            decomposition of its features.
        known: filled here, and shared by the questions about several encoders: their floors are the same.
        max_memory: GiB that scoring may take; half of what is free for None.
    """

    extractor: Extractor
    dataset: Dataset
    context: RunContext
    levels: tuple[str, ...] = ()
    known: ScoreCache = field(default_factory=dict)
    max_memory: float | None = None
    _extractors: dict[str, Extractor] = field(default_factory=dict)
    _entries: dict[tuple[str, str, str], Entry] = field(default_factory=dict)
    _read: dict[tuple[str, ...], tuple[Sequence[str], dict[str, NDArray]]] = field(default_factory=dict)
    _keys: dict[ScoreRequest, str] = field(default_factory=dict)
    _ahead: dict[str, float] = field(default_factory=dict)  # seconds that nobody has counted yet

    def score(self, layer: str, settings: SemanticSettings) -> Score:
        """What ``layer`` says of the targets of a level, and what the floors say.

        Raises: UnknownNameError, DataError: for an unknown transform, or if nothing varies.
        """
        started = time.perf_counter()
        ahead = sum(self._ahead.pop(self._key(ask), 0.0) for ask in self._asks(layer, settings))
        found = {name: self._level(context, settings) for name, context in self._places(layer).items()}
        scores, constant = found.pop(OWN)
        floors = {name: known for name, (known, _) in found.items()}
        seconds = ahead + time.perf_counter() - started
        score = summary(scores, constant, seed=self.context.seed, seconds=seconds)
        targets: dict[str, dict[str, Any]] = {
            name: {**value, **_against(value["value"], {f: known[name].value for f, known in floors.items()})}
            for name, value in score.extra_metrics["targets"].items()
        }
        normalised = [value["normalised"] for value in targets.values() if "normalised" in value]
        mean = {"normalised": float(np.mean(normalised))} if normalised else {}
        return replace(score, extra_metrics={**score.extra_metrics, **mean, "targets": targets})

    def definitions(self, settings: SemanticSettings) -> dict[str, str]:
        """Name and definition of each target behind a score; a score of other definitions is another one.

        A measured target and a task of changed images have their version, recorded factors a digest of their
        values.
        """
        if settings.level == "high":
            return {CLASS: "1"}
        if settings.level == FACTORS:
            splits = sorted(self._factors)
            names = list(next(iter(self._factors.values()), {}))
            return {name: _values_digest([self._factors[split][name] for split in splits]) for name in names}
        tasks = [name for name in settings.mid_tasks if name != "none"] if settings.level == "mid" else []
        versions = {name: str(TASKS[name].version) for name in tasks}
        return {name: f"{TARGETS[name].version}.{DEFINITION}" for name in targets_of(settings.level)} | versions

    def precompute_scores(self, asked: Sequence[tuple[str, SemanticSettings]]) -> None:
        """Score layers, ``asked`` with what is asked of each, in as many processes as torch has threads.

        Scoring a layer is thousands of small products, which gain nothing from a second thread. What is
        missing is extracted first, here. ``score`` then knows the answers, and says why there is none.
        """
        if torch.get_num_threads() < 2 or not can_fork():
            return
        todo: dict[str, ScoreRequest] = {}
        for layer, settings in asked:
            with suppress(TransferkitError):  # ``score`` says what
                for ask in self._asks(layer, settings):
                    if (key := self._key(ask)) not in self.known:
                        self._prepare(ask)
                        todo[key] = ask
        needed = {key: self._bytes(ask) for key, ask in todo.items()}
        workers = self._workers(needed.values())
        if workers < 2:
            return
        label = f"probing {self.extractor.encoder.spec} and its floors on {self.dataset.spec}"
        with self.context.reporter.task(label, len(todo), "scores") as task:
            dearest_first = sorted(todo, key=lambda key: -needed[key])
            try:
                for key, answer in map_in_forked_processes(
                    _Scoring(todo, self._scored), dearest_first, workers=workers
                ):
                    if answer is not None:
                        self.known[key], self._ahead[key] = answer
                    task.advance(1)
            except RuntimeError:  # what torch makes of a process that was killed
                self.context.reporter.note("A scoring process was killed: scoring one layer after another.")

    def _workers(self, needed: Collection[float]) -> int:
        """Processes, for scores that need so many bytes each."""
        free = free_memory_bytes() / 2 if self.max_memory is None else self.max_memory * 2**30
        return int(min(torch.get_num_threads(), len(needed), free / max(needed, default=1), MOST_WORKERS))

    def _bytes(self, ask: ScoreRequest) -> float:
        """That scoring ``ask`` takes at most."""
        splits = self.dataset.splits
        rows = sum(len(split) for split in splits.values()) if ask.levels else MOST_ROWS * len(splits)
        width = self._filled(ask.spec, PLAIN, next(iter(splits))).layers[ask.layer]
        return float(_FEATURE_BYTES * rows * width * (2 if ask.task == "patch" else 1))

    def _places(self, layer: str) -> dict[str, tuple[str, str]]:
        """Spec and layer of the encoder itself, and of its floors: those that it is not itself."""
        encoder = self.extractor.encoder
        places = {OWN: (encoder.spec, layer)}
        if encoder.spec != PIXELS:
            places[PIXELS] = (PIXELS, LAST)
            if not encoder.spec.startswith("random:") and self._untrained is not None:
                places[UNTRAINED] = (f"random:{encoder.architecture}", layer)
        return places

    @cached_property
    def _untrained(self) -> Encoder | None:
        """The same network before training, shown what the encoder is shown; None if nobody can build it."""
        encoder = self.extractor.encoder
        try:
            return replace(load_encoder(f"random:{encoder.architecture}"), view=encoder.view)
        except UnknownNameError:
            return None

    def _level(self, context: tuple[str, str], settings: SemanticSettings) -> Scores:
        """The score by one layer of every target of the level and of its tasks."""
        scores: dict[str, TargetScore] = {}
        constant: tuple[str, ...] = ()
        for ask in self._asks_of(context, settings):
            key = self._key(ask)
            if key not in self.known:
                self.known[key] = self._scored(ask)
            known, never = self.known[key]
            asked = {name for name in (*known, *never) if ask.task or _level_of(name) == settings.level}
            scores |= {name: score for name, score in known.items() if name in asked}
            constant += tuple(name for name in never if name in asked)
        return scores, constant

    def _asks(self, layer: str, settings: SemanticSettings) -> Iterator[ScoreRequest]:
        """Everything that a score is made of."""
        for context in self._places(layer).values():
            yield from self._asks_of(context, settings)

    def _asks_of(self, context: tuple[str, str], settings: SemanticSettings) -> Iterator[ScoreRequest]:
        others = (level for level in self.levels if self._has(level))
        levels, penalties = tuple(sorted({settings.level, *others})), tuple(settings.grid)
        yield ScoreRequest(*context, levels, "", penalties)
        if settings.level == "mid":
            yield from (ScoreRequest(*context, (), task, penalties) for task in settings.mid_tasks if task != "none")

    def _key(self, ask: ScoreRequest) -> str:
        """The same for the same features and targets, whoever asks."""
        if ask not in self._keys:
            names = self._names(ask)
            view = self.extractor.encoder.view
            entries = [
                [
                    self._filled(ask.spec, PLAIN, name).key.digest,
                    targets_key(split, view, names).digest,
                    grouped_fingerprint(split.fingerprint, split.groups),
                ]
                for name, split in self.dataset.splits.items()
            ]
            self._keys[ask] = digest_of([vars(ask), entries, self.context.seed])
        return self._keys[ask]

    def _names(self, ask: ScoreRequest) -> list[str]:
        """Of the targets of ``ask`` that are measured."""
        return [name for level in ask.levels for name in targets_of(level)]

    def _prepare(self, ask: ScoreRequest) -> None:
        """Extract and measure what ``ask`` needs."""
        for split in self.dataset.splits:
            for names in filter(None, map(targets_of, ask.levels)):
                self._target_entry(names, split)
            for view in TASKS[ask.task].variants if ask.task else ():
                self._filled(ask.spec, view, split)

    def _scored(self, ask: ScoreRequest) -> Scores:
        rows_of = self._stacked if ask.task else self._with_targets
        splits = {split: rows_of(ask, split) for split in self.dataset.splits}
        scores, constant = target_scores(splits, ask.penalties, seed=self.context.seed)
        if ask.task:
            rows = TASKS[ask.task].rows_per_image
            scores = {name: replace(score, n=score.n // rows) for name, score in scores.items()}
        return scores, constant

    def _with_targets(self, ask: ScoreRequest, split: str) -> Features:
        features = self._filled(ask.spec, PLAIN, split).features(ask.layer)
        targets: dict[str, NDArray] = {}
        for level in ask.levels:
            if level == "high":
                require_one_label(
                    features.labels,
                    data=self.dataset.spec,
                    what="the level high",
                    instead="Use the levels low and mid, or --protocol linear for its classes.",
                )
                targets[CLASS] = features.labels
            elif level == FACTORS:
                targets |= self._recorded(features.ids, split)
            else:
                targets |= self._measured(features.ids, targets_of(level), split)
        return replace(features, targets=targets)

    def _has(self, level: str) -> bool:
        """Whether the data set has what a level asks for."""
        if level == "high":
            return not any(is_multilabel(split.labels) for split in self.dataset.splits.values())
        return level != FACTORS or bool(self._factors)

    def _recorded(self, ids: Sequence[str], split: str) -> dict[str, NDArray]:
        """Of the rows ``ids`` of a split, what was chosen when they were drawn.

        Raises: DataError: if nothing was recorded.
        """
        if not self._factors:
            raise DataError(f"{self.dataset.spec} records no factors: leave out the level {FACTORS}.")
        context = {one: row for row, one in enumerate(self.dataset.split(split).ids)}
        rows = [context[one] for one in ids]
        return {name: values[rows] for name, values in self._factors[split].items()}

    @cached_property
    def _factors(self) -> dict[str, dict[str, NDArray]]:
        """Targets by split; empty where nothing was recorded."""
        found = factor_targets({name: split.factors for name, split in self.dataset.splits.items()})
        return found if any(found.values()) else {}

    def _measured(self, ids: Sequence[str], names: Sequence[str], split: str) -> Mapping[str, NDArray]:
        """Of the rows ``ids`` of a split; read once for all layers."""
        known, targets = self._read.get((split, *names), ((), {}))
        if known != ids:
            targets = read_targets(self._target_entry(names, split), names, ids)
            self._read[split, *names] = ids, targets
        return targets

    def _target_entry(self, names: Sequence[str], split: str) -> Entry:
        """Where they lie; measured where they are missing."""
        return measured(
            self.dataset.split(split),
            self.extractor.encoder.view,
            names,
            store=self.extractor.store,
            reporter=self.context.reporter,
        )

    def _stacked(self, ask: ScoreRequest, split: str) -> Features:
        task = TASKS[ask.task]
        views = {view: self._filled(ask.spec, view, split).features(ask.layer) for view in task.variants}
        rows = len(next(iter(views.values())))
        most = max(1, MOST_ROWS // len(task.variants))
        if rows > most:
            chosen = np.linspace(0, rows - 1, most).astype(np.int64)
            views = {view: features.rows(chosen) for view, features in views.items()}
        return task.stacked(views)

    def _filled(self, spec: str, view: str, split: str) -> Entry:
        """The complete entry; what is missing is extracted."""
        key = (spec, view, split)
        if key not in self._entries:
            extraction = self._extractor(spec).looking(view).open(self.dataset.split(split))
            self._entries[key] = extraction.run(self.context.reporter)
        return self._entries[key]

    def _extractor(self, spec: str) -> Extractor:
        """Of the encoder, or of a floor; built once."""
        own = self.extractor
        if spec == own.encoder.spec:
            return own
        if spec not in self._extractors:
            settings = own.settings
            if spec == PIXELS:
                encoder = load_encoder(PIXELS)
                settings = replace(settings, layers=("last",), size=None, pooling=None)
            else:
                assert self._untrained is not None  # or it is no floor
                encoder = self._untrained
            self._extractors[spec] = Extractor(encoder, settings, store=own.store)
        return self._extractors[spec]


@dataclass(frozen=True)
class _Scoring:
    """Asked for a key, gives it with its scores and seconds; in a process that was forked for it."""

    asks: Mapping[str, ScoreRequest]
    scored: Callable[[ScoreRequest], Scores]

    def __getitem__(self, key: str) -> tuple[str, tuple[Scores, float] | None]:
        started = time.perf_counter()
        with suppress(TransferkitError):
            return key, (self.scored(self.asks[key]), time.perf_counter() - started)
        return key, None


def _values_digest(parts: Sequence[NDArray]) -> str:
    """Digest of the values of a recorded factor, split by split."""
    return digest_of([hashlib.sha256(np.ascontiguousarray(part).tobytes()).hexdigest() for part in parts])[:16]


def _level_of(target: str) -> str:
    """The level that a target belongs to, from its name."""
    if target == CLASS:
        return "high"
    return FACTORS if target.startswith(PREFIX) else TARGETS[target].level


def _against(value: float, floors: Mapping[str, float]) -> dict[str, Any]:
    """The floors, and where ``value`` lies: -1 knows nothing, 0 what the better floor knows, 1 all."""
    if not floors:
        return {}
    known, floor = max(0.0, value), min(1.0, max(0.0, *floors.values()))
    above = (known - floor) / (1 - floor) if floor < 1 else 0.0
    return {"floors": dict(floors), "normalised": above if known >= floor else known / floor - 1}
