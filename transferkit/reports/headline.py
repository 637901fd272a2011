"""What the numbers say, in sentences computed from them."""

from collections.abc import Iterator, Sequence

import numpy as np

from ..core.comparison import over_sets
from .evidence import Evidence, Ranked
from .statistics import ALPHA

_MOST_RECIPES = 4


def headline(found: Evidence) -> list[str]:
    """A few sentences, the most important first; none without numbers."""
    said = list(_leaders(found))
    said += _semantics(found)
    said += _prediction(found)
    said += _finetuning(found)
    return said


def _leaders(found: Evidence) -> Iterator[str]:
    ranked = [one for name, one in found.ranked.items() if not name.startswith("semantic")]
    for one in ranked[:_MOST_RECIPES]:
        yield _leader(one, found)


def _leader(one: Ranked, found: Evidence) -> str:
    best, sets = one.best, _sets(len(one.data))
    second = max((m for m in one.means if m != best), key=one.means.__getitem__)
    gaps = found.values(one, [best])[0] - found.values(one, [second])[0]
    against = over_sets(gaps.tolist())
    start = f"Under {one.recipe}, {best} leads with {one.means[best]:.3f} on average over {sets}"
    gap = f"{against.difference:+.3f} against {second}"
    if len(one.data) < 2:
        clear = found.best.get((one.recipe, one.data[0])) == best
        return f"{start}, {gap}; {'significant' if clear else 'not significant'} on its rows."
    spread = f"{against.interval.low:+.3f} to {against.interval.high:+.3f}"
    return f"{start}, {gap} (95 % interval {spread}). {_verdict(one)}"


def _verdict(one: Ranked) -> str:
    ranks, best = one.ranks, one.ranks.models[0]
    if ranks.critical_difference is None:
        return "Two models are too few to rank."
    p = "p < 0.001" if ranks.friedman_p < 0.001 else f"p = {ranks.friedman_p:.3f}"
    if ranks.friedman_p >= ALPHA:
        return f"Over all models the ranks do not differ significantly (Friedman, {p})."
    beaten = ranks.beaten_by(best)
    others = [name for name in ranks.models if name not in beaten and name != best]
    if not beaten:
        return f"The ranks differ (Friedman, {p}), but none is significantly behind {best} (Nemenyi)."
    ahead = f"By rank {best} is significantly ahead of {_listed(beaten)} (Friedman {p}, Nemenyi 5 %)"
    return f"{ahead}; {_listed(others)} cannot be told apart from it." if others else f"{ahead}."


def _semantics(found: Evidence) -> Iterator[str]:
    ranked = [one for name, one in found.ranked.items() if name.startswith("semantic")]
    if ranked:
        parts = [
            f"{one.best} of level {one.recipe.split()[-1]} ({one.means[one.best]:.3f})" for one in ranked
        ]
        yield f"At the last layer the most semantic content is kept by {_listed(parts)}."


def _prediction(found: Evidence) -> Iterator[str]:
    """Which transferability score went along best with measured accuracy, over models and layers."""
    reached = {
        key[1:]: cell.value for key, cell in found.by_layer.items() if key[0].partition(" ")[0] == "linear"
    }
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
        yield (
            f"Of {len(taus)} transferability scores {best} orders models and layers most like linear probes: "
            f"Kendall's τ {np.mean(taus[best]):+.2f} on average over {_sets(len(taus[best]))}."
        )


def _tau(points: Sequence[tuple[float, float]]) -> float:
    from scipy.stats import kendalltau

    tau = float(kendalltau([x for x, _ in points], [y for _, y in points]).statistic)
    return tau if np.isfinite(tau) else 0.0


def _finetuning(found: Evidence) -> Iterator[str]:
    """Whether linear accuracy predicts fine-tuning, over models, data set by data set."""
    tuned = next((r for r in found.recipes if r.partition(" ")[0] == "finetune"), None)
    linear = next((r for r in found.recipes if r.partition(" ")[0] == "linear"), None)
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
        yield (
            f"Linear probes order models as fine-tuning does with Kendall's τ {np.mean(taus):+.2f} on "
            f"average over {_sets(len(taus))}."
        )


def _sets(count: int) -> str:
    return "1 data set" if count == 1 else f"{count} data sets"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
