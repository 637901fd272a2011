"""Scores that predict transfer without training, and how well they ranked the models of this workspace."""

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text
from scipy.special import softmax

from ... import __version__
from ...analysis.transferability import SCORES
from ...analysis.transferability.agreement import rank_correlation
from ...core.features import Features
from ...core.files import sorted_json
from ...core.results import Result, Results, ResultStore, Score
from ...core.statistics import Interval
from ...models.encoder import Encoder
from ...models.tracing import OUTPUT, trace
from ..context import RunContext
from ..settings import ExtractSettings
from .layer_features import LayerFeatures, looks

PROBED, TUNED = "linear", "finetune"
"""Protocols whose accuracies the scores are held against, where the workspace has them.

A probe's accuracy is of one layer. Fine-tuning moves the whole network: its accuracy stands against the
scores of the deepest layer that was scored.
"""


@dataclass(frozen=True)
class ScoreAccuracy:
    """What a score said, beside the accuracy that it is held against.

    Attributes:
        data, model, layer: whose features were scored.
        score, value: its name, and what it said.
        protocol, reached: what was measured, and the accuracy: the mean over seeds.
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
    """How a score ranked models on one data set, against what they then reached.

    Attributes:
        data: the data set.
        score: its name.
        protocol: which accuracies it is held against.
        tau: Kendall's τ, weighted; None for fewer than three models.
        models: how many had both; each counts once, at its deepest layer that was scored and measured.
    """

    data: str
    score: str
    protocol: str
    tau: float | None
    models: int


@dataclass(frozen=True)
class Transferability:
    """Scores, and how they agree with measured accuracies.

    Attributes:
        records: one a model, data set, layer and score.
        pairs: those scores beside accuracies of linear probes and fine-tuning, layer by layer.
        agreements: one a data set, score and protocol.
    """

    records: Results
    pairs: tuple[ScoreAccuracy, ...]
    agreements: tuple[Agreement, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {"records": self.records.to_json(), "agreements": [vars(one) for one in self.agreements]}

    def __rich__(self) -> Group:
        return Group(_score_table(self.records), Text(""), _agreement_table(self.agreements))


def transferability(
    models: Sequence[str],
    datasets: Sequence[str],
    settings: ExtractSettings,
    *,
    context: RunContext,
    force: bool = False,
) -> Transferability:
    """Every score that a model allows, from the rows that a user may look at: train and val.

    LEEP and NCE need the classes that a model was trained on; they are left out where it has no classifier
    of its own.

    Args:
        models: encoder specs; an empty list selects the default model.
        datasets: specs of data sets and groups of them.
        settings: extraction settings, with the layers.
        context: workspace, seed and reporter.
        force: recompute finished cells.

    Raises: DataError: for a data set with several labels per image.
    """
    seen = list(looks(models, datasets, settings, context=context, classified="a score of transferability"))
    records = Results(record for look in seen for record in _scored(look, force=force))
    pairs = tuple(paired(records, ResultStore(context.workspace.results)))
    return Transferability(records, pairs, tuple(agreements_of(pairs)))


def _scored(look: LayerFeatures, *, force: bool) -> Iterator[Result]:
    classified = _classified(look) if has_classifier(look.extractor.encoder) else None
    for layer in look.layers:
        for name, score in SCORES.items():
            if score.needs == "probabilities" and classified is None:
                continue

            def compute(layer: str = layer, name: str = name) -> Score:
                rows = look.fitting(layer)
                x = np.asarray(rows.x, np.float32)
                if SCORES[name].needs == "probabilities":
                    assert classified is not None
                    x = softmax(np.asarray(classified.fitting(OUTPUT).x, np.float32), axis=1)
                value = SCORES[name](x, rows.labels, seed=look.context.seed)
                return _plain(name, value, rows)

            yield look.recorded("transferability", layer, {"score": name}, compute, force=force)


def _plain(name: str, value: float, rows: Features) -> Score:
    """A score is a number of these rows, and has no interval."""
    return Score(
        metric=name,
        value=value,
        interval=Interval(value, value, "none"),
        n=len(rows),
        selected_on="none",
        evaluated_on=rows.split,
    )


def has_classifier(encoder: Encoder) -> bool:
    """Whether the network still tells the classes apart that it was trained on."""
    scheme = encoder.spec.partition(":")[0]
    trained = scheme in ("torchvision", "timm") or scheme.startswith("imagenet-")
    return trained and bool(trace(encoder).classifier)


def _classified(look: LayerFeatures) -> LayerFeatures:
    """The same, looked at where the network names its own classes."""
    return next(
        looks(
            [look.model],
            [look.dataset.spec],
            replace(look.extractor.settings, layers=(OUTPUT,)),
            context=look.context,
        )
    )


def paired(records: Sequence[Result], known: Iterable[Result]) -> Iterator[ScoreAccuracy]:
    """The scores whose networks an accuracy was measured of, each beside it.

    A probe's accuracy counts if it is of the very features that were scored. One recipe a data set and
    protocol counts: of all settings but the seed, those that most models were measured under; of equals those
    of most records, then those that come first as text. Over seeds, accuracies are averaged.

    Args:
        records: of the scores, layers in order of depth.
        known: any records, in any order.
    """
    deepest = {(r.data, r.model): r.layer for r in records}
    last = [r for r in records if r.layer == deepest[r.data, r.model]]
    measured = [r for r in known if r.version == __version__]
    kinds = ((PROBED, records, _features), (TUNED, last, _network))
    for data, (protocol, scores, of) in product(dict.fromkeys(r.data for r in records), kinds):
        scored = [(of(r), r) for r in scores if r.data == data]
        asked = {key for key, _ in scored}
        here = [r for r in measured if (r.data, r.protocol) == (data, protocol)]
        reached: dict[Hashable, list[float]] = {}
        for record in _one_recipe([r for r in here if of(r) in asked]):
            reached.setdefault(of(record), []).append(record.value)
        for key, r in scored:
            if key in reached:
                mean = float(np.mean(reached[key]))
                yield ScoreAccuracy(data, r.model, r.layer, r.metric, r.value, protocol, mean)


def _network(record: Result) -> Hashable:
    return record.model, record.weights, record.data, record.fingerprint


def _features(record: Result) -> Hashable:
    return _network(record), record.layer, record.pooling, sorted_json(record.view)


def _one_recipe(records: Sequence[Result]) -> list[Result]:
    recipes: dict[str, list[Result]] = {}
    for record in records:
        settings = {name: value for name, value in record.settings.items() if name != "seed"}
        recipes.setdefault(sorted_json(settings), []).append(record)
    ordered = [recipes[text] for text in sorted(recipes)]
    return max(ordered, key=lambda own: (len({record.model for record in own}), len(own)), default=[])


def agreements_of(pairs: Iterable[ScoreAccuracy]) -> Iterator[Agreement]:
    """How scores ranked models, each of them once: at the deepest layer of its pairs, which comes last."""
    places: dict[tuple[str, str, str], dict[str, ScoreAccuracy]] = {}
    for pair in pairs:
        places.setdefault((pair.data, pair.score, pair.protocol), {})[pair.model] = pair
    for (data, score, protocol), own in places.items():
        values, reached = [pair.value for pair in own.values()], [pair.reached for pair in own.values()]
        found = rank_correlation(values, reached)
        yield Agreement(data, score, protocol, found.value, found.models)


def _score_table(records: Results) -> Table:
    """One row per model, data set and layer; one column a score."""
    names = list(dict.fromkeys(record.metric for record in records))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("model", "data", "layer"):
        table.add_column(heading, overflow="fold")
    for name in names:
        table.add_column(SCORES[name].title, justify="right")
    values = {(r.model, r.data, r.layer, r.metric): f"{r.value:.3f}" for r in records}
    for model, data, layer in dict.fromkeys((r.model, r.data, r.layer) for r in records):
        cells = (values.get((model, data, layer, name), "–") for name in names)
        table.add_row(Text(model), Text(data), Text(layer), *cells)
    return table


def _agreement_table(agreements: Sequence[Agreement]) -> Table | Text:
    if not agreements:
        return Text(
            "No accuracy of these models is in the workspace: run transferkit probe for the same models, "
            "data and layers, or transferkit finetune, and the scores are held against it."
        )
    table = Table(title="Agreement with measured accuracy: weighted Kendall's τ", box=box.SIMPLE_HEAD, pad_edge=False)
    table.title_justify = "left"
    scores = list(dict.fromkeys(one.score for one in agreements))
    for heading in ("data", "against", "models"):
        table.add_column(heading)
    for name in scores:
        table.add_column(SCORES[name].title, justify="right")
    tau = {(one.data, one.protocol, one.score): one.tau for one in agreements}
    for data, protocol in dict.fromkeys((one.data, one.protocol) for one in agreements):
        counts = {one.models for one in agreements if (one.data, one.protocol) == (data, protocol)}
        cells = (tau.get((data, protocol, name)) for name in scores)
        shown = ("–" if value is None else f"{value:+.2f}" for value in cells)
        table.add_row(Text(data), protocol, str(max(counts)), *shown)
    return table
