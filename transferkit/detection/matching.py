"""Greedy matching of detections with objects in order of confidence, by VOC's or COCO's rule."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..core.errors import ShapeError
from .detections import Detections, GroundTruth

Rule = Literal["voc", "coco"]
"""``voc``: a box is compared with the object of highest IoU, and is wrong if that is matched already [1].
``coco``: a box is matched with the unmatched object of highest IoU; ignored objects come last [2].

[1] Everingham et al., The PASCAL visual object classes challenge, IJCV 2010, and its development kit.
[2] Lin et al., Microsoft COCO, ECCV 2014, and its ``cocoeval``.
"""

COCO_THRESHOLDS = tuple(np.linspace(0.5, 0.95, 10).tolist())
"""IoU thresholds of correct boxes: .50, .55, … .95."""


@dataclass(frozen=True, eq=False)
class Matches:
    """Results of matching the detections of one class, in order of decreasing confidence.

    Shapes: ``k`` boxes, ``t`` thresholds, ``n`` images.

    Attributes:
        scores: ``[k]`` decreasing scores.
        images: ``[k]`` image index of each box.
        right: ``[t, k]`` true positives: boxes that match an object, the first box of each object.
        ignored: ``[t, k]`` boxes that match a difficult object or a crowd, and count neither way.
        objects: ``[n]`` number of objects in each image, without difficult objects and crowds.
    """

    scores: NDArray[np.float64]
    images: NDArray[np.int64]
    right: NDArray[np.bool_]
    ignored: NDArray[np.bool_]
    objects: NDArray[np.int64]


def overlaps(boxes: NDArray[np.floating], truth: NDArray[np.floating], crowd: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the intersection over union, or over the first box's area if the second box is a crowd.

    Args:
        boxes: ``[k, 4]`` detected boxes.
        truth: ``[m, 4]`` ground-truth boxes.
        crowd: ``[m]`` mask of crowds.

    Returns: ``[k, m]`` in 0 … 1; 0 if both boxes are empty.
    """
    a, b = np.asarray(boxes, np.float64)[:, None], np.asarray(truth, np.float64)[None]
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])  # [k, m, 2]
    intersection = sides.clip(0).prod(2)  # [k, m]
    area_a = (a[..., 2:] - a[..., :2]).clip(0).prod(2)  # [k, 1]
    area_b = (b[..., 2:] - b[..., :2]).clip(0).prod(2)  # [1, m]
    union = np.where(crowd[None], area_a, area_a + area_b - intersection)
    return np.divide(intersection, union, out=np.zeros_like(intersection), where=union > 0)


def class_matches(
    found: Sequence[Detections],
    ground_truth: Sequence[GroundTruth],
    label: int,
    *,
    thresholds: Sequence[float],
    rule: Rule,
) -> Matches:
    """Match all detections of one class.

    Args:
        found: ``[n]`` detections by image.
        ground_truth: ``[n]`` ground truth by image.
        label: label of the class.
        thresholds: ``[t]`` IoU thresholds of correct boxes.
        rule: ``voc`` or ``coco``.

    Raises: ShapeError: if the numbers of images differ.
    """
    if len(found) != len(ground_truth):
        raise ShapeError(
            f"There are detections of {len(found)} images and ground truth of {len(ground_truth)}. Give equally many."
        )
    scores, images, right, ignored = [], [], [], []
    objects = np.zeros(len(ground_truth), np.int64)
    for image, (one, truth) in enumerate(zip(found, ground_truth, strict=True)):
        mine, theirs = one.labels == label, truth.labels == label
        optional = (truth.difficult | truth.crowd)[theirs]
        crowd = optional if rule == "coco" else truth.crowd[theirs]  # COCO has no difficult objects
        objects[image] = int((~optional).sum())
        if not mine.any():
            continue
        order = np.argsort(-one.scores[mine], kind="stable")
        iou = overlaps(one.boxes[mine][order], truth.boxes[theirs], crowd)
        match = _match_as_voc if rule == "voc" else _match_as_coco
        answers = [match(iou, optional, crowd, threshold) for threshold in thresholds]
        scores.append(one.scores[mine][order].astype(np.float64))
        images.append(np.full(len(order), image, np.int64))
        right.append(np.array([answer[0] for answer in answers]))
        ignored.append(np.array([answer[1] for answer in answers]))
    if not scores:
        none = np.zeros((len(thresholds), 0), bool)
        return Matches(np.zeros(0), np.zeros(0, np.int64), none, none, objects)
    joined = np.concatenate(scores)
    order = np.argsort(-joined, kind="stable")
    return Matches(
        joined[order],
        np.concatenate(images)[order],
        np.concatenate(right, 1)[:, order],
        np.concatenate(ignored, 1)[:, order],
        objects,
    )


_Matched = tuple[NDArray[np.bool_], NDArray[np.bool_]]
"""Masks ``[k]`` of correct and of ignored boxes."""


def _match_as_voc(
    iou: NDArray[np.float64], optional: NDArray[np.bool_], crowd: NDArray[np.bool_], threshold: float
) -> _Matched:
    """Match boxes with objects by VOC's rule.

    Args:
        iou: ``[k, m]`` overlaps of boxes, in order of decreasing confidence, with objects.
        optional: ``[m]`` mask of objects whose detections are ignored.
        crowd: ``[m]`` mask of crowds.
        threshold: minimum overlap of a correct box.
    """
    right, ignored = (np.zeros(len(iou), bool) for _ in range(2))
    taken = np.zeros(iou.shape[1], bool)
    for box, row in enumerate(iou if iou.shape[1] else ()):
        most = int(row.argmax())
        if row[most] < threshold:
            continue
        ignored[box] = optional[most]
        right[box] = not optional[most] and not taken[most]
        taken[most] = True
    return right, ignored


def _match_as_coco(
    iou: NDArray[np.float64], optional: NDArray[np.bool_], crowd: NDArray[np.bool_], threshold: float
) -> _Matched:
    """Match boxes with objects by COCO's rule; of objects with equal overlap, the last one is matched."""
    right, ignored = (np.zeros(len(iou), bool) for _ in range(2))
    taken = np.zeros(iou.shape[1], bool)
    for box, row in enumerate(iou if iou.shape[1] else ()):
        free = (row >= threshold) & (~taken | crowd)
        candidates = np.flatnonzero(free & ~optional)
        if not len(candidates):
            candidates = np.flatnonzero(free & optional)
        if not len(candidates):
            continue
        most = int(candidates[::-1][row[candidates[::-1]].argmax()])
        taken[most] = True
        ignored[box] = optional[most]
        right[box] = not optional[most]
    return right, ignored
