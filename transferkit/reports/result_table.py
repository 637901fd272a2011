"""Everything that a workspace's records say, read once: cells over seeds, in the order people read in."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from .. import __version__
from ..core.errors import DamagedError
from ..core.record_labels import Label, labels_of, ordered_recipes
from ..core.results import Result, ResultStore
from ..core.statistics import Interval
from .domains import by_domain, domain_of
from .layer_order import by_depth
from .statistics import ALPHA, Ranks, Units, difference_p, holm, ranks, seed_mean

ANALYSES = ("cka", "separation", "transferability", "robustness", "inversion")
"""Protocols that look inside; their records are figures, not rows of the main table."""

UNSEEN = ("finetune-setting",)
"""Protocols whose records only served to choose something."""


@dataclass(frozen=True)
class ResultCell:
    """One number: a model under a recipe on a data set at a layer, over its seeds.

    Attributes:
        value, interval: the mean over seeds; see ``seed_mean``.
        metric: of the records.
        records: which of ``ResultTable.records`` made it, by number.
        seen: whether the model was trained on the data set.
    """

    value: float
    interval: Interval
    metric: str
    records: tuple[int, ...]
    seen: bool = False


@dataclass(frozen=True)
class Ranked:
    """A recipe's models over the data sets that all of them have.

    Attributes:
        recipe: which.
        ranks: over those data sets.
        means: model → mean over them.
        data: the data sets.
        left_out: models that lack too many data sets to be ranked with the others.
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
    """Records and what they are called.

    Attributes:
        records: ``[n]``, without their outcomes.
        labels: ``[n]``, told apart where the same name stands for different things.
        units: record number → what became of each row or episode, where the record says so.
        left_out: a sentence for each record that is not shown, and why.
    """

    records: tuple[Result, ...]
    labels: tuple[Label, ...]
    units: Mapping[int, Units]
    left_out: tuple[str, ...] = ()

    @cached_property
    def models(self) -> tuple[str, ...]:
        """Labels, by their mean value under the first recipe that has them, best first; equals by name."""
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
        """Labels, domain by domain."""
        spec = {label.data: record.data for label, record in zip(self.labels, self.records, strict=True)}
        return tuple(sorted(spec, key=lambda name: (by_domain(domain_of(spec[name])), name)))

    @cached_property
    def domains(self) -> Mapping[str, str]:
        """Data set's label → its domain, ``other`` where nobody says."""
        return {label.data: domain_of(record.data) for label, record in zip(self.labels, self.records, strict=True)}

    @cached_property
    def recipes(self) -> tuple[str, ...]:
        """Labels of what is in the main table, in the order people read in."""
        return ordered_recipes(self.labels[i].recipe for i in self._scored)

    @cached_property
    def _scored(self) -> list[int]:
        return [i for i, record in enumerate(self.records) if record.protocol not in ANALYSES]

    @cached_property
    def layers(self) -> Mapping[str, tuple[str, ...]]:
        """Model's label → its layers under all protocols, the deepest last."""
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
        """(recipe, data) → the model that is significantly better than every other one there.

        Tested pair by pair on the same rows or images and corrected by Holm; where records do not say
        what became of each, the intervals must not touch.
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
        """``[m, n]`` scores of some ranked models on the data sets of a ranking."""
        return np.array([[self.cells[one.recipe, m, d].value for d in one.data] for m in models])

    def only(self, protocol: str) -> list[tuple[int, Label, Result]]:
        """Number, label and record of everything under one protocol."""
        triples = enumerate(zip(self.labels, self.records, strict=True))
        return [(i, label, record) for i, (label, record) in triples if record.protocol == protocol]


def load_results(store: ResultStore, *, wanted: Mapping[str, Sequence[str]] | None = None) -> ResultTable:
    """Read all records; what is damaged or of another version is left out, and named.

    Args:
        store: where they lie.
        wanted: field → the values to keep; all, where there are none.
    """
    records: list[Result] = []
    units: dict[int, Units] = {}
    left_out: list[str] = []
    older: Counter[str] = Counter()
    for found in store.survey():
        if isinstance(found, DamagedError):
            left_out.append(str(found))
        elif found.version != __version__:
            older[f"of transferkit {found.version}, not {__version__}"] += 1
        elif not found.is_current:
            older["of an earlier form"] += 1
        elif found.protocol not in UNSEEN and _is_wanted(found, wanted or {}):
            if found.outcomes:
                units[len(records)] = Units.of_outcomes(found.outcomes)
            records.append(replace(found, outcomes=None))
    left_out += [_older(what, count) for what, count in older.items()]
    return result_table(records, units=units, left_out=left_out)


def result_table(
    records: Iterable[Result], *, units: Mapping[int, Units] | None = None, left_out: Iterable[str] = ()
) -> ResultTable:
    """Name the records, telling apart what only shares a name.

    Args:
        records: any number.
        units: record number → what became of its rows or episodes; read off the records unless given.
        left_out: sentences about what is not among them.
    """
    kept = tuple(records)
    if units is None:
        units = {i: Units.of_outcomes(r.outcomes) for i, r in enumerate(kept) if r.outcomes}
    return ResultTable(kept, tuple(labels_of(kept)), units, tuple(left_out))


def _is_wanted(record: Result, wanted: Mapping[str, Sequence[str]]) -> bool:
    return all(not values or getattr(record, name) in values for name, values in wanted.items())


def _older(what: str, count: int) -> str:
    records = "1 record is" if count == 1 else f"{count} records are"
    return f"{records} {what}, and may have been computed otherwise. Run the same commands again to have them anew."
