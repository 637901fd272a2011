"""Differences, intervals and tables of the page of findings."""

import textwrap
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from scipy.stats import t as student

from transferkit.analysis.transferability.agreement import rank_correlation
from transferkit.mini import DOWNSTREAM

BASELINES = ("ce", "ce-strong")

Values = dict[str, NDArray[np.float64]]
"""Values by model, ``[seeds, sets]``."""


def difference(a: NDArray[np.float64], b: NDArray[np.float64]) -> tuple[float, float]:
    """Return the mean difference and half of its 95 % interval over data sets and seeds.

    With ``s`` seeds of a model, ``v[s]`` the mean over the sets of each seed and ``g[n]`` the differences on
    the ``n`` sets, seeds averaged, the squared standard error is ``var(g) / n + var(v_a) / s_a + var(v_b) /
    s_b``. Student's t has Satterthwaite's degrees of freedom. Variation that sets and seeds share is counted
    twice, which makes the interval wider rather than narrower. A model with one seed adds no term.

    Args:
        a: ``[s_a, n]`` values of the first model.
        b: ``[s_b, n]`` values of the second.
    """
    gaps = a.mean(0) - b.mean(0)  # [n]
    parts = [(gaps.var(ddof=1) / len(gaps), len(gaps) - 1)]
    parts += [(seeds.mean(1).var(ddof=1) / len(seeds), len(seeds) - 1) for seeds in (a, b) if len(seeds) > 1]
    squared = sum(part for part, _ in parts)
    if not squared:
        return float(gaps.mean()), 0.0
    freedom = squared**2 / sum(part**2 / degrees for part, degrees in parts)
    return float(gaps.mean()), float(student.ppf(0.975, freedom) * np.sqrt(squared))


def shown(gap: tuple[float, float]) -> str:
    """Return a difference with its interval as text."""
    mean, half = gap
    return f"{mean:+.3f} ({mean - half:+.3f} to {mean + half:+.3f})"


def verdict(gap: tuple[float, float]) -> str:
    """Return ``higher`` or ``lower`` if the interval excludes 0, and otherwise ``not told apart``."""
    mean, half = gap
    return "higher" if mean > half else "lower" if mean < -half else "not told apart"


def summary(verdicts: Sequence[str]) -> str:
    """Sum up the comparisons of one claim in a sentence."""
    higher, lower = verdicts.count("higher"), verdicts.count("lower")
    if higher == len(verdicts):
        answer = "The claim holds here"
    elif higher > lower == 0:
        answer = "The claim holds in part here"
    elif higher:
        answer = "The answer is mixed here"
    else:
        answer = "The claim does not hold here" if lower else "The claim is neither confirmed nor contradicted here"
    return textwrap.fill(
        f"**{answer}**: of {len(verdicts)} differences {higher} are above 0, {lower} are below, and the "
        f"intervals of {len(verdicts) - higher - lower} include 0.",
        108,
    )


def correlations(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the weighted τ ``[sets]`` of values ``[models, sets]``; 0 for a set where it is undefined."""
    return np.array([rank_correlation(x, y).value or 0.0 for x, y in zip(a.T, b.T, strict=True)])


def table(values: Values, source: dict[str, float]) -> str:
    """Return a table with one line per model, best first."""
    means = {name: value.mean(0) for name, value in values.items()}  # [sets]
    ranks = np.mean([rankdata(-column) for column in np.array(list(means.values())).T], axis=0)
    rank = dict(zip(means, ranks, strict=True))
    lines = [
        "*Source* is the k-NN accuracy on held-out images of the source data set. The mean rank is over the sets;\n"
        f"1 is the best of {len(means)}.\n\n",
        "| model | source | mean accuracy | range of seeds | mean rank | minus `ce` | minus `ce-strong` |\n",
        "|---|---|---|---|---|---|---|\n",
    ]
    for name in sorted(means, key=lambda name: -means[name].mean()):
        seeds = values[name].mean(1)
        spread = f"{seeds.min():.3f} – {seeds.max():.3f}" if len(seeds) > 1 else "–"
        gaps = ["–" if name == base else shown(difference(values[name], values[base])) for base in BASELINES]
        lines.append(
            f"| `{name}` | {f'{source[name]:.3f}' if name in source else '–'} | {means[name].mean():.3f} "
            f"| {spread} | {rank[name]:.1f} | {' | '.join(gaps)} |\n"
        )
    return "".join(lines)


def by_set(values: Values) -> str:
    """Return a table with one line per data set and one column per model."""
    columns = {name: value.mean(0) for name, value in values.items()}
    lines = [
        f"| set | {' | '.join(f'`{name}`' for name in columns)} |\n",
        "|---" * (len(columns) + 1) + "|\n",
    ]
    for index, data in enumerate(DOWNSTREAM):
        lines.append(f"| `{data}` | {' | '.join(f'{c[index]:.3f}' for c in columns.values())} |\n")
    return "".join(lines)
