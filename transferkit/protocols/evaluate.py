"""Evaluation of cached features by protocols: missing features are extracted, finished records are reused."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cache, partial
from itertools import product
from typing import Any

from ..cache.store import FeatureStore
from ..core.errors import DataError, UsageError
from ..core.features import UNNAMED, Features
from ..core.results import Result, Results, ResultStore, Score
from ..core.settings import Settings
from ..data.dataset import Dataset
from ..data.folder import require_class_folders
from ..data.variants import PLAIN
from ..models.catalog import default_model, load_encoder
from ..models.encoder import Encoder
from ..probes import PROBES
from ..probes.probe import Probe, ProbeContext
from .cells import features_cell
from .context import RunContext
from .dataset_catalog import expand_datasets
from .extract import Extractor
from .layer_features import LayerFeatures
from .settings import ExtractSettings
from .trained_on import note_trained_on


@dataclass(frozen=True)
class EvalRequest:
    """A protocol with settings, to evaluate every layer of every model on every data set.

    Attributes:
        protocol: name in ``PROBES``.
        settings: instance of the ``settings_type`` of that probe.
    """

    protocol: str
    settings: Settings


def eval_request(protocol: str, **settings: Any) -> EvalRequest:
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


def eval_requests(protocol: str, **settings: Any) -> list[EvalRequest]:
    """Return one request per combination of the settings that may be lists, such as several numbers of shots.

    Raises: UsageError: as ``eval_request`` does.
    """
    probe = PROBES[protocol]
    lists = {name: settings.pop(name) for name in probe.lists if isinstance(settings.get(name), list | tuple)}
    if empty := [name for name, values in lists.items() if not values]:
        raise UsageError(f"{empty[0]} is empty: give at least one value.")
    variants = [dict(zip(lists, chosen, strict=True)) for chosen in product(*lists.values())]
    requested = [eval_request(protocol, **settings, **variant).settings for variant in variants]
    return [EvalRequest(protocol, one) for one in probe.made_comparable(requested)]


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
        force: compute results again that are stored already.
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

    def run(self, models: Sequence[str], datasets: Sequence[str], requests: Sequence[EvalRequest]) -> Results:
        """Evaluate all combinations of models, data sets, layers and requests.

        Every model and data set is opened before the first image is processed.

        Args:
            models: encoder specs; an empty list selects the default model.
            datasets: specs of data sets and groups of them.
            requests: requests to evaluate on each layer.

        Raises:
            UsageError: if augmented training views are combined with a variant of the images.
            IncompleteResultsError: if a request cannot be evaluated on some features; it has all other results.
        """
        self._require_unchanged_images(requests)
        workspace = self.context.workspace
        opened = [self.context.open(name) for name in expand_datasets(datasets)]
        for dataset in opened:
            require_class_folders(dataset)
        encoders = [
            load_encoder(spec, runs=workspace.runs, reporter=self.context.reporter)
            for spec in models or [default_model(workspace.runs)]
        ]
        results: list[Result] = []
        problems: dict[str, None] = {}  # each once, in order
        shared: dict[str, Any] = {}
        for extractor in map(self.extractor, encoders):
            for dataset in opened:
                for found in self.evaluate(extractor, dataset, requests, shared):
                    if isinstance(found, Result):
                        results.append(found)
                    else:
                        named = str(found).startswith(dataset.spec)
                        problems[str(found) if named else f"{dataset.spec}: {found}"] = None
        if problems:
            raise IncompleteResultsError(" ".join(problems), Results(results))
        return Results(results)

    def _require_unchanged_images(self, requests: Sequence[EvalRequest]) -> None:
        """Refuse augmented views together with a variant, because augmentation would not include the variant."""
        views = max((PROBES[one.protocol].augmented_views(one.settings) for one in requests), default=0)
        if views and self.extraction.variant != PLAIN:
            raise UsageError(
                f"--views {views} cannot be combined with --variant {self.extraction.variant}: augmented views "
                "are made of unchanged images. Use one of the two options."
            )

    def extractor(self, encoder: Encoder) -> Extractor:
        """Return the feature extractor of ``encoder``."""
        return Extractor(encoder, self.extraction, store=FeatureStore(self.context.workspace.features))

    def evaluate(
        self, extractor: Extractor, dataset: Dataset, requests: Sequence[EvalRequest], shared: dict[str, Any]
    ) -> Iterator[Result | DataError]:
        """Evaluate one encoder on one data set, and yield a result or an error per layer and request.

        Args:
            extractor: extractor of the encoder.
            dataset: data set to evaluate on.
            requests: requests to evaluate on each layer.
            shared: what probes store for further encoders, such as the scores of baselines.
        """
        note_trained_on(extractor.encoder, dataset.spec, self.context.reporter)
        source = LayerFeatures(extractor, dataset, self.context, self.max_memory, shared)
        probes = {
            protocol: PROBES[protocol].for_source(source, [one.settings for one in own])
            for protocol, own in _by_protocol(requests).items()
        }
        recorded = {one: probes[one.protocol].record_settings(one.settings) for one in requests}
        for protocol, own in _by_protocol(requests).items():
            unfinished = [
                (layer, one.settings)
                for layer in source.layers
                for one in own
                if self.force or not source.stored(protocol, layer, recorded[one])
            ]
            probes[protocol].prepare(unfinished)
        for layer in source.layers:
            load = cache(partial(source.splits, layer))
            for one in requests:
                score = partial(self._score, probes[one.protocol], one.settings, source, load)
                try:
                    yield source.reuse_or_score(one.protocol, layer, recorded[one], score, force=self.force)
                except DataError as error:
                    yield error

    def _score(
        self,
        probe: Probe[Any],
        settings: Settings,
        source: LayerFeatures,
        load: Callable[[], Mapping[str, Features]],
    ) -> Score:
        """Return the score of the features that ``load`` returns, with the duration of loading them."""
        started = time.perf_counter()
        features = load()
        seconds = {"load": time.perf_counter() - started}
        score = probe.score(
            ProbeContext(features, self.context.seed, self.context.workspace.episodes, source), settings
        )
        return replace(score, seconds=seconds | dict(score.seconds))


def evaluate_features(
    splits: Mapping[str, Features], request: EvalRequest, context: RunContext, *, force: bool = False
) -> Result:
    """Evaluate a request on features in memory; a finished result for the same values is reused.

    The result is recorded, unless the features name no model.

    Args:
        splits: features of one layer by split.
        request: protocol and settings.
        context: workspace of the records, and seed.
        force: compute a finished result again.
    """
    probe, store = PROBES[request.protocol], ResultStore(context.workspace.results)
    cell = features_cell(splits, request.protocol, probe.record_settings(request.settings), seed=context.seed)
    if not force and (found := store.find(cell)):
        return found
    score = probe.score(ProbeContext(splits, context.seed, context.workspace.episodes), request.settings)
    skipped = sum(len(part.skipped) for part in splits.values())
    dim = next(iter(splits.values())).dim
    result = Result.of(cell, score, dim=dim, skipped_rows=skipped)
    if cell.model != UNNAMED:
        store.add(result)
    return result


def _by_protocol(requests: Sequence[EvalRequest]) -> dict[str, list[EvalRequest]]:
    """Return protocol → its requests."""
    found: dict[str, list[EvalRequest]] = {}
    for one in requests:
        found.setdefault(one.protocol, []).append(one)
    return found
