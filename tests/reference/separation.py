"""Numbers of pairs of rows, pair by pair, in float64."""

import math

import numpy as np


def squared(a, b):
    return sum((float(p) - float(q)) ** 2 for p, q in zip(a, b, strict=True))


def cosine(a, b):
    """1 - cosine similarity."""
    inner = sum(float(p) * float(q) for p, q in zip(a, b, strict=True))
    return 1 - inner / math.sqrt(squared(a, [0] * len(a)) * squared(b, [0] * len(b)))


def intra(x, labels, distance):
    pairs = [(i, j) for i in range(len(x)) for j in range(len(x)) if i != j and labels[i] == labels[j]]
    return sum(distance(x[i], x[j]) for i, j in pairs) / len(pairs)


def inter(x, labels, distance):
    pairs = [(i, j) for i in range(len(x)) for j in range(len(x)) if labels[i] != labels[j]]
    return sum(distance(x[i], x[j]) for i, j in pairs) / len(pairs)


def class_separation(x, labels):
    """Equation 11 of Kornblith et al. 2021, each class's rows against each class's rows."""
    classes = [[row for row, y in zip(x, labels, strict=True) if y == c] for c in sorted(set(labels))]
    k = len(classes)
    within = sum(cosine(a, b) / (k * len(c) ** 2) for c in classes for a in c for b in c)
    total = sum(cosine(a, b) / (k**2 * len(c) * len(e)) for c in classes for e in classes for a in c for b in e)
    return 1 - within / total


def uniformity(x):
    """‖u - v‖² is twice the cosine distance."""
    kernel = [math.exp(-2 * 2 * cosine(x[i], x[j])) for i in range(len(x)) for j in range(len(x)) if i != j]
    return math.log(sum(kernel) / len(kernel))


def effective_rank(x):
    singular = np.linalg.svd(np.asarray(x, dtype=np.float64), compute_uv=False)
    share = singular / singular.sum()
    return math.exp(-sum(p * math.log(p) for p in share if p > 0))


def spectrum_decay(x, first, last):
    """Weighted least squares of log λ on log rank, by the normal equations of slope and intercept."""
    values = np.linalg.eigvalsh(np.cov(np.asarray(x, dtype=np.float64), rowvar=False))[::-1]
    ranks = range(first, last + 1)
    design = np.array([[math.log(j), 1.0] for j in ranks])
    weight = np.diag([1 / j for j in ranks])
    target = np.array([math.log(values[j - 1]) for j in ranks])
    slope, _ = np.linalg.solve(design.T @ weight @ design, design.T @ weight @ target)
    return -slope
