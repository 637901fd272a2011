"""Intervals of semantic scores by plain loops: images are drawn one by one, with all their views."""

import numpy as np
from scipy import stats


def intervals(targets, draws):
    """The percentile interval of each target, and of the mean over targets, expanded for few images.

    Args:
        targets: name → (image of each row, its squared error, its squared distance from the mean).
        draws: lists of image names, each list one resample.
    """
    scores = {name: [] for name in targets}
    means = []
    for drawn in draws:
        now = []
        for name, (images, errors, distances) in targets.items():
            missed = total = 0.0
            for image in drawn:
                for row, owner in enumerate(images):
                    if owner == image:
                        missed, total = missed + errors[row], total + distances[row]
            scores[name].append(1 - missed / total)
            now.append(max(0.0, scores[name][-1]))
        means.append(sum(now) / len(now))
    n = len(draws[0])
    low = stats.norm.cdf(stats.t.ppf(0.025, n - 1) * (n / (n - 1)) ** 0.5)
    each = {name: np.quantile(values, [low, 1 - low]) for name, values in scores.items()}
    return each, np.quantile(means, [low, 1 - low])
