"""Splits of images in memory or of a torch data set."""

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from ..core.errors import DataError, ShapeError, UnreadableImageError
from .dataset import Split
from .decoding import rgb, unreadable
from .fingerprints import UNREADABLE, fingerprint_of, pixels_digest

_MAX_CLASSES = 1_000_000  # larger labels are identifiers, and their classes would exhaust the memory
_REPEATED_READS = 8  # images that are read twice to detect random augmentation


@dataclass(frozen=True, eq=False)
class ArrayReader:
    """Reads images in memory.

    Attributes:
        images: RGB images ``[n, h, w, 3]``.
    """

    images: NDArray[np.uint8]

    def image(self, row: int) -> NDArray[np.uint8]:
        """Decode a row as ``Reader.image`` does."""
        return self.images[row]


def from_arrays(
    images: NDArray[np.uint8],
    labels: Sequence[int] | NDArray[np.integer],
    *,
    name: str,
    split: str,
    classes: Sequence[str] | None = None,
    ids: Sequence[str] | None = None,
) -> Split:
    """Make a split of images in memory.

    Args:
        images: RGB images, uint8 ``[n, h, w, 3]``.
        labels: Integers ``[n]`` in ``0 … c-1``.
        name: Name of the data set.
        split: ``train``, ``val``, ``test`` or ``all``.
        classes: Class names ``[c]``; defaults to numbers.
        ids: Unique image ids ``[n]``; defaults to row numbers.

    Raises:
        ShapeError: If a shape or type is invalid.
        DataError: If a label or an id is invalid.
    """
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
        raise ShapeError(f"Images are uint8 [n, h, w, 3], not {images.dtype} {list(images.shape)}.")
    numbers = _checked_labels(labels, len(images))
    names = _class_names(numbers, classes)
    unique = _unique_ids(_numbered(len(images)) if ids is None else ids, len(images))
    contents = [pixels_digest(image) for image in images]
    fingerprint = fingerprint_of(unique, numbers, names, contents)
    return Split(name, split, unique, numbers, names, fingerprint, ArrayReader(images))


@dataclass(frozen=True, eq=False)
class TorchReader:
    """Reads the images of a map-style torch data set.

    Attributes:
        dataset: Data set whose items are ``(image, label)``.
    """

    dataset: Any

    def image(self, row: int) -> NDArray[np.uint8]:
        """Decode a row as ``Reader.image`` does; an ``OSError`` of the data set marks the row as unreadable."""
        return self.item(row)[0]

    def item(self, row: int) -> tuple[NDArray[np.uint8], Any]:
        """Return the image ``[h, w, 3]`` and the label of a row, as the data set returns it."""
        try:
            image, label = self.dataset[row]
        except (OSError, SyntaxError, Image.DecompressionBombError) as error:  # Pillow raises these for broken files
            raise unreadable(error) from error
        return _pixels(image), label


def from_torch_dataset(
    dataset: Any,
    *,
    name: str,
    split: str,
    fingerprint: str | None = None,
    classes: Sequence[str] | None = None,
) -> Split:
    """Make a split of a map-style torch data set of ``(image, label)``.

    Images are Pillow images; uint8 arrays ``[h, w, 3]`` or ``[h, w]``; or tensors ``[3, h, w]`` or ``[1, h, w]``,
    uint8 or floating point in 0 … 1. Leave normalization and random augmentation out of the transform of the data
    set: the preprocessing of the encoder normalizes. A list ``dataset.groups``, with one name or number per
    image, states which images are not independent, such as those of one patient.

    Args:
        dataset: Data set with ``__len__`` and ``__getitem__``.
        name: Name of the data set.
        split: ``train``, ``val``, ``test`` or ``all``.
        fingerprint: Text that changes whenever the content changes; by default it is computed by reading every
            image once.
        classes: Class names ``[c]``; defaults to ``dataset.classes``, else to numbers.

    Raises: DataError: If images or labels are invalid, or an image differs when it is read again.
    """
    reader = TorchReader(dataset)
    _require_repeatable(reader, len(dataset))
    listed = _listed_labels(dataset)
    if fingerprint is None or listed is None:
        labels, contents = _read_once(reader, len(dataset), listed)
    else:
        labels, contents = listed, []
    numbers = _checked_labels(labels, len(dataset))
    names = _class_names(numbers, _listed_classes(dataset) if classes is None else classes)
    ids = _unique_ids(_paths(dataset) or _numbered(len(dataset)), len(dataset))
    if fingerprint is None:
        fingerprint = fingerprint_of(ids, numbers, names, contents)
    return Split(name, split, ids, numbers, names, fingerprint, reader, groups=_listed_groups(dataset))


def _listed_groups(dataset: Any) -> tuple[str, ...] | None:
    """Return the names in ``groups``, one per image; None if the data set has no such list.

    Raises: DataError: If the list does not have one entry per image.
    """
    listed = getattr(dataset, "groups", None)
    if listed is None:
        return None
    if not hasattr(listed, "__len__") or len(listed) != len(dataset):
        found = f"{len(listed)} entries" if hasattr(listed, "__len__") else type(listed).__name__
        raise DataError(
            f"The data set's groups are {found}, not one per image ({len(dataset)}). Give a list of as many "
            "names, or leave groups out."
        )
    return tuple(map(str, listed))


def _pixels(image: Any) -> NDArray[np.uint8]:
    """Convert an image of any supported type to uint8 ``[h, w, 3]``."""
    if isinstance(image, Image.Image):
        return np.array(rgb(image))
    if isinstance(image, torch.Tensor):
        image = _bytes_of(image.detach().cpu()).numpy().transpose(1, 2, 0)
    if not (isinstance(image, np.ndarray) and image.dtype == np.uint8):
        kind = f"{image.dtype} array" if isinstance(image, np.ndarray) else type(image).__name__
        raise DataError(
            f"An image is a Pillow image, a uint8 array or a tensor, not a {kind}. Scale an array of another "
            "type to 0 … 255, with one scale for the whole data set, and convert it to uint8."
        )
    if image.ndim == 2:
        image = image[:, :, None]
    if image.ndim != 3 or image.shape[2] not in (1, 3):
        raise DataError(f"An image array is [h, w, 3] or [h, w], not {list(image.shape)}.")
    return np.ascontiguousarray(np.broadcast_to(image, (*image.shape[:2], 3)))


def _bytes_of(image: torch.Tensor) -> torch.Tensor:
    """Convert a tensor ``[c, h, w]`` to uint8."""
    if image.ndim != 3 or image.shape[0] not in (1, 3):
        raise DataError(f"An image tensor is [3, h, w] or [1, h, w], not {list(image.shape)}.")
    if image.dtype == torch.uint8:
        return image
    if not image.is_floating_point():
        raise DataError(f"An image tensor is uint8, or floating point in 0 … 1, not {image.dtype}.")
    low, high = float(image.min()), float(image.max())
    if not (low >= 0 and high <= 1):
        raise DataError(
            f"An image's values span {low:.3g} … {high:.3g}, not 0 … 1. If the data set's transform ends "
            "in Normalize, remove it: the preprocessing of the encoder normalizes."
        )
    return (image.double() * 255).round().to(torch.uint8)


def _require_repeatable(reader: TorchReader, n: int) -> None:
    for row in range(min(n, _REPEATED_READS)):
        try:
            again = np.array_equal(reader.image(row), reader.image(row))
        except UnreadableImageError:
            continue
        if not again:
            raise DataError(
                f"Image {row} of the data set differs when it is read again. Remove random augmentation from its "
                "transform: features are computed once."
            )


def _read_once(reader: TorchReader, n: int, listed: Sequence[Any] | None) -> tuple[list[Any], list[str]]:
    """Return the labels and digests of all images; the label of an unreadable row is its listed label."""
    labels, contents = [], []
    for row in range(n):
        try:
            image, label = reader.item(row)
            contents.append(pixels_digest(image))
        except UnreadableImageError as error:
            if listed is None:
                raise DataError(
                    f"Image {row} of the data set cannot be read ({error}), and its label is not listed. "
                    "Leave the row out, or give the data set a list named targets."
                ) from error
            label = listed[row]
            contents.append(UNREADABLE)
        labels.append(label)
    return labels, contents


def _listed_labels(dataset: Any) -> list[int] | None:
    """Return the integers in ``targets`` or ``labels``, unless a target transform changes them."""
    if getattr(dataset, "target_transform", None) is not None:
        return None
    for attribute in ("targets", "labels"):
        listed = np.asarray(getattr(dataset, attribute, ()), dtype=object)
        if listed.shape == (len(dataset),) and all(hasattr(label, "__index__") for label in listed):
            return [operator.index(label) for label in listed]
    return None


def _listed_classes(dataset: Any) -> Sequence[str] | None:
    """Return the names in ``classes``; synonyms, as in ImageNet, are joined."""
    listed = getattr(dataset, "classes", None)
    if not isinstance(listed, list | tuple):
        return None
    return [", ".join(one) if isinstance(one, list | tuple) else str(one) for one in listed]


def _paths(dataset: Any) -> list[str] | None:
    """Return the paths in ``samples`` or ``imgs`` relative to ``root``, or None if the data set lists none."""
    samples: Any = getattr(dataset, "samples", None) or getattr(dataset, "imgs", ())
    try:
        return [Path(sample[0]).relative_to(dataset.root).as_posix() for sample in samples]
    except (AttributeError, LookupError, TypeError, ValueError):
        return None


def _numbered(n: int) -> list[str]:
    width = len(str(max(n - 1, 0)))
    return [f"{row:0{width}}" for row in range(n)]


def _unique_ids(ids: Sequence[str], n: int) -> tuple[str, ...]:
    if len(ids) != n:
        raise ShapeError(f"{n} images need {n} ids, not {len(ids)}.")
    if len(set(ids)) < n:
        repeated = next(one for number, one in enumerate(ids) if one in ids[:number])
        raise DataError(f"The id {repeated!r} occurs twice: ids must be unique.")
    return tuple(ids)


def _class_names(labels: NDArray[np.int64], classes: Sequence[str] | None) -> tuple[str, ...]:
    """Return ``classes``, or numbers, for checked labels."""
    count = int(labels.max(initial=-1)) + 1
    if classes is None:
        return tuple(map(str, range(count)))
    if count > len(classes):
        raise DataError(f"A label is {count - 1}, but there are only {len(classes)} classes.")
    return tuple(classes)


def _checked_labels(labels: Sequence[Any] | NDArray, n: int) -> NDArray[np.int64]:
    """Convert labels to non-negative integers ``[n]``; booleans become 1 and 0."""
    if len(labels) != n:
        raise ShapeError(f"{n} images need {n} labels, not {len(labels)}.")
    numbers = np.empty(n, np.int64)
    for row, label in enumerate(labels):
        try:
            numbers[row] = int(label) if isinstance(label, np.bool_) else operator.index(label)
        except (TypeError, OverflowError) as error:
            plain = label.item() if isinstance(label, np.generic) else label
            raise DataError(
                f"The label of image {row} is {plain!r}. Labels must be integers in 0 … c-1. "
                "A torch data set can convert other labels with target_transform."
            ) from error
        if numbers[row] < 0:
            raise DataError(f"The label of image {row} is {label}. Labels must be integers in 0 … c-1.")
        if numbers[row] >= _MAX_CLASSES:
            raise DataError(
                f"The label of image {row} is {label}. Labels must be integers in 0 … c-1, and below "
                f"{_MAX_CLASSES}. Number the classes consecutively."
            )
    return numbers
