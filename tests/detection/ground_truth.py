"""Random ground-truth boxes and detections."""

import numpy as np

from transferkit.data.detection.boxed import ImageBoxes
from transferkit.detection.detections import Detections

CLASSES = ("cat", "dog", "owl")


def objects(boxes, labels, *, difficult=None, crowd=None) -> ImageBoxes:
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    m = len(boxes)
    return ImageBoxes(
        boxes,
        np.array(labels, np.int64),
        np.zeros(m, bool) if difficult is None else np.array(difficult, bool),
        np.zeros(m, bool) if crowd is None else np.array(crowd, bool),
        (boxes[:, 2:] - boxes[:, :2]).prod(1).astype(np.float32),
    )


def found(boxes, labels, scores) -> Detections:
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4), np.array(labels, np.int64), np.array(scores, np.float32)
    )


def search(seed: int, *, images: int = 12, hard: bool = True, crowds: bool = False, labels: int = 2):
    """Return ground truth, and detections that are shifted, duplicated, invented, or of another class."""
    rng = np.random.default_rng(seed)
    answers, ground_truth = [], []
    for _ in range(images):
        m = int(rng.integers(0, 6))
        corner = rng.integers(0, 120, (m, 2))
        boxes = np.concatenate([corner, corner + rng.integers(4, 130, (m, 2))], 1).astype(float)
        kinds = rng.integers(0, labels, m)
        crowd = rng.random(m) < 0.25 if crowds else np.zeros(m, bool)
        difficult = rng.random(m) < 0.3 if hard else np.zeros(m, bool)
        ground_truth.append(objects(boxes, kinds, difficult=difficult & ~crowd, crowd=crowd))
        times = rng.integers(0, 3, m).repeat(1)
        moved = np.repeat(boxes, times, 0) + rng.normal(0, 6, (times.sum(), 4))
        other = rng.integers(0, 100, (int(rng.integers(0, 4)), 2))
        invented = np.concatenate([other, other + 20], 1)
        both = np.concatenate([moved, invented]).reshape(-1, 4)
        both[:, 2:] = np.maximum(both[:, 2:], both[:, :2] + 1)
        names = np.concatenate([np.repeat(kinds, times), rng.integers(0, labels, len(other))])
        answers.append(found(both.round(), names, rng.permutation(len(both)) / 50 + rng.random() / 100))
    return answers, ground_truth
