"""Predictions in one episode by definition, in float64 and plain loops."""

import math


def proto_predictions(support, query):
    """Predict the class of ``query`` ``[q][d]`` by the nearest class mean of ``support`` ``[ways][shots][d]``."""
    means = [[sum(column) / len(rows) for column in zip(*rows, strict=True)] for rows in support]
    return [min(range(len(means)), key=lambda c: math.dist(means[c], q)) for q in query]


def nn_predictions(support, query):
    """Predict the class of the nearest row."""
    return [min(range(len(support)), key=lambda c: min(math.dist(row, q) for row in support[c])) for q in query]
