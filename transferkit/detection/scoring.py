"""The recorded score of detections against ground truth."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DataError
from ..core.precision import Reading, interpolated_precision
from ..core.results import Score
from ..core.seeding import generator
from ..core.statistics import Interval, percentile_interval
from .coco import coco_score
from .detections import Detections, GroundTruth
from .matching import COCO_THRESHOLDS, Matches, Rule, class_matches


def average_precision(
    matches: Matches, reading: Reading, weights: NDArray[np.floating] | None = None
) -> NDArray[np.float64] | None:
    """Return the mean over recalls of the highest precision at that recall or a higher one.

    Shapes: ``t`` thresholds, ``k`` boxes, ``n`` images.

    Args:
        matches: matches of one class.
        reading: the recalls at which precision is read.
        weights: ``[n]`` weight of each image; 1 by default.

    Returns: ``[t]`` in 0 … 1, or None if there are no objects.
    """
    image_weights = np.ones(len(matches.objects)) if weights is None else weights
    objects = float(image_weights @ matches.objects)
    if not objects:
        return None
    box_weights = image_weights[matches.images]  # [k]
    right = np.cumsum(matches.right * box_weights, 1)  # true positives [t, k]
    wrong = np.cumsum((~matches.right & ~matches.ignored) * box_weights, 1)  # false positives [t, k]
    return interpolated_precision(right, wrong, objects, reading)


def mean_average_precision(
    matches: Sequence[Matches], reading: Reading, weights: NDArray[np.floating] | None = None
) -> float | None:
    """Return the mean over thresholds and over classes with objects; None if no class has objects."""
    precisions = [average_precision(one, reading, weights) for one in matches]
    defined = [float(one.mean()) for one in precisions if one is not None]
    return float(np.mean(defined)) if defined else None


def image_bootstrap(matches: Sequence[Matches], reading: Reading, *, draws: int, rng: np.random.Generator) -> Interval:
    """Return the bootstrap interval of the mean average precision over images drawn with replacement.

    Args:
        matches: matches by class, on the same images.
        reading: the recalls at which precision is read.
        draws: number of bootstrap resamples.
        rng: random generator of the resamples.
    """
    n = len(matches[0].objects)
    values = []
    for _ in range(draws):
        weights = np.bincount(rng.integers(n, size=n), minlength=n).astype(np.float64)  # draws per image [n]
        value = mean_average_precision(matches, reading, weights)
        values.append(0.0 if value is None else value)
    return percentile_interval(np.array(values), n, f"bootstrap of {draws} draws of images")


DRAWS = 200
"""Number of bootstrap resamples of the images for the interval."""


@dataclass(frozen=True, eq=False)
class Search:
    """Detections and ground truth of a split.

    Shapes: ``n`` images, ``c`` classes.

    Attributes:
        found: ``[n]`` detections by image.
        ground_truth: ``[n]`` ground truth by image.
        sizes: ``[n, 2]`` height and width of each image.
        classes: ``[c]`` names.
        split: Split of the images.
    """

    found: Sequence[Detections]
    ground_truth: Sequence[GroundTruth]
    sizes: NDArray[np.integer]
    classes: Sequence[str]
    split: str


def detection_score(
    search: Search, *, rule: Rule, seed: int, extra_metrics: Mapping[str, Any], seconds: Mapping[str, float]
) -> Score:
    """Score detections: the main metric is AP50 at eleven recalls for ``voc``, and COCO's AP for ``coco``.

    ``extra_metrics`` always contains both: COCO's six metrics; VOC's AP50 at eleven recalls and at all recalls, its
    AP75 and the mean over IoU .50 to .95 at eleven recalls, as in the tables of MoCo and Detectron2; and both for
    each class. A class without objects has no value and is left out of all means.

    Args:
        search: detections and ground truth.
        rule: the rule of the main metric.
        seed: seed of the bootstrap.
        extra_metrics: further entries of the record.
        seconds: durations for the record.

    Raises:
        DataError: if there are no objects except difficult ones and crowds.
        MissingExtraError: if the extra ``detection`` is not installed.
    """
    voc = _all_matches(search, COCO_THRESHOLDS, "voc")
    if not any(one.objects.any() for one in voc):
        raise DataError(f"The split {search.split} has no objects that count. Name another data set.")
    coco = coco_score(search.found, search.ground_truth, search.sizes, search.classes)
    reading: Reading = "eleven" if rule == "voc" else "hundred-one"
    main_matches = (
        [at_overlap(one, 0) for one in voc] if rule == "voc" else _all_matches(search, COCO_THRESHOLDS, "coco")
    )
    value = mean_average_precision(main_matches, reading) if rule == "voc" else coco.means["ap"]
    rng = generator(seed, "detection interval", search.split)
    return Score(
        metric="ap50" if rule == "voc" else "ap",
        value=value or 0.0,
        interval=image_bootstrap(main_matches, reading, draws=DRAWS, rng=rng),
        n=len(search.found),
        selected_on="none",
        evaluated_on=search.split,
        extra_metrics={
            "voc": voc_means(voc),
            "coco": coco.means,
            "per_class": _per_class(search, voc, coco.per_class),
            **extra_metrics,
        },
        seconds=seconds,
    )


def at_overlap(matches: Matches, index: int) -> Matches:
    """Return the matches at one IoU threshold only."""
    return Matches(
        matches.scores,
        matches.images,
        matches.right[index : index + 1],
        matches.ignored[index : index + 1],
        matches.objects,
    )


def voc_means(matches: Sequence[Matches]) -> dict[str, float | None]:
    """Return VOC's metrics from matches by VOC's rule at COCO's IoU thresholds."""
    at50, at75 = ([at_overlap(one, index) for one in matches] for index in (0, 5))
    return {
        "ap50_11point": mean_average_precision(at50, "eleven"),
        "ap50_all": mean_average_precision(at50, "all"),
        "ap75_11point": mean_average_precision(at75, "eleven"),
        "ap_11point": mean_average_precision(matches, "eleven"),
    }


def _all_matches(search: Search, thresholds: Sequence[float], rule: Rule) -> list[Matches]:
    return [
        class_matches(search.found, search.ground_truth, label, thresholds=thresholds, rule=rule)
        for label in range(len(search.classes))
    ]


def _per_class(search: Search, voc: Sequence[Matches], coco: Sequence[float | None]) -> dict[str, dict[str, Any]]:
    """Return class → AP50 at eleven and at all recalls, COCO's AP, and the numbers of objects and of detections."""
    lines = {}
    for name, matches, ap in zip(search.classes, voc, coco, strict=True):
        at50 = at_overlap(matches, 0)
        eleven, every = (average_precision(at50, reading) for reading in ("eleven", "all"))
        lines[name] = {
            "ap50_11point": None if eleven is None else float(eleven[0]),
            "ap50_all": None if every is None else float(every[0]),
            "ap": ap,
            "objects": int(matches.objects.sum()),
            "found": len(matches.scores),
        }
    return lines
