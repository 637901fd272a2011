"""Single-label and multi-label class labels.

Shapes: ``n`` rows, ``c`` classes. Single labels are ``[n]`` integers in ``0 … c-1``, one class per row. Multiple
labels, for images that may show several classes or none, are ``[n, c]`` of ``SHOWN``, ``DIFFICULT`` and
``ABSENT``, the values of PASCAL VOC's own lists [1].

[1] Everingham et al., The PASCAL visual object classes (VOC) challenge, IJCV 2010.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import DataError, ShapeError

SHOWN, DIFFICULT, ABSENT = 1, 0, -1
"""The image shows the class; shows it, but it is difficult to recognise; does not show it."""


def is_multilabel(labels: NDArray[np.integer]) -> bool:
    """Return whether labels are multi-label, ``[n, c]``, and not single-label, ``[n]``."""
    return labels.ndim == 2


def class_numbers(labels: ArrayLike) -> NDArray[np.int64]:
    """Convert labels of any integer type, or booleans, to int64.

    Args:
        labels: ``[n]`` or ``[n, c]``; an array of int64 is returned unchanged.

    Raises: DataError: if the type cannot represent a class; the message names a conversion.
    """
    numbers = np.asarray(labels)
    if not numbers.size:
        return numbers.astype(np.int64)
    if numbers.dtype.kind not in "iub":
        raise DataError(
            f"Labels are of type {numbers.dtype} ({numbers.ravel()[0]!r}, …): they must be integers 0 … c-1. "
            + _conversion(numbers)
        )
    if is_multilabel(numbers) and numbers.dtype.kind in "ub":
        raise DataError(
            f"Several labels per row are {SHOWN}, {DIFFICULT} and {ABSENT}, and {numbers.dtype} has no "
            f"{ABSENT}: convert them with numpy.where(labels, {SHOWN}, {ABSENT})."
        )
    return numbers.astype(np.int64, copy=False)


def _conversion(numbers: NDArray) -> str:
    """Return the advice how to convert labels of another type to integers."""
    if numbers.dtype.kind == "f" and (numbers == np.round(numbers)).all() and np.isfinite(numbers).all():
        return "Convert them with labels.astype(int)."
    if numbers.dtype.kind in "fc":
        return "These are measurements or missing values: leave such rows out, or number the classes."
    return "Number them with classes, labels = numpy.unique(labels, return_inverse=True)."


def require_labels(labels: NDArray[np.integer], n_classes: int) -> None:
    """Raise an error if labels are neither valid single labels nor valid multiple labels.

    Raises: ShapeError: if they are invalid; the message states the allowed form.
    """
    if is_multilabel(labels):
        if labels.shape[1] != n_classes or not np.isin(labels, (SHOWN, DIFFICULT, ABSENT)).all():
            raise ShapeError(
                f"Several labels per row are [n, {n_classes}] of {SHOWN}, {DIFFICULT} and {ABSENT}, "
                f"not {list(labels.shape)} in {labels.min(initial=0)} … {labels.max(initial=0)}."
            )
    elif len(labels) and (labels.min() < 0 or labels.max() >= n_classes):
        raise ShapeError(f"Labels in {labels.min()} … {labels.max()} are invalid: they must be in 0 … {n_classes - 1}.")


def class_counts(labels: NDArray[np.integer], n_classes: int) -> NDArray[np.int64]:
    """Return the number of rows that show each class, ``[c]``; difficult ones are not counted."""
    if is_multilabel(labels):
        return np.asarray((labels == SHOWN).sum(0), np.int64)
    return np.bincount(labels, minlength=n_classes)


def members(labels: NDArray[np.integer], label: int) -> NDArray[np.int64]:
    """Return the numbers of the rows that show a class, ascending."""
    return np.flatnonzero(labels[:, label] == SHOWN if is_multilabel(labels) else labels == label)


def class_name(labels: NDArray[np.integer], row: int, classes: Sequence[str]) -> str:
    """Return the class of a row as text; several classes are joined with ``+``.

    >>> class_name(np.array([[1, -1, 1], [-1, 0, -1]]), 0, ["cat", "dog", "sofa"])
    'cat+sofa'
    >>> class_name(np.array([[1, -1, 1], [-1, 0, -1]]), 1, ["cat", "dog", "sofa"])
    'no class'
    """
    if not is_multilabel(labels):
        return classes[labels[row]]
    return "+".join(classes[label] for label in np.flatnonzero(labels[row] == SHOWN).tolist()) or "no class"


def stratify_labels(labels: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return the classes for stratified splits, ``[n]``; all 0, so no stratification, if labels are multi-label."""
    return np.zeros(len(labels), np.int64) if is_multilabel(labels) else labels.astype(np.int64, copy=False)


def require_one_label(labels: NDArray[np.integer], *, data: str, what: str, instead: str) -> None:
    """Raise an error if labels are multi-label.

    Args:
        labels: labels in either form.
        data: name of the data set.
        what: subject of "… needs one label per image".
        instead: sentence that names an alternative.

    Raises: DataError: if labels are multi-label.
    """
    if is_multilabel(labels):
        raise DataError(f"{data} has several labels per image, but {what} needs one label per image. {instead}")
