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
        (float(p) - (j == y)) ** 2 for row, y in zip(probabilities, labels, strict=True) for j, p in enumerate(row)
    ) / len(labels)


def curve(probabilities, labels, bins):
    """(confidence, accuracy, count) of each bin (lower, upper] of equal width that holds a row."""
    found = []
    for b in range(bins):
        members = []
        for row, label in zip(probabilities, labels, strict=True):
            confidence = float(max(row))
            if b / bins < confidence <= (b + 1) / bins:
                members.append((confidence, float(list(row).index(max(row)) == label)))
        if members:
            n = len(members)
            found.append((sum(m[0] for m in members) / n, sum(m[1] for m in members) / n, n))
    return found


def adaptive_calibration_error(probabilities, labels, bins):
    """Compute the error with bins of equal size; rows of equal confidence are in the same bin."""
    order = sorted((float(max(row)), i) for i, row in enumerate(probabilities))
    n = len(order)
    members = {}
    for place, (confidence, i) in enumerate(order):
        while place > 0 and order[place - 1][0] == confidence:
            place -= 1
        hit = float(list(probabilities[i]).index(max(probabilities[i])) == labels[i])
        members.setdefault(int(bins * place / n), []).append((confidence, hit))
    total = 0.0
    for rows in members.values():
        gap = sum(hit for _, hit in rows) / len(rows) - sum(c for c, _ in rows) / len(rows)
        total += abs(gap) * len(rows) / n
    return total


def scaled(probabilities, temperature):
    """softmax(log p / T), row by row."""
    rows = []
    for row in probabilities:
        powers = [math.exp(math.log(float(p)) / temperature) for p in row]
        rows.append([p / sum(powers) for p in powers])
    return rows


def best_temperature(probabilities, labels, low=0.01, high=100.0):
    """Golden-section search over log T for the lowest negative log-likelihood."""
    ratio = (math.sqrt(5) - 1) / 2
    a, b = math.log(low), math.log(high)

    def loss(log_t):
        return negative_log_likelihood(scaled(probabilities, math.exp(log_t)), labels)

    while b - a > 1e-7:
        left, right = b - ratio * (b - a), a + ratio * (b - a)
        if loss(left) < loss(right):
            b = right
        else:
            a = left
    return math.exp((a + b) / 2)
