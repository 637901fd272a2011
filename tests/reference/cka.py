"""Debiased CKA over all rows by its definition: sums over distinct rows, in float64 and plain loops."""

import math


def cka(x, y):
    """Compute linear CKA of ``x`` ``[n][d1]`` and ``y`` ``[n][d2]``."""
    k, m = gram(x), gram(y)
    return hsic(k, m) / math.sqrt(hsic(k, k) * hsic(m, m))


def gram(x):
    """Inner products, zero on the diagonal."""
    n = len(x)
    return [
        [0.0 if i == j else sum(float(a) * float(b) for a, b in zip(x[i], x[j], strict=True)) for j in range(n)]
        for i in range(n)
    ]


def hsic(k, m):
    """Equation 5 of Song et al. 2012: tr(KL) + 1ᵀK1 1ᵀL1 / ((n-1)(n-2)) - 2/(n-2) 1ᵀKL1, over n (n-3)."""
    n = len(k)
    trace = sum(k[i][j] * m[j][i] for i in range(n) for j in range(n))
    totals = sum(map(sum, k)) * sum(map(sum, m)) / ((n - 1) * (n - 2))
    mixed = sum(k[i][j] * m[j][h] for i in range(n) for j in range(n) for h in range(n))
    return (trace + totals - 2 / (n - 2) * mixed) / (n * (n - 3))
