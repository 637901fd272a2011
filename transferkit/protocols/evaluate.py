"""Questions put to cached features: what is missing is extracted, what is finished is skipped."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import product
from typing import Any

from .. import __version__
from ..cache.entry import Entry
from ..cache.store import FeatureStore
from ..core.devices import free_memory_bytes
from ..core.errors import DataError, UsageError
from ..core.features import Features
from ..core.files import digest_of
from ..core.results import Cell, Result, Results, ResultStore
from ..data.catalog import expand_datasets
from ..data.dataset import Dataset
from ..data.folder import require_class_folders
from ..data.variants import PLAIN
from ..models.catalog import default_model, load_encoder
from ..models.encoder import Encoder
from ..probes import PROBES
from ..probes.fewshot import FewshotProbe, paired
from ..probes.linear import LinearSettings, require_one_label_for_sgd
from ..probes.probe import Probe, Settings
from ..probes.semantic import SemanticSettings
from .context import RunContext
from .extract import Extractor
from .semantic import ScoreCache, Semantics
from .settings import ExtractSettings
from .trained_on import note_seen, with_source


@dataclass(frozen=True)
class EvalRequest:
    """What is asked of every layer of every model on every data set.

    Attributes:
        protocol: a name in ``PROBES``.
        settings: an instance of that probe's ``settings_type``.
    """

    protocol: str
    settings: Settings


def question(protocol: str, **settings: Any) -> EvalRequest:
    """The question that a protocol's name and settings make.

    Raises: UsageError: for a setting that the protocol does not have, saying which one has it.
    """
    settings_type = PROBES[protocol].settings_type
    known = {name: {f.name for f in fields(probe.settings_type)} for name, probe in PROBES.items()}
    for name in settings.keys() - known[protocol]:
        owners = [other for other, names in known.items() if name in names]
        meaning = f"it belongs to {' and '.join(owners)}" if owners else "no protocol has it"
        raise UsageError(f"{name!r} means nothing to the {protocol} protocol: {meaning}.")
    return EvalRequest(protocol, settings_type(**settings))


def questions(protocol: str, **settings: Any) -> list[EvalRequest]:
    """One question for each of several shots, levels or both; where one of them is given, as ``question``.

    Several shots are asked of the same classes, unless the settings say of which.

    Raises: UsageError: as ``question`` does.
    """
    several = {name: settings.pop(name) for name in _SEVERAL if isinstance(settings.get(name), list | tuple)}
    if empty := [name for name, values in several.items() if not values]:
        raise UsageError(f"{empty[0]} names nothing to ask: give one or more.")
    variants = [dict(zip(several, chosen, strict=True)) for chosen in product(*several.values())]
    asked = [question(protocol, **settings, **variant).settings for variant in variants]
    return [EvalRequest(protocol, one) for one in paired(asked)]


_SEVERAL = ("shots", "level")


class UnansweredError(DataError):
    """Some questions could not be put to some features.

    Attributes:
        results: of all the others.
    """

    def __init__(self, message: str, results: Results) -> None:
        super().__init__(message)
        self.results = results


@dataclass(frozen=True)
class Evaluator:
    """Answers questions.

    Attributes:
        context: workspace, seed and reporter.
        extraction: extraction settings, with the layers.
        force: recompute finished cells.
        max_memory: GiB that probing one layer may take; half of what is free unless given. Features that need
            more stay on the disk, and are gone through in pieces by the probes that can.
    """

    context: RunContext
    extraction: ExtractSettings
    force: bool = False
    max_memory: float | None = None

    def __post_init__(self) -> None:
        if self.max_memory is not None and not self.max_memory >= 0:
            raise UsageError(f"--max-memory {self.max_memory:g} GiB is no amount: give 0 or more.")

    def run(self, models: Sequence[str], datasets: Sequence[str], questions: Sequence[EvalRequest]) -> Results:
        """The product of models, data sets, layers and questions.

        Every model and data set is opened before the first image is run.

        Args:
            models: encoder specs; an empty list selects the default model.
            datasets: specs of data sets and groups of them.
            questions: what is asked of each layer.

        Raises:
            UsageError: if training views are augmented and all images are changed in another way.
            UnansweredError: if a question cannot be put to some features; it holds the other results.
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
            raise UnansweredError(" ".join(problems), Results(results))
        return Results(results)

    def _require_own_images(self, questions: Sequence[EvalRequest]) -> None:
        """Refuse augmented views of images that a variant changes: training would not see its change."""
        views = max((q.settings.views for q in questions if isinstance(q.settings, LinearSettings)), default=0)
        if views and self.extraction.variant != PLAIN:
            raise UsageError(
                f"--views {views} trains on augmented views of the images as they are, and --variant "
                f"{self.extraction.variant} would change only the others. Give one of the two."
            )

    def extractor(self, encoder: Encoder) -> Extractor:
        """What takes the features of ``encoder``."""
        return Extractor(encoder, self.extraction, store=FeatureStore(self.context.workspace.features))

    def evaluate(
        self, extractor: Extractor, dataset: Dataset, questions: Sequence[EvalRequest], known: ScoreCache
    ) -> Iterator[Result | DataError]:
        """One encoder on one data set: layer by layer, question by question; or why there is no answer.

        Args:
            extractor: of the encoder.
            dataset: whose features.
            questions: what is asked of each layer.
            known: semantic scores, kept for the next encoder; most are of floors that they share.
        """
        note_seen(extractor.encoder, dataset.spec, self.context.reporter)
        entries = {name: extractor.open(split).run(self.context.reporter) for name, split in dataset.splits.items()}
        asked = [q.settings.level for q in questions if isinstance(q.settings, SemanticSettings)]
        levels = tuple(dict.fromkeys(asked))
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
        """All splits of a layer; in memory only if the memory holds them as float32, twice."""
        needed = sum(8 * entry.rows * entry.layers[layer] for entry in entries.values())
        budget = self._budget(needed)
        return {split: entry.features(layer, memory_bytes=budget) for split, entry in entries.items()}

    def _budget(self, needed: int) -> float:
        """Bytes that features may take: any number if ``needed`` bytes fit into memory, else 0."""
        free = free_memory_bytes() / 2 if self.max_memory is None else self.max_memory * 2**30
        return float("inf") if needed <= free else 0

    def _augmented(
        self, semantics: Semantics, layer: str, features: Mapping[str, Features], views: int
    ) -> dict[str, Features]:
        """The rows that are trained on, with augmented views; these are extracted where they are missing."""
        require_one_label_for_sgd(features)
        seen = dict(features)
        for split in features.keys() - {"test"}:
            rows = semantics.dataset.split(split)
            looks = [semantics.extractor.looking(f"augment:{number}") for number in range(views)]
            entries = [look.open(rows).run(self.context.reporter) for look in looks]
            budget = self._budget(sum(8 * entry.rows * entry.layers[layer] for entry in entries))
            augmented = tuple(entry.features(layer, memory_bytes=budget).x for entry in entries)
            seen[split] = replace(features[split], augmented=augmented)
        return seen

    def _probe(self, protocol: str) -> Probe:
        """The probe; episodes are kept in the workspace, to be replayed."""
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
        """The kept record, or a new one; ``features`` are loaded when first needed."""
        cell = _cell(entries, layer, question, semantics)
        if found := self._kept(cell):
            return found
        started = time.perf_counter()
        if not features:
            features.update(self._load(entries, layer))
        load_seconds = time.perf_counter() - started
        if isinstance(question.settings, SemanticSettings):
            score = semantics.score(layer, question.settings)
        else:
            seen = features
            if isinstance(question.settings, LinearSettings) and question.settings.views:
                seen = self._augmented(semantics, layer, features, question.settings.views)
            score = self._probe(question.protocol).score(seen, question.settings, seed=self.context.seed)
        score = with_source(score, semantics.extractor.encoder.trained_on, semantics.dataset.spec)
        skipped = sum(len(part.skipped) for part in features.values())
        dim = next(iter(features.values())).dim
        result = Result.of(cell, score, dim=dim, skipped_rows=skipped, load_seconds=load_seconds)
        ResultStore(self.context.workspace.results).add(result)
        return result

    def _kept(self, cell: Cell) -> Result | None:
        """The record, unless it is to be computed again."""
        return None if self.force else ResultStore(self.context.workspace.results).find(cell)

    def _open_semantics(
        self, entries: Mapping[str, Entry], questions: Sequence[EvalRequest], semantics: Semantics
    ) -> Iterator[tuple[str, SemanticSettings]]:
        """Layers, and semantic questions about them, that have no record yet."""
        for layer in semantics.extractor.names:
            for question in questions:
                settings = question.settings
                if not isinstance(settings, SemanticSettings):
                    continue
                if not self._kept(_cell(entries, layer, question, semantics)):
                    yield layer, settings


def _cell(entries: Mapping[str, Entry], layer: str, question: EvalRequest, semantics: Semantics) -> Cell:
    """What defines the number: the keys of all splits, the question with its targets, the seed."""
    entry, settings = next(iter(entries.values())), question.settings.to_json()
    key = entry.key
    if isinstance(question.settings, SemanticSettings):
        settings = {**settings, "targets": semantics.definitions(question.settings)}
    return Cell(
        protocol=question.protocol,
        model=key.model,
        weights=key.weights,
        data=key.data,
        fingerprint=digest_of({split: entry.fingerprint for split, entry in entries.items()}),
        layer=layer,
        pooling=entry.pooling(layer),
        view=key.circumstances,
        settings=settings,
        seed=semantics.context.seed,
        version=__version__,
    )
