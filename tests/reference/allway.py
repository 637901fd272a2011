"""big_vision's few-shot regression by its formula, in float64, with its bias feature written out."""

import numpy as np


def scores(x, labels, queries, penalty):
    """Standardise over ``x``, append a feature of 100, solve (XᵀX + λ) W = XᵀY for targets ±1."""
    x, queries = np.asarray(x, dtype=np.float64), np.asarray(queries, dtype=np.float64)
    mean, deviation = x.mean(axis=0), x.std(axis=0) + 1e-5
    x, queries = ((np.pad((rows - mean) / deviation, ((0, 0), (0, 1)), constant_values=100)) for rows in (x, queries))
    targets = 2.0 * np.eye(max(labels) + 1)[labels] - 1
    weights = np.linalg.solve(x.T @ x + penalty * np.eye(x.shape[1]), x.T @ targets)
    return queries @ weights
