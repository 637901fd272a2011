"""A sheet of images with what a detector found in them, and faintly what is marked there."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from ..core.errors import UnreadableImageError
from ..data.detection.boxed import DetectionSplit, ImageBoxes
from ..detection.detections import Detections
from .boxes import Boxed, boxes_sheet

_SURE = 0.3  # no less sure box is drawn: a detector reports many, most of them wrong


def detections_sheet(
    split: DetectionSplit, found: Sequence[Detections], *, most: int = 16, columns: int = 4
) -> Image.Image:
    """Evenly spaced images of ``split``, each with its surer boxes; what is marked is in the title.

    Args:
        split: that was searched.
        found: ``[n]`` what was found in each image.
        most: images.
        columns: images a row.
    """
    rows = np.unique(np.linspace(0, len(split) - 1, min(most, len(split))).round().astype(int))
    pictures = []
    for row in rows.tolist():
        try:
            image = split.reader.image(row)
        except UnreadableImageError:
            continue
        one = found[row]
        kept = one.scores >= _SURE
        pictures.append(
            Boxed(
                image,
                one.boxes[kept],
                one.labels[kept],
                scores=one.scores[kept],
                title=f"marked: {_counted(split.objects[row], split.classes)}",
            )
        )
    return boxes_sheet(pictures, split.classes, columns=columns)


def _counted(objects: ImageBoxes, classes: Sequence[str]) -> str:
    """Such as ``2 ring, 1 star``."""
    counts = np.bincount(objects.labels, minlength=len(classes))
    return ", ".join(f"{n} {classes[label]}" for label, n in enumerate(counts.tolist()) if n) or "nothing"
