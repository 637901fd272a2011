"""What rows are labelled with: one class each, or several.

Shapes: ``n`` rows, ``c`` classes. Labels are ``[n]`` integers in ``0 … c-1``, one class a row; or, where an
image may show several classes or none, ``[n, c]`` of ``SHOWN``, ``DIFFICULT`` and ``ABSENT``: what the row
says of each class, in the numbers of PASCAL VOC's own lists [1].

[1] Everingham et al., The PASCAL visual object classes (VOC) challenge, IJCV 2010.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import DataError, ShapeError

SHOWN, DIFFICULT, ABSENT = 1, 0, -1
"""The class is there; is there only so that it is hard to recognise; is not there."""


def is_multilabel(labels: NDArray[np.integer]) -> bool:
    """Whether rows have several labels, ``[n, c]``, and not one each, ``[n]``."""
    return labels.ndim == 2


def class_numbers(labels: ArrayLike) -> NDArray[np.int64]:
    """Labels of any integer type, or yes and no as 1 and 0, as int64.

    Args:
        labels: ``[n]`` or ``[n, c]``; an array of int64 is returned as it is.

    Raises: DataError: naming a type that cannot be a class, and what to do.
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
    """What makes integers of labels of another type."""
    if numbers.dtype.kind == "f" and (numbers == np.round(numbers)).all() and np.isfinite(numbers).all():
        return "Convert them with labels.astype(int)."
    if numbers.dtype.kind in "fc":
        return "These are measurements or missing values: leave such rows out, or number the classes."
    return "Number them with classes, labels = numpy.unique(labels, return_inverse=True)."


def require_labels(labels: NDArray[np.integer], n_classes: int) -> None:
    """Refuse labels that are neither of the two forms.

    Raises: ShapeError: saying what was given.
    """
    if is_multilabel(labels):
        if labels.shape[1] != n_classes or not np.isin(labels, (SHOWN, DIFFICULT, ABSENT)).all():
            raise ShapeError(
                f"Several labels per row are [n, {n_classes}] of {SHOWN}, {DIFFICULT} and {ABSENT}, "
                f"not {list(labels.shape)} in {labels.min(initial=0)} … {labels.max(initial=0)}."
            )
    elif len(labels) and (labels.min() < 0 or labels.max() >= n_classes):
        raise ShapeError(f"Labels must lie in 0 … {n_classes - 1}.")


def class_counts(labels: NDArray[np.integer], n_classes: int) -> NDArray[np.int64]:
    """How many rows show each class, ``[c]``; difficult ones are not counted."""
    if is_multilabel(labels):
        return np.asarray((labels == SHOWN).sum(0), np.int64)
    return np.bincount(labels, minlength=n_classes)


def members(labels: NDArray[np.integer], label: int) -> NDArray[np.int64]:
    """The numbers of the rows that show a class, ascending."""
    return np.flatnonzero(labels[:, label] == SHOWN if is_multilabel(labels) else labels == label)


def class_name(labels: NDArray[np.integer], row: int, classes: Sequence[str]) -> str:
    """What one row shows, for people: its class, or all of its classes joined with ``+``.

    >>> class_name(np.array([[1, -1, 1], [-1, 0, -1]]), 0, ["cat", "dog", "sofa"])
    'cat+sofa'
    >>> class_name(np.array([[1, -1, 1], [-1, 0, -1]]), 1, ["cat", "dog", "sofa"])
    'no class'
    """
    if not is_multilabel(labels):
        return classes[labels[row]]
    return "+".join(classes[label] for label in np.flatnonzero(labels[row] == SHOWN).tolist()) or "no class"


def stratify_labels(labels: NDArray[np.integer]) -> NDArray[np.int64]:
    """What rows are divided evenly by, ``[n]``: their class; nothing where they have several."""
    return np.zeros(len(labels), np.int64) if is_multilabel(labels) else labels.astype(np.int64, copy=False)


def require_one_label(labels: NDArray[np.integer], *, data: str, what: str, instead: str) -> None:
    """Refuse rows with several labels.

    Args:
        labels: in either form.
        data: whose they are.
        what: needs one label, to fill "… needs one label an image".
        instead: a sentence that says what else can be done.

    Raises: DataError: then.
    """
    if is_multilabel(labels):
        raise DataError(f"{data} has several labels an image, and {what} needs one label an image. {instead}")
