"""Which found boxes are right: greedily, the surest first, as VOC's development kit does, or as COCO does."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..core.errors import ShapeError
from .detections import Detections, GroundTruth

Rule = Literal["voc", "coco"]
"""``voc``: a box is judged by the object that it overlaps most, and is wrong if that is taken already [1].
``coco``: by the one that it overlaps most of those not taken yet; what is ignored comes last [2].

[1] Everingham et al., The PASCAL visual object classes challenge, IJCV 2010, and its development kit.
[2] Lin et al., Microsoft COCO, ECCV 2014, and its ``cocoeval``.
"""

COCO_THRESHOLDS = tuple(np.linspace(0.5, 0.95, 10).tolist())
"""Overlaps from which on a box may be right: .50, .55, … .95."""


@dataclass(frozen=True, eq=False)
class Matches:
    """What became of the found boxes of one class, the surest first.

    Shapes: ``k`` boxes, ``t`` thresholds, ``n`` images.

    Attributes:
        scores: ``[k]``, falling.
        images: ``[k]`` the image of each.
        right: ``[t, k]`` it is an object's, and the first of that object.
        ignored: ``[t, k]`` neither right nor wrong: it is a difficult object's or a crowd's.
        objects: ``[n]`` how many objects there are to be found in each image.
    """

    scores: NDArray[np.float64]
    images: NDArray[np.int64]
    right: NDArray[np.bool_]
    ignored: NDArray[np.bool_]
    objects: NDArray[np.int64]


def overlaps(
    boxes: NDArray[np.floating], marked: NDArray[np.floating], crowd: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Intersection over union; over the first box's own area where the second is a crowd.

    Args:
        boxes: ``[k, 4]``.
        marked: ``[m, 4]``.
        crowd: ``[m]``.

    Returns: ``[k, m]`` in 0 … 1; 0 where neither box has an area.
    """
    a, b = np.asarray(boxes, np.float64)[:, None], np.asarray(marked, np.float64)[None]
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    common = sides.clip(0).prod(2)
    own = (a[..., 2:] - a[..., :2]).clip(0).prod(2)
    other = (b[..., 2:] - b[..., :2]).clip(0).prod(2)
    whole = np.where(crowd[None], own, own + other - common)
    return np.divide(common, whole, out=np.zeros_like(common), where=whole > 0)


def class_matches(
    found: Sequence[Detections],
    ground_truth: Sequence[GroundTruth],
    label: int,
    *,
    thresholds: Sequence[float],
    rule: Rule,
) -> Matches:
    """Judge all found boxes of one class.

    Args:
        found: ``[n]`` by image.
        ground_truth: ``[n]`` by image.
        label: of the class.
        thresholds: ``[t]`` overlaps from which on a box may be right.
        rule: ``voc`` or ``coco``.

    Raises: ShapeError: if there is not one item of each an image.
    """
    if len(found) != len(ground_truth):
        raise ShapeError(f"{len(found)} images were searched and {len(ground_truth)} are marked: give the same.")
    scores, images, right, ignored = [], [], [], []
    objects = np.zeros(len(ground_truth), np.int64)
    for image, (one, there) in enumerate(zip(found, ground_truth, strict=True)):
        mine, theirs = one.labels == label, there.labels == label
        optional = (there.difficult | there.crowd)[theirs]
        crowd = optional if rule == "coco" else there.crowd[theirs]  # which knows no difficult objects
        objects[image] = int((~optional).sum())
        if not mine.any():
            continue
        order = np.argsort(-one.scores[mine], kind="stable")
        common = overlaps(one.boxes[mine][order], there.boxes[theirs], crowd)
        judge = _judged_as_voc if rule == "voc" else _judged_as_coco
        answers = [judge(common, optional, crowd, threshold) for threshold in thresholds]
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


_Judged = tuple[NDArray[np.bool_], NDArray[np.bool_]]
"""Which are right, and which are ignored; each ``[k]``."""


def _judged_as_voc(
    common: NDArray[np.float64], optional: NDArray[np.bool_], crowd: NDArray[np.bool_], threshold: float
) -> _Judged:
    """For boxes ``[k]`` that overlap objects by ``common`` ``[k, m]``, the surest first."""
    right, ignored = (np.zeros(len(common), bool) for _ in range(2))
    taken = np.zeros(common.shape[1], bool)
    for box, row in enumerate(common if common.shape[1] else ()):
        most = int(row.argmax())
        if row[most] < threshold:
            continue
        ignored[box] = optional[most]
        right[box] = not optional[most] and not taken[most]
        taken[most] = True
    return right, ignored


def _judged_as_coco(
    common: NDArray[np.float64], optional: NDArray[np.bool_], crowd: NDArray[np.bool_], threshold: float
) -> _Judged:
    """The same by COCO's rule; of equal overlaps the last object's counts."""
    right, ignored = (np.zeros(len(common), bool) for _ in range(2))
    taken = np.zeros(common.shape[1], bool)
    for box, row in enumerate(common if common.shape[1] else ()):
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
