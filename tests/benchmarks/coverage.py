"""Counts, over simulated test sets, how often an interval covers and how often a test sees a difference."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from transferkit.core.seeding import generator
from transferkit.core.statistics import Z95, Interval
from transferkit.reports.statistics import ALPHA

Floats = NDArray[np.float64]
Found = tuple[float, Interval | None, float | None]
"""The number, its interval, and the p of a true null hypothesis; None for what there is none of."""


@dataclass(frozen=True)
class Setting:
    """A distribution from which test sets are drawn.

    Attributes:
        name: of the table's line that it belongs to.
        words: what is drawn.
        draw: one test set.
        truth: what the interval is about; None takes the mean over the draws.
        cost: how many times fewer draws are taken.
    """

    name: str
    words: str
    draw: Callable[[np.random.Generator], Found]
    truth: float | None = None
    cost: int = 1


@dataclass(frozen=True)
class Coverage:
    """Rates over the draws of one setting; a rate is None if there is no interval or no test."""

    coverage: float | None
    width: float | None
    false: float | None


def simulated(setting: Setting, draws: int) -> Coverage:
    """Draw test sets and count."""
    rng = generator(0, "coverage", setting.name, setting.words)
    found = [setting.draw(rng) for _ in range(max(50, draws // setting.cost))]
    values = np.array([value for value, _, _ in found])
    truth = values.mean() if setting.truth is None else setting.truth
    made = [interval for _, interval, _ in found if interval is not None and interval.limits]
    tested = [p < ALPHA for _, _, p in found if p is not None]
    covered = np.mean([one.low - 1e-9 <= truth <= one.high + 1e-9 for one in made]) if made else None
    width = np.mean([one.high - one.low for one in made]) / (2 * Z95 * values.std(ddof=1)) if made else None
    return Coverage(covered, width, np.mean(tested) if tested else None)


def latent(rng: np.random.Generator, group: NDArray[np.integer], alike: float, models: int = 1) -> Floats:
    """``[models, n]`` standard normal: rows of one group correlate by ``alike``, models by one half."""
    n, g = len(group), int(group.max()) + 1

    def rows(count: int) -> Floats:
        return np.sqrt(alike) * rng.normal(size=(count, g))[:, group] + np.sqrt(1 - alike) * rng.normal(size=(count, n))

    return np.sqrt(0.5) * rows(1) + np.sqrt(0.5) * rows(models)


def uneven(rng: np.random.Generator, groups: int, size: int) -> NDArray[np.int64]:
    """Group numbers ``[n]`` of groups of ``size`` rows on average, of 1 row at least."""
    return np.repeat(np.arange(groups), 1 + rng.poisson(size - 1, size=groups))


def names(group: NDArray[np.integer]) -> list[str]:
    return list(map(str, group.tolist()))


def lines(found: Sequence[tuple[Setting, Coverage]]) -> Iterator[str]:
    """Yield a line per number: the lowest coverage, the widest interval and the most false differences."""
    yield "| number | settings | coverage | width | false positives |"
    yield "|---|---|---|---|---|"
    for name in dict.fromkeys(setting.name for setting, _ in found):
        own = [coverage for setting, coverage in found if setting.name == name]
        cells = [str(len(own))]
        for what, form in (("coverage", "{:.2f}"), ("width", "{:.2f}"), ("false", "{:.1%}")):
            values = [value for one in own if (value := getattr(one, what)) is not None]
            low, high = (form.format(end(values)) if values else "–" for end in (min, max))
            cells.append(low if low == high else f"{low} – {high}")
        yield f"| {name} | {' | '.join(cells)} |"
