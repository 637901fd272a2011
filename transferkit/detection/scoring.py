"""From found and marked boxes to the score that is recorded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DataError
from ..core.precision import Reading
from ..core.results import Score
from ..core.seeding import generator
from .coco import coco_score
from .detections import Detections, GroundTruth
from .matching import COCO_THRESHOLDS, Matches, Rule, class_matches
from .precision import average_precision, image_bootstrap, mean_average_precision

DRAWS = 200
"""Resamples of the images, of which the interval is made."""


@dataclass(frozen=True, eq=False)
class Search:
    """What was searched, and for what.

    Shapes: ``n`` images, ``c`` classes.

    Attributes:
        found: ``[n]`` what a detector found.
        ground_truth: ``[n]`` what is marked.
        sizes: ``[n, 2]`` height and width.
        classes: ``[c]`` names.
        split: that the images are of.
    """

    found: Sequence[Detections]
    ground_truth: Sequence[GroundTruth]
    sizes: NDArray[np.integer]
    classes: Sequence[str]
    split: str


def detection_score(
    search: Search, *, rule: Rule, seed: int, extra_metrics: Mapping[str, Any], seconds: Mapping[str, float]
) -> Score:
    """Score a search: by ``voc`` the headline is AP50 at eleven recalls, by ``coco`` COCO's AP.

    ``extra_metrics`` holds both in any case: COCO's six numbers; VOC's AP50 read at eleven recalls and at all, its
    AP75 and the mean over overlaps .50 to .95 at eleven recalls, as MoCo's and Detectron2's tables have them;
    and both for each class. A class without objects has none, and counts in no mean.

    Args:
        search: what was found and marked.
        rule: which the headline follows.
        seed: of the interval's draws.
        extra_metrics: what else the record says.
        seconds: that it took.

    Raises:
        DataError: if nothing is marked that could be found.
        MissingExtraError: without the extra ``detection``.
    """
    voc = _all_matches(search, COCO_THRESHOLDS, "voc")
    if not any(one.objects.any() for one in voc):
        raise DataError(f"The split {search.split} has no object to be found: name another data set.")
    coco = coco_score(search.found, search.ground_truth, search.sizes, search.classes)
    reading: Reading = "eleven" if rule == "voc" else "hundred-one"
    headline = [at_overlap(one, 0) for one in voc] if rule == "voc" else _all_matches(search, COCO_THRESHOLDS, "coco")
    value = mean_average_precision(headline, reading) if rule == "voc" else coco.means["ap"]
    rng = generator(seed, "detection interval", search.split)
    return Score(
        metric="ap50" if rule == "voc" else "ap",
        value=value or 0.0,
        interval=image_bootstrap(headline, reading, draws=DRAWS, rng=rng),
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


def at_overlap(matches: Matches, place: int) -> Matches:
    """The same at one threshold alone."""
    return Matches(
        matches.scores,
        matches.images,
        matches.right[place : place + 1],
        matches.ignored[place : place + 1],
        matches.objects,
    )


def voc_means(matches: Sequence[Matches]) -> dict[str, float | None]:
    """VOC's numbers, of matches by VOC's rule at COCO's overlaps."""
    at50, at75 = ([at_overlap(one, place) for one in matches] for place in (0, 5))
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
    """Class → AP50 both ways, COCO's AP, how many objects there are and how many boxes were found."""
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
