"""Transferability scores by their definitions, in float64."""

import math

import numpy as np
from scipy.optimize import minimize


def logme(x, labels):
    """The evidence of each class's targets as a Gaussian of n dimensions, maximised numerically."""
    n = len(x)
    spectrum, axes = np.linalg.eigh(x @ x.T)  # which the covariance shares, whatever its two parts weigh
    spectrum = spectrum.clip(0)
    best = []
    for c in sorted(set(labels)):
        target = axes.T @ np.array([float(y == c) for y in labels])

        def loss(p, target=target):
            covariance = spectrum * math.exp(-p[0]) + math.exp(-p[1])
            fit = (target**2 / covariance).sum()
            return (fit + np.log(covariance).sum() + n * math.log(2 * math.pi)) / (2 * n)

        starts = [(a, b) for a in (-3.0, 0.0, 6.0) for b in (0.0, 6.0)]
        found = [minimize(loss, s, method="L-BFGS-B", bounds=[(-18, 18)] * 2, tol=1e-12) for s in starts]
        best.append(-min(one.fun for one in found))
    return sum(best) / len(best)


def class_mean_rows(x, labels):
    """Each row replaced by its class's mean."""
    means = {c: np.mean([row for row, y in zip(x, labels, strict=True) if y == c], axis=0) for c in set(labels)}
    return np.array([means[y] for y in labels])


def h_score(x, labels):
    covariance = np.cov(x, rowvar=False, bias=True)
    return np.trace(
        np.linalg.pinv(covariance, rcond=1e-12) @ np.cov(class_mean_rows(x, labels), rowvar=False, bias=True)
    )


def ledoit_wolf(x):
    """Shrunk covariance and shrinkage, row by row from the paper's b² and d²."""
    n, d = x.shape
    x = x - x.mean(axis=0)
    sample = x.T @ x / n
    mu = np.trace(sample) / d
    spread = ((sample - mu * np.eye(d)) ** 2).sum()
    error = sum(((np.outer(row, row) - sample) ** 2).sum() for row in x) / n**2
    shrinkage = min(error, spread) / spread
    return (1 - shrinkage) * sample + shrinkage * mu * np.eye(d), shrinkage


def regularized_h_score(x, labels):
    covariance, shrinkage = ledoit_wolf(x)
    between = np.cov(class_mean_rows(x, labels), rowvar=False, bias=True)
    return (1 - shrinkage) * np.trace(np.linalg.inv(covariance) @ between)


def transrate(x, labels, distortion):
    z = x - x.mean(axis=0)
    z = np.array([row / math.sqrt((row**2).sum()) for row in z])
    rate = coding_rate(z, distortion)
    for c in set(labels):
        members = z[[y == c for y in labels]]
        rate -= len(members) / len(z) * coding_rate(members, distortion)
    return rate


def coding_rate(z, distortion):
    """Half the sum of log(1 + λ/ε) over the eigenvalues λ of the second moments."""
    return sum(math.log(1 + s**2 / (len(z) * distortion)) for s in np.linalg.svd(z, compute_uv=False)) / 2


def gbc(x, labels, gaussian):
    """Compute GBC with the Bhattacharyya distance for general Gaussians, which uses determinants."""
    x = x - x.mean(axis=0)
    x = x @ np.linalg.svd(x, full_matrices=False)[2].T
    total = 0.0
    for a in set(labels):
        for b in set(labels) - {a}:
            (m1, s1), (m2, s2) = (moments(x[[y == c for y in labels]], gaussian) for c in (a, b))
            middle = (s1 + s2) / 2
            distance = (m1 - m2) @ np.linalg.inv(middle) @ (m1 - m2) / 8
            distance += math.log(np.linalg.det(middle) / math.sqrt(np.linalg.det(s1) * np.linalg.det(s2))) / 2
            total += math.exp(-distance)
    return -total


def moments(x, gaussian):
    variance = x.var(axis=0)
    return x.mean(axis=0), np.diag(variance if gaussian == "diagonal" else [variance.mean()] * len(variance))


def leep(theta, labels):
    n, s = len(theta), len(theta[0])
    joint = {(y, z): sum(theta[i][z] for i in range(n) if labels[i] == y) / n for y in set(labels) for z in range(s)}
    source = [sum(joint[y, z] for y in set(labels)) for z in range(s)]
    total = 0.0
    for i in range(n):
        total += math.log(sum(joint[labels[i], z] / source[z] * theta[i][z] for z in range(s) if source[z] > 0))
    return total / n


def nce(theta, labels):
    """-H(Y | Z) = H(Z) - H(Y, Z) of counts."""
    chosen = [max(range(len(row)), key=list(row).__getitem__) for row in theta]
    return entropy(chosen) - entropy(list(zip(labels, chosen, strict=True)))


def entropy(values):
    shares = [values.count(value) / len(values) for value in set(values)]
    return -sum(p * math.log(p) for p in shares)
