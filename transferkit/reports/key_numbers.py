"""Key numbers: sentences that are computed from the results."""

from collections.abc import Iterator, Sequence

import numpy as np

from .result_table import Ranked, ResultTable
from .statistics import ALPHA, pairs

_MAX_NAMED = 3
"""Maximum number of models that a sentence names; of more models it reports the number."""

_SIMILAR_TAU = 0.5
"""Minimum Kendall's τ of two similar rankings: three of four pairs have the same order."""


NOTHING_TO_COMPARE = (
    "There is nothing to compare yet: fewer than 2 models have results. Probe another model on the same data."
)


def key_numbers(found: ResultTable) -> list[str]:
    """Return a few sentences, the most important first; none if there is nothing to compare."""
    sentences = [_best_model(one, found) for one in _largest_rankings(found)]
    sentences += _semantics(found)
    sentences += _prediction(found)
    sentences += _finetuning(found)
    return sentences


def _largest_rankings(found: ResultTable) -> Iterator[Ranked]:
    """Yield one ranking per protocol that scores whole tasks: of several settings, the one with the most values."""
    by_protocol: dict[str, list[Ranked]] = {}
    for name, one in found.ranked.items():
        by_protocol.setdefault(name.partition(" ")[0], []).append(one)
    for protocol, own in by_protocol.items():
        if protocol != "semantic":
            yield max(own, key=lambda one: len(one.means) * len(one.data))


def _best_model(one: Ranked, found: ResultTable) -> str:
    if len(one.data) > 1:
        start = f"Under {one.recipe}, {one.best} has the highest mean over {len(one.data)} data sets"
        return f"{start}: {_lead(one, found)}. {_rank_test(one)}"
    (data,) = one.data
    adverb = "significantly" if found.clear_leaders.get((one.recipe, data)) == one.best else "not significantly"
    start = f"Under {one.recipe}, {one.best} scores highest on {data}: {_lead(one, found)}."
    return f"{start} On this data set it is {adverb} better than every other model."


def _lead(one: Ranked, found: ResultTable) -> str:
    """Return the mean of the best model, its difference from the second, and whether that is significant.

    The reported numbers themselves select the two models, so that an interval of their difference would be too
    narrow; p is corrected for all pairs that could have been these two.
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
    return f"{lead} ({'' if p < ALPHA else 'not significant: '}Wilcoxon{corrected}, {shown})"


def _rank_test(one: Ranked) -> str:
    """Return the result of the tests of Friedman and Nemenyi on the ranks of all models."""
    ranks = one.ranks
    rank_of = dict(zip(ranks.models, ranks.mean_ranks, strict=True))
    first = one.best if rank_of[one.best] == ranks.mean_ranks[0] else ranks.models[0]
    if ranks.critical_difference is None:
        return "Two models are too few to rank."
    p = "p < 0.001" if ranks.friedman_p < 0.001 else f"p = {ranks.friedman_p:.3f}"
    if ranks.friedman_p >= ALPHA:
        return f"The ranks of the {len(ranks.models)} models do not differ significantly (Friedman, {p})."
    subject = "it is" if first == one.best else f"{first} is first and"
    outperformed = _outperformed(ranks.beaten_by(first), len(ranks.models) - 1)
    return f"By mean rank {subject} significantly better than {outperformed} (Friedman, {p}; Nemenyi at 5 %)."


def _outperformed(beaten: Sequence[str], others: int) -> str:
    """Return the number of outperformed models, with their names if they are few."""
    if not beaten:
        return "no other model"
    if len(beaten) == others:
        return "all other models"
    names = f": {_listed(beaten)}" if len(beaten) <= _MAX_NAMED else ""
    return f"{len(beaten)} of the {others} other models{names}"


def _semantics(found: ResultTable) -> Iterator[str]:
    for name, one in found.ranked.items():
        protocol, _, level = name.partition(" ")
        if protocol == "semantic":
            start = f"At the last layer {one.best} has the most semantic content of level {level}"
            yield f"{start}: {_lead(one, found)}."


def _prediction(found: ResultTable) -> Iterator[str]:
    """Report the transferability score that agrees best with measured accuracy, over models and layers."""
    linear = _fullest(found, "linear")
    reached = {key[1:]: cell.value for key, cell in found.by_layer.items() if key[0] == linear}
    points_by_score: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for _, label, record in found.records_of("transferability"):
        key = label.model, label.data, record.layer
        if key in reached:
            points = points_by_score.setdefault(record.metric, {}).setdefault(label.data, [])
            points.append((record.value, reached[key]))
    taus = {
        score: found_taus
        for score, sets in points_by_score.items()
        if (found_taus := [_tau(points) for points in sets.values() if len(points) >= 3])
    }
    if taus:
        best = max(taus, key=lambda score: float(np.mean(taus[score])))
        kind = f"the best of {len(taus)} transferability scores" if len(taus) > 1 else "a transferability score"
        yield f"{best}, {kind}, {_agreement(taus[best], 'models and layers', 'linear probing')}"


def _finetuning(found: ResultTable) -> Iterator[str]:
    """Report how well linear accuracy predicts the ranking of models under fine-tuning, averaged over data sets."""
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
        yield f"Linear probing {_agreement(taus, 'models', 'fine-tuning')}"


def _fullest(found: ResultTable, protocol: str) -> str | None:
    """Return the recipe of a protocol with the most cells; the first one of equals."""
    own = [recipe for recipe in found.recipes if recipe.partition(" ")[0] == protocol]
    return max(own, key=lambda name: sum(key[0] == name for key in found.cells), default=None)


def _agreement(taus: Sequence[float], items: str, other: str) -> str:
    """Return the predicate of a sentence on two rankings: similar, opposite, or neither."""
    tau = float(np.mean(taus))
    if tau >= _SIMILAR_TAU:
        predicate = f"ranks {items} similarly to {other}"
    elif tau <= -_SIMILAR_TAU:
        predicate = f"ranks {items} in nearly the opposite order to {other}"
    else:
        predicate = f"predicts the ranking of {items} under {other} poorly"
    mean = "" if len(taus) == 1 else " on average"
    return f"{predicate}: Kendall's τ {tau:+.2f}{mean} over {_sets(len(taus))}."


def _tau(points: Sequence[tuple[float, float]]) -> float:
    from scipy.stats import kendalltau

    tau = float(kendalltau([x for x, _ in points], [y for _, y in points]).statistic)
    return tau if np.isfinite(tau) else 0.0


def _sets(count: int) -> str:
    return "1 data set" if count == 1 else f"{count} data sets"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
