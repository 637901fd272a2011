"""Worlds in which models are compared over data sets and seeds: what ``intervals`` counts of them."""

from collections.abc import Callable, Iterator
from itertools import product

import numpy as np
from scipy.stats import norm

from tests.benchmarks.coverage import Floats, Found, Setting, latent, names
from tests.reports.records import record
from transferkit.analysis.transferability.agreement import rank_correlation
from transferkit.core.comparison import over_sets
from transferkit.core.outcomes import Outcomes, row_outcomes
from transferkit.core.proportions import accuracy_interval
from transferkit.core.statistics import t_interval
from transferkit.reports.result_table import result_table
from transferkit.reports.statistics import Units, difference_p, pairs, ranks, seed_mean
from transferkit.reports.terminal import mean_interval


def over_data_sets() -> Iterator[Setting]:
    kinds: dict[str, Callable[[np.random.Generator, int], Floats]] = {
        "normal": lambda rng, n: rng.normal(size=n),
        "long tails": lambda rng, n: rng.standard_t(3, size=n),
        "skewed": lambda rng, n: rng.gamma(4, size=n) - 4,
    }
    for (kind, make), n in product(kinds.items(), (5, 6, 12, 30)):

        def draw(rng: np.random.Generator, make: Callable = make, n: int = n, skewed: bool = kind == "skewed") -> Found:
            found = over_sets((0.02 * make(rng, n)).tolist())
            # equal models may well change places, so that their differences are not skewed
            return found.difference, found.interval, None if skewed else found.p

        yield Setting("mean difference over data sets", f"{n} sets, {kind}", draw, 0.0)

        def inverted(rng: np.random.Generator, make: Callable = make, n: int = n) -> Found:
            psnr = 20 + make(rng, n)
            return psnr.mean(), t_interval(psnr), None

        yield Setting("PSNR of inverted images", f"{n} images, {kind}", inverted, 20.0)
    for models in (5, 15):

        def agreement(rng: np.random.Generator, models: int = models) -> Found:
            reached = rng.normal(size=(12, models))
            scores = reached + rng.normal(size=reached.shape)
            taus = [rank_correlation(a, b).value for a, b in zip(scores, reached, strict=True)]
            return float(np.mean(taus)), t_interval(taus), None

        yield Setting("mean weighted τ over data sets", f"{models} models, 12 sets", agreement)


def several_models() -> Iterator[Setting]:
    """``m`` equally good models on ``n`` data sets, and others that are worse or noisier."""
    for m, n, others in ((3, 5, 0), (5, 12, 0), (10, 12, 0), (10, 30, 0), (2, 12, 3), (3, 12, 7)):

        def values(rng: np.random.Generator, m: int, n: int, others: int) -> Floats:
            worse = -0.04 * np.arange(1, others + 1)
            level = np.concatenate([np.zeros(m), worse])
            return rng.normal(size=n) + level[:, None] + 0.02 * rng.normal(size=(m + others, n))

        def apart(rng: np.random.Generator, m: int = m, n: int = n, others: int = others) -> Found:
            found = ranks(names(np.arange(m + others)), values(rng, m, n, others))
            equal = set(names(np.arange(m)))
            return 0.0, None, float(not any(set(found.beaten_by(one)) & equal for one in equal))

        def paired_off(rng: np.random.Generator, m: int = m, n: int = n, others: int = others) -> Found:
            found = pairs(names(np.arange(m + others)), values(rng, m, n, others))
            equal = set(names(np.arange(m)))
            return 0.0, None, min(one.p_holm for one in found if {one.a, one.b} <= equal)

        def best(rng: np.random.Generator, m: int = m, n: int = n, others: int = others) -> Found:
            own = values(rng, m, n, others)
            first, second = np.argsort(-own.mean(1))[:2].tolist()
            told = {pair.b: pair.p_holm for pair in pairs(list(range(len(own))), own) if pair.a == first}
            return 0.0, None, 1.0 if max(first, second) >= m else told[second]

        words = f"{m} equal models, {others} others, {n} sets"
        yield Setting("better by mean rank (Friedman, Nemenyi)", words, apart, cost=2)
        yield Setting("pairs over data sets (Wilcoxon, Holm)", words, paired_off, cost=4)
        yield Setting("best against second-best of several models", words, best, cost=4)


def clear_leaders() -> Iterator[Setting]:
    for m, n, size in ((2, 200, 1), (5, 200, 1), (5, 100, 5)):

        def draw(rng: np.random.Generator, m: int = m, n: int = n, size: int = size) -> Found:
            group = np.arange(n) // size
            correct = latent(rng, group, 0.3 if size > 1 else 0, m) < norm.ppf(0.8)
            ids, of = names(np.arange(n)), names(group) if size > 1 else None
            records = [
                record(name, "d", own.mean(), outcomes=row_outcomes(ids, own, groups=of))
                for name, own in zip("abcde", correct, strict=False)
            ]
            return 0.0, None, float(not result_table(records).clear_leaders)

        yield Setting("bold: better than every other model", f"{m} models, {n} rows in groups of {size}", draw, cost=3)

    def means(rng: np.random.Generator) -> Found:
        """Compute the interval of the mean over twelve data sets that are the same in each draw."""
        records = []
        for data in range(12):
            for model in "ab":
                own = accuracy_interval(correct := rng.random(100 + 20 * data) < 0.5 + data / 30)
                low, high = own.low, own.high
                records.append(record(model, f"d{data}", float(correct.mean()), ci_low=low, ci_high=high))
        (one,) = (found := result_table(records)).ranked.values()
        return one.means["a"], mean_interval(found, one, "a"), None

    yield Setting("mean over these data sets", "12 sets", means, float(np.mean(0.5 + np.arange(12) / 30)), 3)


def seeds(name: str = "mean over seeds", counts: tuple[int, ...] = (3, 5)) -> Iterator[Setting]:
    for s, deviation in product(counts, (0.005, 0.015, 0.03)):

        def draw(rng: np.random.Generator, s: int = s, deviation: float = deviation) -> Found:
            rows = 500
            chance = (0.75 + deviation * rng.normal(size=(2, s, 1))).clip(0.01, 0.99)
            shared = latent(rng, np.arange(rows), 0, 2)[:, None]  # the same rows are hard for every seed
            correct = np.sqrt(0.7) * shared + np.sqrt(0.3) * rng.normal(size=(2, s, rows)) < norm.ppf(chance)
            a, b = (
                {
                    seed: Units.of_outcomes(Outcomes("rows", "r", 1, tuple(map(int, one))))
                    for seed, one in enumerate(own)
                }
                for own in correct
            )
            each = [accuracy_interval(one) for one in correct[0]]
            values = correct[0].mean(1).tolist()
            value, interval = seed_mean(values, [i.low for i in each], [i.high for i in each])
            return value, interval, difference_p(a, b)

        yield Setting(name, f"{s} seeds that deviate by {deviation}", draw, cost=4)
