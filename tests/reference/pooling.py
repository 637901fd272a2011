"""Pooling by plain loops in float64, transcribed from the words; shares no code with the subject."""

import numpy as np


def positions(array: np.ndarray, layout: str, prefix: int) -> np.ndarray:
    """``[b, positions, d]``: the vectors that are pooled, in reading order.

    ``layout``: ``bdhw``, ``bhwd`` or ``btd``.
    """
    rows = []
    for image in array.astype(np.float64):
        if layout == "bdhw":
            d, h, w = image.shape
            rows.append([[image[c, i, j] for c in range(d)] for i in range(h) for j in range(w)])
        elif layout == "bhwd":
            h, w, d = image.shape
            rows.append([[image[i, j, c] for c in range(d)] for i in range(h) for j in range(w)])
        else:
            rows.append([list(token) for token in image[prefix:]])
    return np.array(rows)


def pooled(array: np.ndarray, layout: str, prefix: int, pooling: str) -> np.ndarray:
    """``[b, d']``."""
    if pooling == "cls":
        return np.array([image[0] for image in array.astype(np.float64)])
    if pooling == "whole":
        return np.array([[float(value) for value in image.flat] for image in array])
    vectors = positions(array, layout, prefix)
    if pooling == "grid2":
        return np.array([_quarters(image) for image in vectors])
    result = []
    for image in vectors:
        mean = [sum(v[c] for v in image) / len(image) for c in range(image.shape[1])]
        largest = [max(v[c] for v in image) for c in range(image.shape[1])]
        chosen = {"avg": mean, "mean-tokens": mean, "max": largest, "avgmax": mean + largest}
        result.append(chosen[pooling])
    return np.array(result)


def _quarters(image: np.ndarray) -> list[float]:
    """Means of the four quarters of a map with even sides, feature by feature."""
    side = round(len(image) ** 0.5)
    half = side // 2
    values = []
    for c in range(image.shape[1]):
        for top in (0, half):
            for left in (0, half):
                inside = [image[i * side + j, c] for i in range(top, top + half) for j in range(left, left + half)]
                values.append(sum(inside) / len(inside))
    return values
