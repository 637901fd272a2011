"""Comparisons by their definitions, in plain loops."""

import itertools


def paired_bootstrap(a, b, draws, choose):
    """Percentiles of mean(a) − mean(b) over resamples of the pairs; ``choose(n)`` is a random row."""
    n = len(a)
    found = []
    for _ in range(draws):
        rows = [choose(n) for _ in range(n)]
        found.append(sum(a[i] for i in rows) / n - sum(b[i] for i in rows) / n)
    found.sort()
    return found[int(0.025 * draws)], found[int(0.975 * draws)]


def signed_rank_p(differences):
    """Every way of signing the ranks, counted."""
    kept = [d for d in differences if d != 0]
    ranks = []
    for d in kept:
        less = sum(abs(e) < abs(d) for e in kept)
        same = sum(abs(e) == abs(d) for e in kept)
        ranks.append(less + (same + 1) / 2)
    positive = sum(r for r, d in zip(ranks, kept, strict=True) if d > 0)
    middle = sum(ranks) / 2
    signs = list(itertools.product((0, 1), repeat=len(ranks)))
    extreme = sum(
        abs(sum(s * r for s, r in zip(sign, ranks, strict=True)) - middle) >= abs(positive - middle) for sign in signs
    )
    return extreme / len(signs)
