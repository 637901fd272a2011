"""Multinomial logistic regression by its formula, in float64 and plain loops."""

import math


def objective(x, labels, weights, biases, penalty):
    """Σᵢ −log softmax(xᵢ W + b)[yᵢ] + penalty/2 · ‖W‖²."""
    total = penalty / 2 * sum(float(w) ** 2 for row in weights for w in row)
    for i, label in enumerate(labels):
        total -= math.log(softmax(logits(x[i], weights, biases))[label])
    return total


def gradient(x, labels, weights, biases, penalty):
    """Compute the gradient of the objective: ``[d][c]`` for the weights, ``[c]`` for the biases."""
    d, c = len(weights), len(biases)
    by_weight = [[penalty * float(weights[k][j]) for j in range(c)] for k in range(d)]
    by_bias = [0.0] * c
    for i, label in enumerate(labels):
        p = softmax(logits(x[i], weights, biases))
        for j in range(c):
            residual = p[j] - (j == label)
            by_bias[j] += residual
            for k in range(d):
                by_weight[k][j] += residual * float(x[i][k])
    return by_weight, by_bias


def logits(row, weights, biases):
    return [
        float(biases[j]) + sum(float(row[k]) * float(weights[k][j]) for k in range(len(row)))
        for j in range(len(biases))
    ]


def softmax(values):
    top = max(values)
    powers = [math.exp(value - top) for value in values]
    return [power / sum(powers) for power in powers]
