"""The semantic protocol: targets measured on pixels, tasks of transformed images, and baselines.

A *target* is a property of each image that features should predict, such as its luminance or its class. Targets have
*levels*: ``low`` and ``mid`` are measured on pixels, ``high`` is the class, and ``factors`` are recorded when images
are generated. A *task* of level ``mid`` transforms the images; its targets are the transformations.

A score measures how well a layer predicts a target. Because a wide layer, or one close to the pixels, scores
well without training, each score is reported with two baselines (``baselines``): that of ``pixels``, and that of
the same layer of the untrained network. Normalised scores are -1 for no prediction, 0 for the better baseline
and 1 for perfect prediction.
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
from ..probes.builtin import SemanticSettings
from ..probes.probe import ProbeContext
from ..probes.semantic import TargetScore, summary, target_scores
from ..semantics import TARGETS
from ..semantics.factors import PREFIX, factor_targets
from ..semantics.scene import DEFINITION as SCENE_VERSION
from .context import RunContext
from .extract import Extractor
from .layer_features import LayerFeatures
from .semantic_probe import SemanticProtocol
from .semantic_tasks import MOST_ROWS, TASKS
from .targets import measured, read_targets, targets_key, targets_of

OWN, PIXELS, UNTRAINED = "own", "pixels", "random"
"""Names of the encoder's own scores and of those of the baselines; the latter are model specs, or start one."""

CLASS = "class"
"""The target of level ``high``."""

FACTORS = "factors"
"""The level of the factors recorded when images were generated."""

Scores = tuple[dict[str, TargetScore], tuple[str, ...]]
"""Scores by target, and the names of constant targets."""

ScoreCache = dict[str, Scores]
"""Key of a score request → scores."""

_FEATURE_BYTES = 48  # bytes per feature value, including the copies of two fits


@dataclass(frozen=True)
class ScoreRequest:
    """Scores of one layer that are computed together.

    Attributes:
        spec, layer: spec and layer of the encoder or of a baseline.
        levels: levels whose targets are scored together, from one decomposition of the features.
        task: name of a task of transformed images, which has no levels; None for levels.
        penalties: penalties to compare.
    """

    spec: str
    layer: str
    levels: tuple[str, ...]
    task: str | None
    penalties: tuple[float, ...]


@dataclass(eq=False)
class ImageSemanticProtocol(SemanticProtocol):
    """The semantic probe for one encoder and the images of one data set.

    Attributes:
        images: encoder and data set.
        levels: all levels that will be requested; a layer's targets of all levels are scored together, from
            one decomposition of its features.
        extractor, dataset, context: those of ``images``.
        score_cache: scores by key, shared with the probes of further encoders for the sake of common baselines.
    """

    images: LayerFeatures
    levels: tuple[str, ...] = ()
    extractor: Extractor = field(init=False)
    dataset: Dataset = field(init=False)
    context: RunContext = field(init=False)
    score_cache: ScoreCache = field(init=False)
    _extractors: dict[str, Extractor] = field(default_factory=dict)
    _entries: dict[tuple[str, str, str], Entry] = field(default_factory=dict)
    _targets: dict[tuple[str, ...], tuple[Sequence[str], dict[str, NDArray]]] = field(default_factory=dict)
    _keys: dict[ScoreRequest, str] = field(default_factory=dict)
    _precomputed_seconds: dict[str, float] = field(default_factory=dict)  # not yet added to a score

    def __post_init__(self) -> None:
        self.extractor, self.dataset, self.context = self.images.extractor, self.images.dataset, self.images.context
        self.score_cache = self.images.shared.setdefault("semantic", {})

    def score(self, context: ProbeContext, settings: SemanticSettings) -> Score:
        """Return the score of a layer for the targets of a level, with the scores of the baselines.

        Raises: UnknownNameError, DataError: for an unknown task, or if all targets are constant.
        """
        return self.score_layer(next(iter(context.splits.values())).layer, settings)

    def score_layer(self, layer: str, settings: SemanticSettings) -> Score:
        """Return the score of a layer by name; see ``score``."""
        started = time.perf_counter()
        keys = [self._key(request) for request in self._layer_requests(layer, settings)]
        precomputed = sum(self._precomputed_seconds.pop(key, 0.0) for key in keys)
        by_source = {name: self._score_source(source, settings) for name, source in self._sources(layer).items()}
        scores, constant = by_source.pop(OWN)
        seconds = precomputed + time.perf_counter() - started
        score = summary(scores, constant, seed=self.context.seed, seconds=seconds)
        targets: dict[str, dict[str, Any]] = {}
        for name, value in score.extra_metrics["targets"].items():
            baselines = {source: baseline[name].value for source, (baseline, _) in by_source.items()}
            targets[name] = {**value, **_normalised(value["value"], baselines)}
        normalised = [value["normalised"] for value in targets.values() if "normalised" in value]
        mean = {"normalised": float(np.mean(normalised))} if normalised else {}
        return replace(score, extra_metrics={**score.extra_metrics, **mean, "targets": targets})

    def record_settings(self, settings: SemanticSettings) -> dict[str, Any]:
        """Return the settings, with the version of each target."""
        return {**settings.to_json(), "targets": self.target_versions(settings)}

    def target_versions(self, settings: SemanticSettings) -> dict[str, str]:
        """Return the version of each target of a score by name; another version makes another record.

        Measured targets and tasks of transformed images have a version, recorded factors a digest of values.
        """
        if settings.level == "high":
            return {CLASS: "1"}
        if settings.level == FACTORS:
            splits = sorted(self._factors)
            names = list(next(iter(self._factors.values()), {}))
            return {name: _values_digest([self._factors[split][name] for split in splits]) for name in names}
        versions = {name: f"{TARGETS[name].version}.{SCENE_VERSION}" for name in targets_of(settings.level)}
        return versions | {name: str(TASKS[name].version) for name in _tasks(settings)}

    def prepare(self, requests: Sequence[tuple[str, SemanticSettings]]) -> None:
        """Score pairs of a layer and settings in as many processes as torch has threads.

        Scoring a layer takes thousands of small products, which a second thread does not accelerate. Missing
        features are extracted first, in this process. ``score`` then reads the scores, and raises the errors.
        """
        if torch.get_num_threads() < 2 or not can_fork():
            return
        todo: dict[str, ScoreRequest] = {}
        for layer, settings in requests:
            with suppress(TransferkitError):  # ``score`` raises it again
                for request in self._layer_requests(layer, settings):
                    if (key := self._key(request)) not in self.score_cache:
                        self._prepare_inputs(request)
                        todo[key] = request
        memory = {key: self._memory_bytes(request) for key, request in todo.items()}
        workers = self._n_workers(memory.values())
        if workers < 2:
            return
        label = f"probing {self.extractor.encoder.spec} and its baselines on {self.dataset.spec}"
        with self.context.reporter.task(label, len(todo), "scores") as task:
            largest_first = sorted(todo, key=lambda key: -memory[key])
            try:
                for key, scored in map_in_forked_processes(
                    _ScoreRequests(todo, self._compute_scores), largest_first, workers=workers
                ):
                    if scored is not None:
                        self.score_cache[key], self._precomputed_seconds[key] = scored
                    task.advance(1)
            except RuntimeError as error:  # torch's error for a process that was killed, or that raised an error
                reason = str(error).strip().rpartition("\n")[2].rstrip(". ")  # the last line of a traceback
                self.context.reporter.note(
                    f"A scoring process ended early ({reason}): scoring one layer after another."
                )

    def _n_workers(self, memory: Collection[float]) -> int:
        """Return the number of processes, for scores that need ``memory`` bytes each."""
        fitting = self.images.memory_bytes / max(memory, default=1)
        return int(min(torch.get_num_threads(), len(memory), fitting, MOST_WORKERS))

    def _memory_bytes(self, request: ScoreRequest) -> float:
        """Return the maximum number of bytes that scoring ``request`` takes."""
        splits = self.dataset.splits
        width = self._extract(request.spec, PLAIN, next(iter(splits))).layers[request.layer]
        if request.task is None:
            rows = sum(len(split) for split in splits.values())
        else:
            rows, width = MOST_ROWS * len(splits), width * TASKS[request.task].variants_per_row
        return float(_FEATURE_BYTES * rows * width)

    def _sources(self, layer: str) -> dict[str, tuple[str, str]]:
        """Return spec and layer of the encoder and of its baselines, without those that are the encoder itself."""
        encoder = self.extractor.encoder
        sources = {OWN: (encoder.spec, layer)}
        if encoder.spec != PIXELS:
            sources[PIXELS] = (PIXELS, LAST)
            if not encoder.spec.startswith(f"{UNTRAINED}:") and self._untrained is not None:
                sources[UNTRAINED] = (f"{UNTRAINED}:{encoder.architecture}", layer)
        return sources

    @cached_property
    def _untrained(self) -> Encoder | None:
        """The untrained network with the encoder's preprocessing; None if its architecture is unknown."""
        encoder = self.extractor.encoder
        try:
            return replace(load_encoder(f"{UNTRAINED}:{encoder.architecture}"), preprocessing=encoder.preprocessing)
        except UnknownNameError:
            return None

    def _score_source(self, source: tuple[str, str], settings: SemanticSettings) -> Scores:
        """Return the scores of one layer of the encoder or a baseline for all targets and tasks of the level."""
        scores: dict[str, TargetScore] = {}
        constant: tuple[str, ...] = ()
        for request in self._source_requests(source, settings):
            key = self._key(request)
            if key not in self.score_cache:
                self.score_cache[key] = self._compute_scores(request)
            cached, cached_constant = self.score_cache[key]
            in_level = {
                name
                for name in (*cached, *cached_constant)
                if request.task is not None or _target_level(name) == settings.level
            }
            scores |= {name: score for name, score in cached.items() if name in in_level}
            constant += tuple(name for name in cached_constant if name in in_level)
        return scores, constant

    def _layer_requests(self, layer: str, settings: SemanticSettings) -> Iterator[ScoreRequest]:
        """Yield all requests that the score of a layer needs, including those of the baselines."""
        for source in self._sources(layer).values():
            yield from self._source_requests(source, settings)

    def _source_requests(self, source: tuple[str, str], settings: SemanticSettings) -> Iterator[ScoreRequest]:
        """Yield the requests for one layer of the encoder or a baseline."""
        others = (level for level in self.levels if self._has_targets(level))
        levels, penalties = tuple(sorted({settings.level, *others})), tuple(settings.grid)
        yield ScoreRequest(*source, levels, None, penalties)
        yield from (ScoreRequest(*source, (), task, penalties) for task in _tasks(settings))

    def _key(self, request: ScoreRequest) -> str:
        """Return a key that is equal for the same features and targets."""
        if request not in self._keys:
            names = [name for level in request.levels for name in targets_of(level)]
            preprocessing = self.extractor.encoder.preprocessing
            entries = [
                [
                    self._extract(request.spec, PLAIN, name).key.digest,
                    targets_key(split, preprocessing, names).digest,
                    grouped_fingerprint(split.fingerprint, split.groups),
                ]
                for name, split in self.dataset.splits.items()
            ]
            self._keys[request] = digest_of([vars(request), entries, self.context.seed])
        return self._keys[request]

    def _prepare_inputs(self, request: ScoreRequest) -> None:
        """Extract the features and measure the targets that ``request`` needs."""
        for split in self.dataset.splits:
            for names in filter(None, map(targets_of, request.levels)):
                self._target_entry(names, split)
            for variant in () if request.task is None else TASKS[request.task].variants:
                self._extract(request.spec, variant, split)

    def _compute_scores(self, request: ScoreRequest) -> Scores:
        if request.task is None:
            return self._score_splits(request, self._attach_targets)
        scores, constant = self._score_splits(request, self._stack_variants)
        rows = TASKS[request.task].rows_per_image
        return {name: replace(score, n=score.n // rows) for name, score in scores.items()}, constant

    def _score_splits(self, request: ScoreRequest, rows_of: Callable[[ScoreRequest, str], Features]) -> Scores:
        splits = {split: rows_of(request, split) for split in self.dataset.splits}
        return target_scores(splits, request.penalties, seed=self.context.seed)

    def _attach_targets(self, request: ScoreRequest, split: str) -> Features:
        """Return the features of a layer with the targets of the requested levels."""
        features = self._extract(request.spec, PLAIN, split).features(request.layer)
        targets: dict[str, NDArray] = {}
        for level in request.levels:
            if level == "high":
                require_one_label(
                    features.labels,
                    data=self.dataset.spec,
                    what="the level high",
                    instead="Use the levels low and mid, or --protocol linear for its classes.",
                )
                targets[CLASS] = features.labels
            elif level == FACTORS:
                targets |= self._recorded_factors(features.ids, split)
            else:
                targets |= self._measured_targets(features.ids, targets_of(level), split)
        return replace(features, targets=targets)

    def _has_targets(self, level: str) -> bool:
        """Return True if the data set has targets of a level."""
        if level == "high":
            return not any(is_multilabel(split.labels) for split in self.dataset.splits.values())
        return level != FACTORS or bool(self._factors)

    def _recorded_factors(self, ids: Sequence[str], split: str) -> dict[str, NDArray]:
        """Return the recorded factors of the rows ``ids`` of a split.

        Raises: DataError: if the data set records no factors.
        """
        if not self._factors:
            raise DataError(f"{self.dataset.spec} records no factors: leave out the level {FACTORS}.")
        row_of = {image_id: row for row, image_id in enumerate(self.dataset.split(split).ids)}
        rows = [row_of[image_id] for image_id in ids]
        return {name: values[rows] for name, values in self._factors[split].items()}

    @cached_property
    def _factors(self) -> dict[str, dict[str, NDArray]]:
        """Recorded factors by split; empty if the data set records none."""
        found = factor_targets({name: split.factors for name, split in self.dataset.splits.items()})
        return found if any(found.values()) else {}

    def _measured_targets(self, ids: Sequence[str], names: Sequence[str], split: str) -> Mapping[str, NDArray]:
        """Return the measured targets of the rows ``ids`` of a split; they are read once for all layers."""
        last_ids, targets = self._targets.get((split, *names), ((), {}))
        if last_ids != ids:
            targets = read_targets(self._target_entry(names, split), names, ids)
            self._targets[split, *names] = ids, targets
        return targets

    def _target_entry(self, names: Sequence[str], split: str) -> Entry:
        """Return the cache entry of the targets; missing ones are measured."""
        return measured(
            self.dataset.split(split),
            self.extractor.encoder.preprocessing,
            names,
            store=self.extractor.store,
            reporter=self.context.reporter,
        )

    def _stack_variants(self, request: ScoreRequest, split: str) -> Features:
        """Return the rows of a task; large splits are subsampled evenly."""
        assert request.task is not None
        task = TASKS[request.task]
        variants = {name: self._extract(request.spec, name, split).features(request.layer) for name in task.variants}
        rows = len(next(iter(variants.values())))
        most = max(1, MOST_ROWS // len(task.variants))
        if rows > most:
            chosen = np.linspace(0, rows - 1, most).astype(np.int64)
            variants = {name: features.rows(chosen) for name, features in variants.items()}
        return task.stack(variants)

    def _extract(self, spec: str, variant: str, split: str) -> Entry:
        """Return the complete cache entry; missing features are extracted."""
        key = (spec, variant, split)
        if key not in self._entries:
            extraction = self._source_extractor(spec).with_variant(variant).open(self.dataset.split(split))
            self._entries[key] = extraction.run(self.context.reporter)
        return self._entries[key]

    def _source_extractor(self, spec: str) -> Extractor:
        """Return the extractor of the encoder or of a baseline; each is built once."""
        own = self.extractor
        if spec == own.encoder.spec:
            return own
        if spec not in self._extractors:
            settings = own.settings
            if spec == PIXELS:
                encoder = load_encoder(PIXELS)
                settings = replace(settings, layers=(LAST,), size=None, pooling=None)
            else:
                assert self._untrained is not None  # otherwise it is not among the baselines
                encoder = self._untrained
            self._extractors[spec] = Extractor(encoder, settings, store=own.store)
        return self._extractors[spec]


@dataclass(frozen=True)
class _ScoreRequests:
    """Data set for forked processes, whose items are the scores of requests.

    Attributes:
        requests: key → request.
        compute_scores: function that scores a request.
    """

    requests: Mapping[str, ScoreRequest]
    compute_scores: Callable[[ScoreRequest], Scores]

    def __getitem__(self, key: str) -> tuple[str, tuple[Scores, float] | None]:
        """Return the key, and the scores with the seconds they took; None if an expected error prevents scoring."""
        started = time.perf_counter()
        with suppress(TransferkitError):
            return key, (self.compute_scores(self.requests[key]), time.perf_counter() - started)
        return key, None


def _tasks(settings: SemanticSettings) -> list[str]:
    """Return the tasks of transformed images of a score, which only level ``mid`` has."""
    return [name for name in settings.mid_tasks if name != "none"] if settings.level == "mid" else []


def _values_digest(parts: Sequence[NDArray]) -> str:
    """Return a digest of the values of a recorded factor over all splits."""
    return digest_of([hashlib.sha256(np.ascontiguousarray(part).tobytes()).hexdigest() for part in parts])[:16]


def _target_level(target: str) -> str:
    """Return the level of a target."""
    if target == CLASS:
        return "high"
    return FACTORS if target.startswith(PREFIX) else TARGETS[target].level


def _normalised(value: float, baselines: Mapping[str, float]) -> dict[str, Any]:
    """Return the baselines, and the normalised score: -1 if nothing is predicted, 0 for the better one, 1 at best."""
    if not baselines:
        return {}
    own, baseline = max(0.0, value), min(1.0, max(0.0, *baselines.values()))
    above = (own - baseline) / (1 - baseline) if baseline < 1 else 0.0
    return {"baselines": dict(baselines), "normalised": above if own >= baseline else own / baseline - 1}
