"""The results of a workspace as one table: records are read once, seeds are averaged, and rows are sorted."""

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
"""Domains in the order of the study's tables."""

OTHER = "other"


@cache
def _known_domains() -> dict[str, str]:
    return {one.name: one.domain for one in known_datasets() if one.domain}


def domain_of(data: str) -> str:
    """Return the domain of a spec, with or without a budget or number after it; ``other`` if it is unknown.

    >>> domain_of("mini/digits"), domain_of("eurosat@shots=5"), domain_of("folder:photos")
    ('symbolic', 'satellite', 'other')
    """
    whole, _ = split_spec(data)
    return _known_domains().get(whole) or _known_domains().get(whole.partition(":")[0]) or OTHER


def by_domain(domain: str) -> int:
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
        value, interval: Mean over seeds and its interval; see ``seed_mean``.
        metric: Metric of the records.
        records: Indices into ``ResultTable.records`` of the records in the mean.
        seen: Whether the model was trained on the data set.
    """

    value: float
    interval: Interval
    metric: str
    records: tuple[int, ...]
    seen: bool = False


@dataclass(frozen=True)
class Ranked:
    """The ranking of a recipe's models over the data sets that all of them share.

    Attributes:
        recipe: The recipe.
        ranks: Ranks over the shared data sets.
        means: model → mean over the shared data sets.
        data: The shared data sets.
        left_out: Models that are not ranked because too many data sets are missing.
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
        units: Record index → outcome of each row or episode, for records that contain outcomes.
        left_out: Sentences that name the records that are not shown, and the reasons.
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
        found: dict[str, None] = {}
        for recipe in self.recipes:
            means = {model: float(np.mean(own)) for model, own in values.get(recipe, {}).items()}
            found |= dict.fromkeys(sorted(means, key=lambda model: (-means[model], model)))
        return tuple(found | dict.fromkeys(label.model for label in self.labels))

    @cached_property
    def data(self) -> tuple[str, ...]:
        """Labels of data sets, sorted by domain."""
        spec = {label.data: record.data for label, record in zip(self.labels, self.records, strict=True)}
        return tuple(sorted(spec, key=lambda name: (by_domain(domain_of(spec[name])), name)))

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
        found: dict[str, set[str]] = {}
        for label, record in zip(self.labels, self.records, strict=True):
            found.setdefault(label.model, set()).add(record.layer)
        return {model: tuple(by_depth(names)) for model, names in found.items()}

    @cached_property
    def by_layer(self) -> Mapping[tuple[str, str, str, str], ResultCell]:
        """(recipe, model, data, layer) → cell."""
        groups: dict[tuple[str, str, str, str], list[int]] = {}
        for i in self._scored:
            label = self.labels[i]
            key = (label.recipe, label.model, label.data, self.records[i].layer)
            groups.setdefault(key, []).append(i)
        return {key: self._cell(own) for key, own in groups.items()}

    def _cell(self, own: Sequence[int]) -> ResultCell:
        records = [self.records[i] for i in own]
        value, interval = seed_mean(
            [r.value for r in records], [r.ci_low for r in records], [r.ci_high for r in records]
        )
        seen = any(r.trained_on for r in records)
        return ResultCell(value, interval, records[0].metric, tuple(own), seen)

    @cached_property
    def cells(self) -> Mapping[tuple[str, str, str], ResultCell]:
        """(recipe, model, data) → the cell at the model's deepest layer under that recipe."""
        deepest: dict[tuple[str, str], str] = {}
        for recipe, model, _, layer in self.by_layer:
            order = self.layers[model].index
            known = deepest.setdefault((recipe, model), layer)
            deepest[recipe, model] = max(known, layer, key=order)
        return {
            (recipe, model, data): cell
            for (recipe, model, data, layer), cell in self.by_layer.items()
            if deepest[recipe, model] == layer
        }

    @cached_property
    def best(self) -> Mapping[tuple[str, str], str]:
        """(recipe, data) → the model that is significantly better than every other model there.

        Pairs of models are tested on the same rows or images, and p is corrected by Holm. If records contain no
        outcomes, the two intervals must not overlap.
        """
        found = {}
        for recipe in self.recipes:
            for data in self.data:
                own = {m: self.cells[recipe, m, data] for m in self.models if (recipe, m, data) in self.cells}
                if len(own) > 1 and (leader := self._clear_leader(own)):
                    found[recipe, data] = leader
        return found

    def _clear_leader(self, own: Mapping[str, ResultCell]) -> str | None:
        first, *rest = sorted(own, key=lambda model: -own[model].value)
        found: list[float] = []
        for model in rest:
            p = difference_p(self._units(own[first]), self._units(own[model]))
            if p is None:
                p = 0.0 if own[first].interval.low > own[model].interval.high else 1.0
            found.append(p)
        return first if max(holm(found)) < ALPHA and own[first].value > own[rest[0]].value else None

    def _units(self, cell: ResultCell) -> dict[int, Units]:
        return {self.records[i].seed: self.units[i] for i in cell.records if i in self.units}

    @cached_property
    def ranked(self) -> Mapping[str, Ranked]:
        """Recipe → its ranking; recipes of a single model have none."""
        found = {recipe: self._ranked(recipe) for recipe in self.recipes}
        return {recipe: one for recipe, one in found.items() if one}

    def _ranked(self, recipe: str) -> Ranked | None:
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

    def values(self, one: Ranked, models: Sequence[str]) -> NDArray[np.float64]:
        """Return scores ``[m, n]`` of ``models`` on the data sets of a ranking."""
        return np.array([[self.cells[one.recipe, m, d].value for d in one.data] for m in models])

    def only(self, protocol: str) -> list[tuple[int, Label, Result]]:
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
    for found in store.survey():
        if isinstance(found, OutdatedError):
            older["in an earlier format"] += 1
        elif isinstance(found, DamagedError):
            left_out.append(str(found))
        elif found.version != __version__:
            older[f"of transferkit {found.version}, not {__version__}"] += 1
        elif not found.is_current:
            older["in an earlier format"] += 1
        elif found.protocol not in HIDDEN and _is_wanted(found, wanted or {}):
            if found.outcomes:
                units[len(records)] = Units.of_outcomes(found.outcomes)
            records.append(replace(found, outcomes=None))
    left_out += [_outdated_note(reason, count) for reason, count in older.items()]
    return result_table(records, units=units, left_out=left_out)


def result_table(
    records: Iterable[Result], *, units: Mapping[int, Units] | None = None, left_out: Iterable[str] = ()
) -> ResultTable:
    """Label the records, with different labels for different models, data sets and recipes.

    Args:
        records: any number of records.
        units: record index → outcomes of its rows or episodes; by default, those of the records.
        left_out: sentences about records that are not among these.
    """
    kept = tuple(records)
    if units is None:
        units = {i: Units.of_outcomes(r.outcomes) for i, r in enumerate(kept) if r.outcomes}
    return ResultTable(kept, tuple(labels_of(kept)), units, tuple(left_out))


def _is_wanted(record: Result, wanted: Mapping[str, Sequence[str]]) -> bool:
    return all(not values or getattr(record, name) in values for name, values in wanted.items())


def _outdated_note(reason: str, count: int) -> str:
    records = "1 record is" if count == 1 else f"{count} records are"
    return f"{records} {reason}, and may have been computed differently. Run the same commands again to recompute."
