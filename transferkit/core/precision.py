"""Average precision in its three interpolations of the precision-recall curve."""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Reading = Literal["eleven", "all", "hundred-one"]
"""Recalls at which precision is averaged: 0, .1, … 1 (VOC 2007 [1]), every change of recall (VOC since 2010),
or 0, .01, … 1 (COCO).

[1] Everingham et al., The PASCAL visual object classes challenge, IJCV 2010.
"""


def interpolated_precision(
    right: NDArray[np.float64], wrong: NDArray[np.float64], positives: ArrayLike, reading: Reading
) -> NDArray[np.float64]:
    """Compute the mean over recalls of the highest precision at that recall or a higher one.

    Shapes: ``t`` curves of ``k`` ranks, the highest scores first.

    Args:
        right: ``[t, k]`` cumulative number of true positives up to and including each rank.
        wrong: ``[t, k]`` cumulative number of false positives.
        positives: number of positives, above 0; one number or ``[t]``.
        reading: recalls at which precision is averaged.

    Returns: average precision ``[t]`` in 0 … 1.
    """
    recall = right / np.asarray(positives, np.float64).reshape(-1, 1)
    precision = np.divide(right, right + wrong, out=np.zeros_like(right), where=right + wrong > 0)
    envelope = np.maximum.accumulate(precision[:, ::-1], 1)[:, ::-1]  # highest precision at this rank or later [t, k]
    if reading == "all":
        steps = np.diff(recall, axis=1, prepend=0.0)  # increase of recall at each rank [t, k]
        return np.asarray((steps * envelope).sum(1))
    points = np.arange(11) / 10 if reading == "eleven" else np.linspace(0, 1, 101)
    return np.array([_mean_at_recalls(r, e, points) for r, e in zip(recall, envelope, strict=True)])


def _mean_at_recalls(recall: NDArray[np.float64], envelope: NDArray[np.float64], points: NDArray[np.float64]) -> float:
    """Return the mean of the envelope ``[k]`` at recalls ``[p]``; it is 0 at recalls that are not reached."""
    ranks = np.searchsorted(recall, points, side="left")  # first rank with at least this recall [p]
    return float(np.append(envelope, 0.0)[ranks].mean())
