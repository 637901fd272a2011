"""Scores that predict transfer without training, and how well they ranked the models of this workspace."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text
from scipy.special import softmax

from ...analysis.transferability import SCORES
from ...analysis.transferability.agreement import rank_correlation
from ...core.features import Features
from ...core.results import Result, Results, ResultStore, Score
from ...core.statistics import Interval
from ...models.encoder import Encoder
from ...models.tracing import OUTPUT, trace
from ..place import Place
from ..settings import ExtractSettings
from .looking import Look, looks

MEASURED = ("linear", "finetune")
"""Protocols whose accuracies the scores are held against, where the workspace has them."""


@dataclass(frozen=True)
class Agreement:
    """How a score ranked models on one data set, against what they then reached.

    Attributes:
        data: the data set.
        score: its name.
        protocol: which accuracies it is held against.
        tau: Kendall's τ, weighted; None for fewer than three models.
        models: how many had both.
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
        accuracies: records of linear probes and fine-tuning of the same models, data sets and layers.
        agreements: one a data set, score and protocol.
    """

    records: Results
    accuracies: Results
    agreements: tuple[Agreement, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"records": self.records.to_json(), "agreements": [vars(one) for one in self.agreements]}

    def __rich__(self) -> Group:
        return Group(_score_table(self.records), Text(""), _agreement_table(self.agreements))


def transferability(
    models: Sequence[str],
    datasets: Sequence[str],
    settings: ExtractSettings,
    *,
    place: Place,
    force: bool = False,
) -> Transferability:
    """Every score that a model allows, from the rows that a user may look at: train and val.

    LEEP and NCE need the classes that a model was trained on; they are left out where it has no classifier
    of its own.

    Args:
        models: specs; none means the default model.
        datasets: specs and groups.
        settings: how features are taken, and of which layers.
        place: where, by which seed, and who is told.
        force: compute finished cells anew.
    """
    seen = list(looks(models, datasets, settings, place=place))
    records = Results(record for look in seen for record in _scored(look, force=force))
    asked = {(record.model, record.weights, record.data, record.layer) for record in records}
    known = [r for r in ResultStore(place.workspace.results) if r.protocol in MEASURED]
    accuracies = Results(r for r in known if (r.model, r.weights, r.data, r.layer) in asked)
    return Transferability(records, accuracies, tuple(_agreements(records, accuracies)))


def _scored(look: Look, *, force: bool) -> Iterator[Result]:
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
                value = SCORES[name](x, rows.labels, seed=look.place.seed)
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


def _classified(look: Look) -> Look:
    """The same, looked at where the network names its own classes."""
    return next(
        looks(
            [look.model],
            [look.dataset.spec],
            replace(look.extractor.settings, layers=(OUTPUT,)),
            place=look.place,
        )
    )


def _agreements(records: Results, accuracies: Results) -> Iterator[Agreement]:
    for data in dict.fromkeys(record.data for record in records):
        for protocol in MEASURED:
            reached = {
                (r.model, r.layer): r.value for r in accuracies if (r.data, r.protocol) == (data, protocol)
            }
            if not reached:
                continue
            for score in dict.fromkeys(record.metric for record in records):
                given = {(r.model, r.layer): r.value for r in records if (r.data, r.metric) == (data, score)}
                both = [key for key in given if key in reached]
                found = rank_correlation([given[k] for k in both], [reached[k] for k in both])
                yield Agreement(data, score, protocol, found.value, found.models)


def _score_table(records: Results) -> Table:
    """One row a model, data set and layer; one column a score."""
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
            "data and layers, and the scores are held against it."
        )
    table = Table(
        title="Agreement with measured accuracy: weighted Kendall's τ", box=box.SIMPLE_HEAD, pad_edge=False
    )
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
