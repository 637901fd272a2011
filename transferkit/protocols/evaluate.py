"""Evaluation of cached features by protocols: missing features are extracted, finished records are reused."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import product
from typing import Any

from ..cache.entry import Entry
from ..cache.store import FeatureStore
from ..core.devices import free_memory_bytes
from ..core.errors import DataError, UsageError
from ..core.features import Features
from ..core.files import digest_of
from ..core.results import Cell, Result, Results, ResultStore
from ..data.dataset import Dataset
from ..data.folder import require_class_folders
from ..data.variants import PLAIN
from ..models.catalog import default_model, load_encoder
from ..models.encoder import Encoder
from ..probes import PROBES
from ..probes.fewshot import FewshotProbe, with_shared_classes
from ..probes.linear import LinearSettings, require_one_label_for_sgd
from ..probes.probe import Probe, Settings
from ..probes.semantic import SemanticSettings
from .cells import entry_cell
from .context import RunContext
from .dataset_catalog import expand_datasets
from .extract import Extractor
from .semantic import ScoreCache, Semantics
from .settings import ExtractSettings
from .trained_on import note_trained_on, with_source


@dataclass(frozen=True)
class EvalRequest:
    """A protocol with settings, to evaluate every layer of every model on every data set.

    Attributes:
        protocol: name in ``PROBES``.
        settings: instance of the ``settings_type`` of that probe.
    """

    protocol: str
    settings: Settings


def question(protocol: str, **settings: Any) -> EvalRequest:
    """Return the evaluation request for a protocol and its settings.

    Raises: UsageError: for a setting that the protocol does not have, with the protocols that have it.
    """
    settings_type = PROBES[protocol].settings_type
    known = {name: {f.name for f in fields(probe.settings_type)} for name, probe in PROBES.items()}
    for name in settings.keys() - known[protocol]:
        owners = [other for other, names in known.items() if name in names]
        meaning = f"it belongs to {' and '.join(owners)}" if owners else "no protocol has it"
        raise UsageError(f"The {protocol} protocol has no setting {name!r}: {meaning}.")
    return EvalRequest(protocol, settings_type(**settings))


def questions(protocol: str, **settings: Any) -> list[EvalRequest]:
    """Return one request per combination of shots and levels, either of which may be a list.

    Several shots are evaluated on the same classes, unless the settings choose the classes.

    Raises: UsageError: as ``question`` does.
    """
    several = {name: settings.pop(name) for name in _SEVERAL if isinstance(settings.get(name), list | tuple)}
    if empty := [name for name, values in several.items() if not values]:
        raise UsageError(f"{empty[0]} is empty: give at least one value.")
    variants = [dict(zip(several, chosen, strict=True)) for chosen in product(*several.values())]
    requested = [question(protocol, **settings, **variant).settings for variant in variants]
    return [EvalRequest(protocol, one) for one in with_shared_classes(requested)]


_SEVERAL = ("shots", "level")


class IncompleteResultsError(DataError):
    """Some requests could not be evaluated.

    Attributes:
        results: results of all other requests.
    """

    def __init__(self, message: str, results: Results) -> None:
        super().__init__(message)
        self.results = results


@dataclass(frozen=True)
class Evaluator:
    """Evaluates requests on models and data sets.

    Attributes:
        context: workspace, seed and reporter.
        extraction: extraction settings, with the layers.
        force: recompute finished cells.
        max_memory: GiB of memory to use per layer; by default half of the free memory. Features that need more
            stay on disk, and the probes that support it read them in chunks.
    """

    context: RunContext
    extraction: ExtractSettings
    force: bool = False
    max_memory: float | None = None

    def __post_init__(self) -> None:
        if self.max_memory is not None and not self.max_memory >= 0:
            raise UsageError(f"--max-memory {self.max_memory:g} GiB is invalid: give 0 or more.")

    def run(self, models: Sequence[str], datasets: Sequence[str], questions: Sequence[EvalRequest]) -> Results:
        """Evaluate all combinations of models, data sets, layers and requests.

        Every model and data set is opened before the first image is processed.

        Args:
            models: encoder specs; an empty list selects the default model.
            datasets: specs of data sets and groups of them.
            questions: requests to evaluate on each layer.

        Raises:
            UsageError: if augmented training views are combined with a variant of the images.
            IncompleteResultsError: if a request cannot be evaluated on some features; it has all other results.
        """
        self._require_own_images(questions)
        workspace = self.context.workspace
        opened = [self.context.open(name) for name in expand_datasets(datasets)]
        for dataset in opened:
            require_class_folders(dataset)
        encoders = [
            load_encoder(spec, runs=workspace.runs, reporter=self.context.reporter)
            for spec in models or [default_model(workspace.runs)]
        ]
        results: list[Result] = []
        problems: dict[str, None] = {}
        known: ScoreCache = {}
        for extractor in map(self.extractor, encoders):
            for dataset in opened:
                for answer in self.evaluate(extractor, dataset, questions, known):
                    if isinstance(answer, Result):
                        results.append(answer)
                    else:
                        named = str(answer).startswith(dataset.spec)
                        problems[str(answer) if named else f"{dataset.spec}: {answer}"] = None
        if problems:
            raise IncompleteResultsError(" ".join(problems), Results(results))
        return Results(results)

    def _require_own_images(self, questions: Sequence[EvalRequest]) -> None:
        """Refuse augmented views together with a variant, because augmentation would not include the variant."""
        views = max((q.settings.views for q in questions if isinstance(q.settings, LinearSettings)), default=0)
        if views and self.extraction.variant != PLAIN:
            raise UsageError(
                f"--views {views} cannot be combined with --variant {self.extraction.variant}: augmented views "
                "are made of unchanged images. Use one of the two options."
            )

    def extractor(self, encoder: Encoder) -> Extractor:
        """Return the feature extractor of ``encoder``."""
        return Extractor(encoder, self.extraction, store=FeatureStore(self.context.workspace.features))

    def evaluate(
        self, extractor: Extractor, dataset: Dataset, questions: Sequence[EvalRequest], known: ScoreCache
    ) -> Iterator[Result | DataError]:
        """Evaluate one encoder on one data set, and yield a result or an error per layer and request.

        Args:
            extractor: extractor of the encoder.
            dataset: data set to evaluate on.
            questions: requests to evaluate on each layer.
            known: cache of semantic scores, which further encoders reuse for the baselines that they share.
        """
        note_trained_on(extractor.encoder, dataset.spec, self.context.reporter)
        entries = {name: extractor.open(split).run(self.context.reporter) for name, split in dataset.splits.items()}
        levels = tuple(dict.fromkeys(q.settings.level for q in questions if isinstance(q.settings, SemanticSettings)))
        semantics = Semantics(extractor, dataset, self.context, levels, known, self.max_memory)
        semantics.precompute_scores(list(self._open_semantics(entries, questions, semantics)))
        for layer in extractor.names:
            features: dict[str, Features] = {}
            for question in questions:
                try:
                    yield self._answer(entries, layer, question, features, semantics)
                except DataError as error:
                    yield error

    def _load(self, entries: Mapping[str, Entry], layer: str) -> dict[str, Features]:
        """Load all splits of a layer, into memory only if two float32 copies fit."""
        needed = sum(8 * entry.rows * entry.layers[layer] for entry in entries.values())
        budget = self._budget(needed)
        return {split: entry.features(layer, memory_bytes=budget) for split, entry in entries.items()}

    def _budget(self, needed: int) -> float:
        """Return the bytes of memory for features: unlimited if ``needed`` bytes fit, else 0."""
        free = free_memory_bytes() / 2 if self.max_memory is None else self.max_memory * 2**30
        return float("inf") if needed <= free else 0

    def _augmented(
        self, semantics: Semantics, layer: str, features: Mapping[str, Features], views: int
    ) -> dict[str, Features]:
        """Return the features with augmented views of the training rows; missing views are extracted."""
        require_one_label_for_sgd(features)
        with_views = dict(features)
        for split in features.keys() - {"test"}:
            rows = semantics.dataset.split(split)
            extractors = [semantics.extractor.with_variant(f"augment:{number}") for number in range(views)]
            entries = [extractor.open(rows).run(self.context.reporter) for extractor in extractors]
            budget = self._budget(sum(8 * entry.rows * entry.layers[layer] for entry in entries))
            augmented = tuple(entry.features(layer, memory_bytes=budget).x for entry in entries)
            with_views[split] = replace(features[split], augmented=augmented)
        return with_views

    def _probe(self, protocol: str) -> Probe:
        """Return the probe; few-shot episodes are stored in the workspace and reused."""
        probe = PROBES[protocol]
        if isinstance(probe, FewshotProbe):
            return replace(probe, folder=self.context.workspace.episodes)
        return probe

    def _answer(
        self,
        entries: Mapping[str, Entry],
        layer: str,
        question: EvalRequest,
        features: dict[str, Features],
        semantics: Semantics,
    ) -> Result:
        """Return the stored record, or evaluate the request; ``features`` is filled when first needed."""
        cell = _cell(entries, layer, question, semantics)
        if found := self._stored(cell):
            return found
        started = time.perf_counter()
        if not features:
            features.update(self._load(entries, layer))
        load_seconds = time.perf_counter() - started
        if isinstance(question.settings, SemanticSettings):
            score = semantics.score(layer, question.settings)
        else:
            scored = features
            if isinstance(question.settings, LinearSettings) and question.settings.views:
                scored = self._augmented(semantics, layer, features, question.settings.views)
            score = self._probe(question.protocol).score(scored, question.settings, seed=self.context.seed)
        score = with_source(score, semantics.extractor.encoder.trained_on, semantics.dataset.spec)
        skipped = sum(len(part.skipped) for part in features.values())
        dim = next(iter(features.values())).dim
        result = Result.of(cell, score, dim=dim, skipped_rows=skipped, load_seconds=load_seconds)
        ResultStore(self.context.workspace.results).add(result)
        return result

    def _stored(self, cell: Cell) -> Result | None:
        """Return the stored record, unless ``force`` is set."""
        return None if self.force else ResultStore(self.context.workspace.results).find(cell)

    def _open_semantics(
        self, entries: Mapping[str, Entry], questions: Sequence[EvalRequest], semantics: Semantics
    ) -> Iterator[tuple[str, SemanticSettings]]:
        """Yield the layers and semantic settings without a record."""
        for layer in semantics.extractor.names:
            for question in questions:
                settings = question.settings
                if not isinstance(settings, SemanticSettings):
                    continue
                if not self._stored(_cell(entries, layer, question, semantics)):
                    yield layer, settings


def _cell(entries: Mapping[str, Entry], layer: str, question: EvalRequest, semantics: Semantics) -> Cell:
    """Return the cell of a result: the keys of all splits, the request with its targets, and the seed."""
    entry, settings = next(iter(entries.values())), question.settings.to_json()
    if isinstance(question.settings, SemanticSettings):
        settings = {**settings, "targets": semantics.definitions(question.settings)}
    return entry_cell(
        entry,
        layer,
        question.protocol,
        settings,
        fingerprint=digest_of({split: entry.fingerprint for split, entry in entries.items()}),
        seed=semantics.context.seed,
    )
