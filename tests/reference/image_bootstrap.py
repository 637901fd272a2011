"""Intervals of semantic scores by plain loops: images are drawn one by one, with all their views."""

import numpy as np


def intervals(targets, draws):
    """The percentile interval of each target, and of the mean over targets.

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
    each = {name: np.quantile(values, [0.025, 0.975]) for name, values in scores.items()}
    return each, np.quantile(means, [0.025, 0.975])
