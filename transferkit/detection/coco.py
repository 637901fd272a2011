"""COCO's metrics [1], computed by faster-coco-eval.

[1] Lin et al., Microsoft COCO: common objects in context, ECCV 2014.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import MissingExtraError
from .detections import Detections, GroundTruth

NAMES = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large")
"""Means over classes: over IoU .50 to .95, at .50, at .75; of objects below 32², from 32² to 96², and above 96²."""


@dataclass(frozen=True)
class CocoScore:
    """COCO's average precisions as fractions; None without ground-truth objects.

    Attributes:
        means: Mean average precisions by name, as in ``NAMES``.
        per_class: ``[c]`` average precision of each class over IoU .50 to .95.
    """

    means: dict[str, float | None]
    per_class: tuple[float | None, ...]


def require_evaluator() -> Any:
    """Return the module that computes the metrics.

    Raises: MissingExtraError: if it is not installed.
    """
    try:
        import faster_coco_eval
    except ImportError as error:
        raise MissingExtraError("faster-coco-eval", extra="detection", purpose="to score boxes") from error
    return faster_coco_eval


def coco_score(
    found: Sequence[Detections], ground_truth: Sequence[GroundTruth], sizes: NDArray[np.integer], classes: Sequence[str]
) -> CocoScore:
    """Score boxes as COCO does; difficult objects are ignored like crowds.

    Args:
        found: ``[n]`` detections by image, at most 100 boxes each.
        ground_truth: ``[n]`` ground truth by image.
        sizes: ``[n, 2]`` height and width of each image.
        classes: ``[c]`` names.

    Raises: MissingExtraError: without the extra ``detection``.
    """
    module = require_evaluator()
    logging.getLogger("faster_coco_eval").setLevel(logging.WARNING)
    truth = module.COCO(annotations(ground_truth, sizes, classes))
    answers = answers_of(found)
    if not answers:
        return _nothing_found(ground_truth, len(classes))
    run = module.COCOeval_faster(truth, truth.loadRes(answers), iouType="bbox", print_function=_silent)
    run.evaluate()
    run.accumulate()
    run.summarize()
    means = {name: _or_none(value) for name, value in zip(NAMES, run.stats[:6], strict=True)}
    precision = run.eval["precision"][:, :, :, 0, -1]  # [t, recalls, c]
    per_class = [_or_none(precision[:, :, label].mean()) for label in range(len(classes))]
    return CocoScore(means, tuple(per_class))


def _nothing_found(ground_truth: Sequence[GroundTruth], n_classes: int) -> CocoScore:
    """Return the score without any detections: 0 if there are objects, otherwise None."""
    counted = [(one.labels, one.areas, ~(one.difficult | one.crowd)) for one in ground_truth]
    labels = np.concatenate([a[kept] for a, _, kept in counted] or [np.zeros(0, np.int64)])
    areas = np.concatenate([b[kept] for _, b, kept in counted] or [np.zeros(0, np.float32)])
    ranges = {"ap_small": (0, 32**2), "ap_medium": (32**2, 96**2), "ap_large": (96**2, np.inf)}
    means = {}
    for name in NAMES:
        low, high = ranges.get(name, (0, np.inf))
        means[name] = 0.0 if ((areas >= low) & (areas <= high)).any() else None
    return CocoScore(means, tuple(0.0 if (labels == label).any() else None for label in range(n_classes)))


def _or_none(value: Any) -> float | None:
    """Convert COCO's −1 for classes without objects to None."""
    return None if value < 0 else float(value)


def _silent(*_: Any, **__: Any) -> None:
    """Print nothing."""


def annotations(
    ground_truth: Sequence[GroundTruth], sizes: NDArray[np.integer], classes: Sequence[str]
) -> dict[str, Any]:
    """Return the ground truth in COCO's format; the ids of images and classes start at 1."""
    objects: list[dict[str, Any]] = []
    for image, one in enumerate(ground_truth, 1):
        for number in range(len(one.labels)):
            objects.append(
                {
                    "id": len(objects) + 1,
                    "image_id": image,
                    "category_id": int(one.labels[number]) + 1,
                    "bbox": _corner_and_sides(one.boxes[number]),
                    "area": float(one.areas[number]),
                    "iscrowd": int(one.crowd[number] or one.difficult[number]),
                }
            )
    images = [
        {"id": number, "height": int(height), "width": int(width)}
        for number, (height, width) in enumerate(sizes.tolist(), 1)
    ]
    names = [{"id": number, "name": name} for number, name in enumerate(classes, 1)]
    return {"info": {}, "images": images, "annotations": objects, "categories": names}


def answers_of(found: Sequence[Detections]) -> list[dict[str, Any]]:
    """Return detections in COCO's format."""
    return [
        {
            "image_id": image,
            "category_id": int(label) + 1,
            "bbox": _corner_and_sides(box),
            "score": float(score),
        }
        for image, one in enumerate(found, 1)
        for box, label, score in zip(one.boxes, one.labels, one.scores, strict=True)
    ]


def _corner_and_sides(box: NDArray[np.floating]) -> list[float]:
    left, top, right, bottom = (float(value) for value in box)
    return [left, top, right - left, bottom - top]
