"""Weighted k-nearest-neighbour classification by its definition, in float64 and plain loops."""

import math


def cosine_scores(queries, bank, labels, k, temperature, n_classes):
    """Neighbours vote exp(s / T); rows sum to 1."""
    return [
        vote(
            sorted((-dot(q, row) / math.sqrt(dot(q, q) * dot(row, row)), i) for i, row in enumerate(bank)),
            labels,
            k,
            n_classes,
            lambda s: math.exp(-s / temperature),
        )
        for q in queries
    ]


def euclidean_scores(queries, bank, labels, k, n_classes):
    """Neighbours vote 1 / (distance + 1e-5); rows sum to 1."""
    return [
        vote(
            sorted((math.dist(q, row), i) for i, row in enumerate(bank)),
            labels,
            k,
            n_classes,
            lambda distance: 1 / (distance + 1e-5),
        )
        for q in queries
    ]


def vote(ranked, labels, k, n_classes, weight):
    scores = [0.0] * n_classes
    for value, row in ranked[:k]:
        scores[labels[row]] += weight(value)
    return [score / sum(scores) for score in scores]


def dot(a, b):
    return sum(float(u) * float(v) for u, v in zip(a, b, strict=True))


def cosine_nearness(queries, bank, k):
    """Return the ``k`` most similar rows of each query: ``(cosine, row)``, best first."""
    return [
        ranked(((dot(q, row) / math.sqrt(dot(q, q) * dot(row, row)), i) for i, row in enumerate(bank)), k)
        for q in queries
    ]


def euclidean_nearness(queries, bank, k):
    """The same by less the squared distance."""
    return [ranked(((-(math.dist(q, row) ** 2), i) for i, row in enumerate(bank)), k) for q in queries]


def ranked(pairs, k):
    return sorted(pairs, key=lambda pair: (-pair[0], pair[1]))[:k]
