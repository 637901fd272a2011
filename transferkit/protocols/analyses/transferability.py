"""Transferability scores, which predict transfer without training, and their agreement with measured accuracy."""

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from scipy.special import softmax

from ... import __version__
from ...analysis.transferability import SCORES
from ...analysis.transferability.agreement import rank_correlation
from ...core.features import Features
from ...core.files import sorted_json
from ...core.results import Result, Results, Score
from ...core.statistics import Interval
from ...models.encoder import Encoder
from ...models.hooks import OUTPUT
from ...models.tracing import trace
from ..layer_features import LayerFeatures, layer_features
from .analysis import Analysis

PROBED, TUNED = "linear", "finetune"
"""Protocols whose accuracies in the workspace are compared with the scores.

The accuracy of a probe belongs to one layer. Fine-tuning trains the whole network: its accuracy is compared
with the scores of the deepest scored layer.
"""


@dataclass(frozen=True)
class ScoreAccuracy:
    """A transferability score with the measured accuracy.

    Attributes:
        data, model, layer: data set, model and layer of the scored features.
        score, value: name and value of the score.
        protocol, reached: protocol of the accuracy, and its mean over seeds.
    """

    data: str
    model: str
    layer: str
    score: str
    value: float
    protocol: str
    reached: float


@dataclass(frozen=True)
class Agreement:
    """Agreement of a score with measured accuracy in ranking the models on one data set.

    Attributes:
        data: spec of the data set.
        score: name of the score.
        protocol: protocol of the accuracies.
        tau: weighted Kendall's τ; None for fewer than three models.
        models: number of models with both values, each at the deepest layer that has both.
    """

    data: str
    score: str
    protocol: str
    tau: float | None
    models: int


@dataclass(frozen=True)
class Transferability:
    """Transferability scores, and their agreement with measured accuracies.

    Attributes:
        records: one record per model, data set, layer and score.
        pairs: scores with accuracies of linear probes and fine-tuning, per layer.
        agreements: one agreement per data set, score and protocol.
    """

    records: Results
    pairs: tuple[ScoreAccuracy, ...]
    agreements: tuple[Agreement, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {"records": self.records.to_json(), "agreements": [vars(one) for one in self.agreements]}


class TransferabilityAnalysis(Analysis):
    """One record per model, data set, layer and score; the scores use train and val.

    LEEP and NCE need the classes that a model was trained on; they are left out for models without their own
    classifier.
    """

    classified = "a score of transferability"
    needs_images = True

    def records(self, models: Sequence[LayerFeatures], settings: None, *, force: bool = False) -> Iterator[Result]:
        """Yield the records of each layer and score."""
        for one in models:
            yield from _scored(one, force=force)


ANALYSIS = TransferabilityAnalysis()


def with_accuracies(records: Results, known: Iterable[Result]) -> Transferability:
    """Return transferability scores, and their agreement with measured accuracies.

    Args:
        records: records of the scores.
        known: any records, among which accuracies of the same networks are looked up.
    """
    pairs = tuple(scores_with_accuracies(records, known))
    return Transferability(records, pairs, tuple(agreements_of(pairs)))


def _scored(source: LayerFeatures, *, force: bool) -> Iterator[Result]:
    classified = _classified(source) if has_classifier(source.extractor.encoder) else None
    for layer in source.layers:
        for name, score in SCORES.items():
            if score.needs == "probabilities" and classified is None:
                continue

            def compute(layer: str = layer, name: str = name) -> Score:
                rows = source.all_but_test(layer)
                x = np.asarray(rows.x, np.float32)
                if SCORES[name].needs == "probabilities":
                    assert classified is not None
                    x = softmax(np.asarray(classified.all_but_test(OUTPUT).x, np.float32), axis=1)
                value = SCORES[name](x, rows.labels, seed=source.context.seed)
                return _plain(name, value, rows)

            yield source.reuse_or_score("transferability", layer, {"score": name}, compute, force=force)


def _plain(name: str, value: float, rows: Features) -> Score:
    """Return a Score without an interval."""
    return Score(
        metric=name,
        value=value,
        interval=Interval.unknown(),
        n=len(rows),
        selected_on="none",
        evaluated_on=rows.split,
    )


def has_classifier(encoder: Encoder) -> bool:
    """Return True if the network has the classifier that it was trained with."""
    scheme = encoder.spec.partition(":")[0]
    trained = scheme in ("torchvision", "timm") or scheme.startswith("imagenet-")
    return trained and bool(trace(encoder).classifier)


def _classified(source: LayerFeatures) -> LayerFeatures:
    """Return the outputs of the network's own classifier on the same images."""
    return next(
        layer_features(
            [source.model],
            [source.dataset.spec],
            replace(source.extractor.settings, layers=(OUTPUT,)),
            context=source.context,
        )
    )


def scores_with_accuracies(records: Sequence[Result], known: Iterable[Result]) -> Iterator[ScoreAccuracy]:
    """Pair scores with measured accuracies of the same networks.

    A probe's accuracy counts if it belongs to the scored features. One recipe (all settings except the seed)
    counts per data set and protocol: the one with the most models, then with the most records, then the first
    in alphabetical order. Accuracies are averaged over seeds.

    Args:
        records: records of the scores, with layers in order of depth.
        known: any records, in any order.
    """
    deepest = {(r.data, r.model): r.layer for r in records}
    last = [r for r in records if r.layer == deepest[r.data, r.model]]
    measured = [r for r in known if r.version == __version__]
    kinds = ((PROBED, records, _features), (TUNED, last, _network))
    for data, (protocol, scores, of) in product(dict.fromkeys(r.data for r in records), kinds):
        scored = [(of(r), r) for r in scores if r.data == data]
        scored_keys = {key for key, _ in scored}
        here = [r for r in measured if (r.data, r.protocol) == (data, protocol)]
        reached: dict[Hashable, list[float]] = {}
        for record in _one_recipe([r for r in here if of(r) in scored_keys]):
            reached.setdefault(of(record), []).append(record.value)
        for key, r in scored:
            if key in reached:
                mean = float(np.mean(reached[key]))
                yield ScoreAccuracy(data, r.model, r.layer, r.metric, r.value, protocol, mean)


def _network(record: Result) -> Hashable:
    return record.model, record.weights, record.data, record.fingerprint


def _features(record: Result) -> Hashable:
    return _network(record), record.layer, record.pooling, sorted_json(record.preprocessing)


def _one_recipe(records: Sequence[Result]) -> list[Result]:
    recipes: dict[str, list[Result]] = {}
    for record in records:
        settings = {name: value for name, value in record.settings.items() if name != "seed"}
        recipes.setdefault(sorted_json(settings), []).append(record)
    ordered = [recipes[text] for text in sorted(recipes)]
    return max(ordered, key=lambda own: (len({record.model for record in own}), len(own)), default=[])


def agreements_of(pairs: Iterable[ScoreAccuracy]) -> Iterator[Agreement]:
    """Yield the agreement of each score, with each model once: at the deepest layer of its pairs, which comes last."""
    deepest: dict[tuple[str, str, str], dict[str, ScoreAccuracy]] = {}
    for pair in pairs:
        deepest.setdefault((pair.data, pair.score, pair.protocol), {})[pair.model] = pair
    for (data, score, protocol), own in deepest.items():
        values, reached = [pair.value for pair in own.values()], [pair.reached for pair in own.values()]
        found = rank_correlation(values, reached)
        yield Agreement(data, score, protocol, found.value, found.models)
