"""A sheet of images with detected boxes and the counts of ground-truth objects."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from ..core.errors import UnreadableImageError
from ..data.detection.boxed import DetectionSplit, ImageBoxes
from ..detection.detections import Detections
from .boxes import Boxed, boxes_sheet

_SCORE_THRESHOLD = 0.3  # boxes below it are not drawn: a detector reports many, most of them wrong


def detections_sheet(
    split: DetectionSplit, found: Sequence[Detections], *, most: int = 16, columns: int = 4
) -> Image.Image:
    """Draw evenly spaced images of ``split`` with their confident boxes; titles count the ground-truth objects.

    Args:
        split: the split that the detector ran on.
        found: ``[n]`` detections by image.
        most: maximum number of images.
        columns: images per row.
    """
    rows = np.unique(np.linspace(0, len(split) - 1, min(most, len(split))).round().astype(int))
    pictures = []
    for row in rows.tolist():
        try:
            image = split.reader.image(row)
        except UnreadableImageError:
            continue
        one = found[row]
        kept = one.scores >= _SCORE_THRESHOLD
        pictures.append(
            Boxed(
                image,
                one.boxes[kept],
                one.labels[kept],
                scores=one.scores[kept],
                title=f"ground truth: {_object_counts(split.objects[row], split.classes)}",
            )
        )
    return boxes_sheet(pictures, split.classes, columns=columns)


def _object_counts(objects: ImageBoxes, classes: Sequence[str]) -> str:
    """Return the number of objects of each class, such as ``2 ring, 1 star``."""
    counts = np.bincount(objects.labels, minlength=len(classes))
    return ", ".join(f"{n} {classes[label]}" for label, n in enumerate(counts.tolist()) if n) or "nothing"
