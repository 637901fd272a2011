"""Distances and total variation in plain loops, float64."""

import math


def feature_distance(features, target) -> float:
    features, target = features.flatten().tolist(), target.flatten().tolist()
    apart = sum((a - b) ** 2 for a, b in zip(features, target, strict=True))
    return apart / sum(b**2 for b in target)


def total_variation(image) -> float:
    """Compute the total variation of an image ``[c, h, w]``."""
    channels, height, width = image.shape
    down = [
        (image[c, y + 1, x] - image[c, y, x]) ** 2
        for c in range(channels)
        for y in range(height - 1)
        for x in range(width)
    ]
    right = [
        (image[c, y, x + 1] - image[c, y, x]) ** 2
        for c in range(channels)
        for y in range(height)
        for x in range(width - 1)
    ]
    return float(sum(down) / len(down) + sum(right) / len(right))


def perceptual_distance(maps_a, maps_b) -> float:
    """Compute the perceptual distance of two images, each a list of maps ``[d, h, w]``."""
    layers = []
    for a, b in zip(maps_a, maps_b, strict=True):
        positions = []
        for y in range(a.shape[1]):
            for x in range(a.shape[2]):
                p, q = a[:, y, x].tolist(), b[:, y, x].tolist()
                long_p, long_q = math.hypot(*p), math.hypot(*q)
                positions.append(sum((i / long_p - j / long_q) ** 2 for i, j in zip(p, q, strict=True)))
        layers.append(sum(positions) / len(positions))
    return sum(layers) / len(layers)
