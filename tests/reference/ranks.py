"""Ranks, Friedman's statistic and Holm's correction by counting, as their papers write them."""

import math


def mean_ranks(values):
    """``values[model][data set]`` → the mean rank of each model; equal ones share their places' mean."""
    models, sets = len(values), len(values[0])
    found = []
    for i in range(models):
        total = 0.0
        for j in range(sets):
            better = sum(values[k][j] > values[i][j] for k in range(models))
            equal = sum(values[k][j] == values[i][j] for k in range(models))
            total += better + (equal + 1) / 2
        found.append(total / sets)
    return found


def friedman_statistic(values):
    """12 N / (k (k + 1)) · (Σ R² − k (k + 1)² / 4); of values without ties."""
    k, n = len(values), len(values[0])
    squares = math.fsum(rank**2 for rank in mean_ranks(values))
    return 12 * n / (k * (k + 1)) * (squares - k * (k + 1) ** 2 / 4)


def chi_square_tail(x, freedom):
    """P(X > x), even degrees of freedom: a sum of Poisson terms."""
    assert freedom % 2 == 0
    return math.exp(-x / 2) * math.fsum((x / 2) ** i / math.factorial(i) for i in range(freedom // 2))


def holm(p):
    """Step down: the i-th smallest of k times k − i + 1, and at least every smaller one's correction."""
    order = sorted(range(len(p)), key=lambda i: p[i])
    found = [0.0] * len(p)
    for place, i in enumerate(order):
        found[i] = max(min(1.0, (len(p) - j) * p[order[j]]) for j in range(place + 1))
    return found
