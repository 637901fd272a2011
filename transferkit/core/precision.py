"""Average precision, by each of the three ways in which it is read off a curve of precision over recall."""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Reading = Literal["eleven", "all", "hundred-one"]
"""At which recalls precision is averaged: at 0, .1, … 1 (VOC 2007 [1]), wherever it changes (VOC since 2010),
or at 0, .01, … 1 (COCO).

[1] Everingham et al., The PASCAL visual object classes challenge, IJCV 2010.
"""


def interpolated_precision(
    right: NDArray[np.float64], wrong: NDArray[np.float64], positives: ArrayLike, reading: Reading
) -> NDArray[np.float64]:
    """The mean over recalls of the highest precision that is had at that recall or a higher one.

    Shapes: ``t`` curves of ``k`` places, the best answers first.

    Args:
        right: ``[t, k]`` right answers up to each place, this one too; never falling along ``k``.
        wrong: ``[t, k]`` wrong answers likewise.
        positives: how many right answers there are to be given, above 0; one number or ``[t]``.
        reading: which recalls.

    Returns: ``[t]`` in 0 … 1.
    """
    recall = right / np.asarray(positives, np.float64).reshape(-1, 1)
    precision = np.divide(right, right + wrong, out=np.zeros_like(right), where=right + wrong > 0)
    envelope = np.maximum.accumulate(precision[:, ::-1], 1)[:, ::-1]
    if reading == "all":
        steps = np.diff(recall, axis=1, prepend=0.0)
        return np.asarray((steps * envelope).sum(1))
    points = np.arange(11) / 10 if reading == "eleven" else np.linspace(0, 1, 101)
    return np.array([_read(one, other, points) for one, other in zip(recall, envelope, strict=True)])


def _read(recall: NDArray[np.float64], envelope: NDArray[np.float64], points: NDArray[np.float64]) -> float:
    """The mean of the envelope ``[k]`` at recalls ``[p]``, 0 where recall ``[k]`` does not come so far."""
    places = np.searchsorted(recall, points, side="left")
    return float(np.append(envelope, 0.0)[places].mean())
