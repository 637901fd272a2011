"""Calibration by its formulas, in float64 and plain loops."""

import math


def expected_calibration_error(probabilities, labels, bins):
    """Rows are sorted into bins (lower, upper] by confidence; Σ |accuracy − confidence| · share."""
    total = 0.0
    for b in range(bins):
        members = []
        for row, label in zip(probabilities, labels, strict=True):
            confidence = float(max(row))
            if b / bins < confidence <= (b + 1) / bins:
                members.append((confidence, float(list(row).index(max(row)) == label)))
        if members:
            confidence = sum(m[0] for m in members) / len(members)
            accuracy = sum(m[1] for m in members) / len(members)
            total += abs(accuracy - confidence) * len(members) / len(labels)
    return total


def negative_log_likelihood(probabilities, labels):
    return -sum(math.log(float(row[y])) for row, y in zip(probabilities, labels, strict=True)) / len(labels)


def brier_score(probabilities, labels):
    return sum(
        (float(p) - (j == y)) ** 2
        for row, y in zip(probabilities, labels, strict=True)
        for j, p in enumerate(row)
    ) / len(labels)
