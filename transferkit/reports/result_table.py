"""The results of a workspace as one table: records are read once, seeds are averaged, and rows are sorted.

A *recipe* is a protocol with the settings that distinguish it from other recipes, such as ``fewshot 5-shot lr``. Models
are compared only under the same recipe.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray

from .. import __version__
from ..core.errors import DamagedError, OutdatedError
from ..core.record_labels import Label, labels_of, ordered_recipes
from ..core.results import Result, ResultStore
from ..core.statistics import Interval
from ..data.budgets import split_spec
from ..protocols.analyses.analysis import ANALYSES
from ..protocols.dataset_catalog import known_datasets
from ..protocols.invert_settings import INVERSION
from .layer_order import by_depth
from .statistics import ALPHA, Ranks, Units, difference_p, holm, ranks, seed_mean

DOMAINS = ("natural", "satellite", "symbolic", "medical", "illustrative", "texture")
"""Known domains, in the order of the data sets in tables."""

OTHER = "other"


@cache
def _known_domains() -> dict[str, str]:
    return {dataset.name: dataset.domain for dataset in known_datasets() if dataset.domain}


def domain_of(data: str) -> str:
    """Return the domain of a spec, with or without a budget or number after it; ``other`` if it is unknown.

    >>> domain_of("mini/digits"), domain_of("eurosat@shots=5"), domain_of("folder:photos")
    ('symbolic', 'satellite', 'other')
    """
    whole, _ = split_spec(data)
    return _known_domains().get(whole) or _known_domains().get(whole.partition(":")[0]) or OTHER


def domain_order(domain: str) -> int:
    """Return the sort key of a domain; unknown domains come last."""
    return DOMAINS.index(domain) if domain in DOMAINS else len(DOMAINS)


HIDDEN = ("finetune-setting",)
"""Protocols whose records only selected a hyperparameter; reports do not show them."""


def _is_analysis(protocol: str) -> bool:
    """Return True for an analysis that has a chart of its own; its records are not shown in the main table."""
    return protocol == INVERSION or protocol in ANALYSES.builtin


@dataclass(frozen=True)
class ResultCell:
    """One value: the mean over seeds of a model under a recipe on a data set at a layer.

    Attributes:
        value, interval: mean over seeds and its interval; see ``seed_mean``.
        metric: metric of the records.
        records: indices into ``ResultTable.records`` of the records in the mean.
        trained_on: True if the model was trained on the data set.
    """

    value: float
    interval: Interval
    metric: str
    records: tuple[int, ...]
    trained_on: bool = False


@dataclass(frozen=True)
class Ranked:
    """The ranking of a recipe's models over the data sets that all of them share.

    Attributes:
        recipe: label of the recipe.
        ranks: ranks over the shared data sets.
        means: model → mean over the shared data sets.
        data: the shared data sets.
        left_out: models that are not ranked because too many data sets are missing.
    """

    recipe: str
    ranks: Ranks
    means: Mapping[str, float]
    data: tuple[str, ...]
    left_out: tuple[str, ...]

    @property
    def best(self) -> str:
        """The model with the highest mean."""
        return max(self.means, key=self.means.__getitem__)


@dataclass(frozen=True, eq=False)
class ResultTable:
    """Records with their labels, and everything that reports compute from them.

    Attributes:
        records: ``[n]``, without their outcomes.
        labels: ``[n]``; different models, data sets and recipes have different labels.
        units: record index → outcome of each row or episode, for records that had outcomes.
        left_out: sentences that name the records that are not shown, and the reasons.
    """

    records: tuple[Result, ...]
    labels: tuple[Label, ...]
    units: Mapping[int, Units]
    left_out: tuple[str, ...] = ()

    @cached_property
    def models(self) -> tuple[str, ...]:
        """Labels of models, sorted by mean value under the first recipe that has them, then by name."""
        values: dict[str, dict[str, list[float]]] = {}
        for (recipe, model, _), cell in self.cells.items():
            values.setdefault(recipe, {}).setdefault(model, []).append(cell.value)
        models: dict[str, None] = {}  # as an ordered set
        for recipe in self.recipes:
            means = {model: float(np.mean(scores)) for model, scores in values.get(recipe, {}).items()}
            models |= dict.fromkeys(sorted(means, key=lambda model: (-means[model], model)))
        return tuple(models | dict.fromkeys(label.model for label in self.labels))

    @cached_property
    def data(self) -> tuple[str, ...]:
        """Labels of data sets, sorted by domain."""
        spec = {label.data: record.data for label, record in zip(self.labels, self.records, strict=True)}
        return tuple(sorted(spec, key=lambda name: (domain_order(domain_of(spec[name])), name)))

    @cached_property
    def domains(self) -> Mapping[str, str]:
        """Label of a data set → its domain, ``other`` if it is unknown."""
        return {label.data: domain_of(record.data) for label, record in zip(self.labels, self.records, strict=True)}

    @cached_property
    def recipes(self) -> tuple[str, ...]:
        """Labels of the recipes in the main table, in reading order."""
        return ordered_recipes(self.labels[i].recipe for i in self._scored)

    @cached_property
    def _scored(self) -> list[int]:
        return [i for i, record in enumerate(self.records) if not _is_analysis(record.protocol)]

    @cached_property
    def layers(self) -> Mapping[str, tuple[str, ...]]:
        """Label of a model → its layers under all protocols, the deepest last."""
        layers: dict[str, set[str]] = {}
        for label, record in zip(self.labels, self.records, strict=True):
            layers.setdefault(label.model, set()).add(record.layer)
        return {model: tuple(by_depth(names)) for model, names in layers.items()}

    @cached_property
    def by_layer(self) -> Mapping[tuple[str, str, str, str], ResultCell]:
        """(recipe, model, data, layer) → cell."""
        groups: dict[tuple[str, str, str, str], list[int]] = {}
        for i in self._scored:
            label = self.labels[i]
            key = (label.recipe, label.model, label.data, self.records[i].layer)
            groups.setdefault(key, []).append(i)
        return {key: self._cell(indices) for key, indices in groups.items()}

    def _cell(self, indices: Sequence[int]) -> ResultCell:
        records = [self.records[i] for i in indices]
        value, interval = seed_mean(
            [r.value for r in records], [r.ci_low for r in records], [r.ci_high for r in records]
        )
        trained_on = any(r.trained_on for r in records)
        return ResultCell(value, interval, records[0].metric, tuple(indices), trained_on)

    @cached_property
    def cells(self) -> Mapping[tuple[str, str, str], ResultCell]:
        """(recipe, model, data) → the cell at the model's deepest layer under that recipe."""
        deepest: dict[tuple[str, str], str] = {}
        for recipe, model, _, layer in self.by_layer:
            order = self.layers[model].index
            deepest[recipe, model] = max(deepest.get((recipe, model), layer), layer, key=order)
        return {
            (recipe, model, data): cell
            for (recipe, model, data, layer), cell in self.by_layer.items()
            if deepest[recipe, model] == layer
        }

    @cached_property
    def clear_leaders(self) -> Mapping[tuple[str, str], str]:
        """(recipe, data) → the model that is significantly better than every other model there.

        Pairs of models are tested on the same rows or images, and p is corrected by Holm. If records contain no
        outcomes, the two intervals must not overlap.
        """
        leaders = {}
        for recipe in self.recipes:
            for data in self.data:
                cells = {m: self.cells[recipe, m, data] for m in self.models if (recipe, m, data) in self.cells}
                if len(cells) > 1 and (leader := self._clear_leader(cells)):
                    leaders[recipe, data] = leader
        return leaders

    def _clear_leader(self, cells: Mapping[str, ResultCell]) -> str | None:
        first, *rest = sorted(cells, key=lambda model: -cells[model].value)
        p_values: list[float] = []
        for model in rest:
            p = difference_p(self._units(cells[first]), self._units(cells[model]))
            if p is None:
                p = 0.0 if cells[first].interval.low > cells[model].interval.high else 1.0
            p_values.append(p)
        is_clear = max(holm(p_values)) < ALPHA and cells[first].value > cells[rest[0]].value
        return first if is_clear else None

    def _units(self, cell: ResultCell) -> dict[int, Units]:
        return {self.records[i].seed: self.units[i] for i in cell.records if i in self.units}

    @cached_property
    def ranked(self) -> Mapping[str, Ranked]:
        """Recipe → its ranking; recipes of a single model have none."""
        rankings = {recipe: self._rank(recipe) for recipe in self.recipes}
        return {recipe: ranking for recipe, ranking in rankings.items() if ranking}

    def _rank(self, recipe: str) -> Ranked | None:
        """Rank the models that share enough data sets; None if these are fewer than two.

        The model with the fewest data sets is left out until the others share at least half of the data sets of the
        model that has the most.
        """
        has = {m: {d for d in self.data if (recipe, m, d) in self.cells} for m in self.models}
        kept = sorted((m for m in has if has[m]), key=lambda m: -len(has[m]))
        while kept and 2 * len(set.intersection(*(has[m] for m in kept))) < len(has[kept[0]]):
            kept.pop()
        if len(kept) < 2:
            return None
        shared = tuple(d for d in self.data if all(d in has[m] for m in kept))
        kept = [model for model in self.models if model in kept]
        values = np.array([[self.cells[recipe, m, d].value for d in shared] for m in kept])  # [m, n]
        means = dict(zip(kept, values.mean(axis=1).tolist(), strict=True))
        left_out = tuple(m for m in self.models if has[m] and m not in kept)
        return Ranked(recipe, ranks(kept, values), means, shared, left_out)

    def values(self, ranking: Ranked, models: Sequence[str]) -> NDArray[np.float64]:
        """Return scores ``[m, n]`` of ``models`` on the data sets of a ranking."""
        return np.array([[self.cells[ranking.recipe, m, d].value for d in ranking.data] for m in models])

    def records_of(self, protocol: str) -> list[tuple[int, Label, Result]]:
        """Return index, label and record of each record of one protocol."""
        triples = enumerate(zip(self.labels, self.records, strict=True))
        return [(i, label, record) for i, (label, record) in triples if record.protocol == protocol]


def load_results(store: ResultStore, *, wanted: Mapping[str, Sequence[str]] | None = None) -> ResultTable:
    """Read all records except damaged ones and those of another version, which ``left_out`` names.

    Args:
        store: store of the records.
        wanted: field → the values to keep; an empty sequence keeps all.
    """
    records: list[Result] = []
    units: dict[int, Units] = {}
    left_out: list[str] = []
    older: Counter[str] = Counter()
    for record in store.survey():
        if isinstance(record, OutdatedError):
            older["in an earlier format"] += 1
        elif isinstance(record, DamagedError):
            left_out.append(str(record))
        elif record.version != __version__:
            older[f"of transferkit {record.version}, not {__version__}"] += 1
        elif not record.is_current:
            older["in an earlier format"] += 1
        elif record.protocol not in HIDDEN and _is_wanted(record, wanted or {}):
            if record.outcomes:
                units[len(records)] = Units.of_outcomes(record.outcomes)
            records.append(replace(record, outcomes=None))
    left_out += [_outdated_note(reason, count) for reason, count in older.items()]
    return result_table(records, units=units, left_out=left_out)


def result_table(
    records: Iterable[Result], *, units: Mapping[int, Units] | None = None, left_out: Iterable[str] = ()
) -> ResultTable:
    """Label the records, with different labels for different models, data sets and recipes.

    Args:
        records: any number of records.
        units: record index → outcomes of its rows or episodes; by default, those that the records contain.
        left_out: sentences about records that are not among these.
    """
    records = tuple(records)
    if units is None:
        units = {i: Units.of_outcomes(r.outcomes) for i, r in enumerate(records) if r.outcomes}
    kept = tuple(replace(record, outcomes=None) for record in records)
    return ResultTable(kept, tuple(labels_of(kept)), units, tuple(left_out))


def _is_wanted(record: Result, wanted: Mapping[str, Sequence[str]]) -> bool:
    return all(not values or getattr(record, name) in values for name, values in wanted.items())


def _outdated_note(reason: str, count: int) -> str:
    records = "1 record is" if count == 1 else f"{count} records are"
    return f"{records} {reason}, and may have been computed differently. Run the same commands again to recompute."
