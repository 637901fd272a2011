"""What the numbers say, in sentences computed from them."""

from collections.abc import Iterator, Sequence

import numpy as np

from .result_table import Ranked, ResultTable
from .statistics import ALPHA, pairs

_MOST_NAMED = 3
"""Models that a sentence names; of more it says how many."""

_ALIKE = 0.5
"""Kendall's τ from which two orders are called alike: three of four pairs stand the same way round."""


NOTHING_TO_COMPARE = "With one model, or none, there is nothing to compare yet: probe another one on the same data."


def headline(found: ResultTable) -> list[str]:
    """A few sentences, the most important first; none without numbers."""
    said = [_best_of(one, found) for one in _told(found)]
    said += _semantics(found)
    said += _prediction(found)
    said += _finetuning(found)
    return said


def _told(found: ResultTable) -> Iterator[Ranked]:
    """The ranking of each protocol that scores whole tasks: of several settings, that of most numbers."""
    by_protocol: dict[str, list[Ranked]] = {}
    for name, one in found.ranked.items():
        by_protocol.setdefault(name.partition(" ")[0], []).append(one)
    for protocol, own in by_protocol.items():
        if protocol != "semantic":
            yield max(own, key=lambda one: len(one.means) * len(one.data))


def _best_of(one: Ranked, found: ResultTable) -> str:
    if len(one.data) > 1:
        start = f"Under {one.recipe}, {one.best} has the highest mean over {len(one.data)} data sets"
        return f"{start}: {_lead(one, found)}. {_verdict(one)}"
    (data,) = one.data
    surely = "significantly" if found.best.get((one.recipe, data)) == one.best else "not significantly"
    start = f"Under {one.recipe}, {one.best} scores highest on {data}: {_lead(one, found)}."
    return f"{start} On its rows it is {surely} better than every other model."


def _lead(one: Ranked, found: ResultTable) -> str:
    """The mean of the best model, by how much it lies above the next, and whether that may be chance.

    Both are chosen by the very numbers that are told, so that an interval of their difference would promise
    too much; the p is corrected for all pairs that could have been these two.
    """
    second = max((m for m in one.means if m != one.best), key=one.means.__getitem__)
    lead = f"{one.means[one.best]:.3f}, {one.means[one.best] - one.means[second]:+.3f} against {second}"
    if len(one.data) < 2:
        return lead
    models = list(one.means)
    tested = {pair.b: pair for pair in pairs(models, found.values(one, models)) if pair.a == one.best}
    p = tested[second].p_holm
    shown = "p < 0.001" if p < 0.0005 else f"p = {p:.3f}"
    corrected = "" if len(models) == 2 else ", corrected by Holm"
    return f"{lead} ({'' if p < ALPHA else 'perhaps chance: '}Wilcoxon{corrected}, {shown})"


def _verdict(one: Ranked) -> str:
    """What may be said of the ranks of all models."""
    ranks = one.ranks
    rank_of = dict(zip(ranks.models, ranks.mean_ranks, strict=True))
    first = one.best if rank_of[one.best] == ranks.mean_ranks[0] else ranks.models[0]
    if ranks.critical_difference is None:
        return "Two models are too few to rank."
    p = "p < 0.001" if ranks.friedman_p < 0.001 else f"p = {ranks.friedman_p:.3f}"
    if ranks.friedman_p >= ALPHA:
        return f"The ranks of the {len(ranks.models)} models do not differ significantly (Friedman, {p})."
    place = "it is" if first == one.best else f"{first} is first,"
    ahead = _behind(ranks.beaten_by(first), len(ranks.models) - 1)
    return f"By mean rank {place} significantly ahead of {ahead} (Friedman, {p}; Nemenyi at 5 %)."


def _behind(beaten: Sequence[str], others: int) -> str:
    """Models by name, or how many."""
    if not beaten:
        return "none"
    if len(beaten) == others:
        return "all others"
    return f"{len(beaten)} of the {others} others" + (f": {_listed(beaten)}" if len(beaten) <= _MOST_NAMED else "")


def _semantics(found: ResultTable) -> Iterator[str]:
    for name, one in found.ranked.items():
        protocol, _, level = name.partition(" ")
        if protocol == "semantic":
            start = f"At the last layer {one.best} keeps most semantic content of level {level}"
            yield f"{start}: {_lead(one, found)}."


def _prediction(found: ResultTable) -> Iterator[str]:
    """Which transferability score went along best with measured accuracy, over models and layers."""
    linear = _fullest(found, "linear")
    reached = {key[1:]: cell.value for key, cell in found.by_layer.items() if key[0] == linear}
    places: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for _, label, record in found.only("transferability"):
        key = label.model, label.data, record.layer
        if key in reached:
            points = places.setdefault(record.metric, {}).setdefault(label.data, [])
            points.append((record.value, reached[key]))
    taus = {
        score: found_taus
        for score, sets in places.items()
        if (found_taus := [_tau(points) for points in sets.values() if len(points) >= 3])
    }
    if taus:
        best = max(taus, key=lambda score: float(np.mean(taus[score])))
        of = f"the best of {len(taus)} transferability scores" if len(taus) > 1 else "a transferability score"
        yield f"{best}, {of}, {_likeness(taus[best], 'models and layers', 'linear probing')}"


def _finetuning(found: ResultTable) -> Iterator[str]:
    """Whether linear accuracy predicts fine-tuning, over models, data set by data set."""
    tuned, linear = _fullest(found, "finetune"), _fullest(found, "linear")
    if tuned is None or linear is None:
        return
    taus = []
    for data in found.data:
        both = [
            (found.cells[linear, m, data].value, found.cells[tuned, m, data].value)
            for m in found.models
            if (linear, m, data) in found.cells and (tuned, m, data) in found.cells
        ]
        if len(both) >= 3:
            taus.append(_tau(both))
    if taus:
        yield f"Linear probing {_likeness(taus, 'models', 'fine-tuning')}"


def _fullest(found: ResultTable, protocol: str) -> str | None:
    """Of the recipes of a protocol that of most cells; the first of equals."""
    own = [recipe for recipe in found.recipes if recipe.partition(" ")[0] == protocol]
    return max(own, key=lambda name: sum(key[0] == name for key in found.cells), default=None)


def _likeness(taus: Sequence[float], what: str, other: str) -> str:
    """The end of a sentence on two orders: alike, opposite, or neither."""
    tau = float(np.mean(taus))
    if tau >= _ALIKE:
        order = f"orders {what} much as {other} does"
    elif tau <= -_ALIKE:
        order = f"orders {what} the other way round from {other}"
    else:
        order = f"says little about the order that {other} gives {what}"
    mean = "" if len(taus) == 1 else " on average"
    return f"{order}: Kendall's τ {tau:+.2f}{mean} over {_sets(len(taus))}."


def _tau(points: Sequence[tuple[float, float]]) -> float:
    from scipy.stats import kendalltau

    tau = float(kendalltau([x for x, _ in points], [y for _, y in points]).statistic)
    return tau if np.isfinite(tau) else 0.0


def _sets(count: int) -> str:
    return "1 data set" if count == 1 else f"{count} data sets"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
