"""The variance of an accuracy over groups of rows, pair by pair of rows."""

import math


def correlation(residual, variance, label, group, prior, weight):
    """Compute the correlation of two rows of a group from products of residuals, each row with its partners' mean."""
    found, most = weight * prior, weight
    for i, own in enumerate(group):
        partners = [j for j, other in enumerate(group) if other == own and j != i]
        if not partners:
            continue
        rows = [j for j, other in enumerate(label) if other == label[i]]
        fellows = [j for j in partners if label[j] == label[i]]
        for j in partners:
            found += residual[i] * residual[j] / len(partners)
        for _ in fellows:
            found += variance[i] / len(rows) / len(partners)
        most += variance[i] * (1 - len(fellows) / len(partners) * len(fellows) / len(rows))
    return min(1.0, max(0.0, found / most))


def variance_of_mean(weight, variance, group, rho):
    """Compute the variance of a weighted sum over all pairs of rows; rows of one group have the correlation ``rho``."""
    total = 0.0
    for i in range(len(group)):
        for j in range(len(group)):
            alike = 1.0 if i == j else rho if group[i] == group[j] else 0.0
            total += weight[i] * weight[j] * math.sqrt(variance[i] * variance[j]) * alike
    return total
