"""Images that are in memory, or that a torch data set hands out, as splits."""

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

_MOST_CLASSES = 1_000_000  # labels above are identifiers; their classes would fill the memory
_LOOKED_AT_TWICE = 8  # images at the start, to notice random augmentation


@dataclass(frozen=True, eq=False)
class ArrayReader:
    """Hands out images that are in memory.

    Attributes:
        images: ``[n, h, w, 3]``.
    """

    images: NDArray[np.uint8]

    def image(self, row: int) -> NDArray[np.uint8]:
        """As ``Reader.image``."""
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
    """Images in memory as a split.

    Args:
        images: ``[n, h, w, 3]``.
        labels: ``[n]`` integers in ``0 … c-1``.
        name: of the data set.
        split: ``train``, ``val``, ``test`` or ``all``.
        classes: ``[c]`` names; numbers unless given.
        ids: ``[n]`` unique; row numbers unless given.

    Raises:
        ShapeError: if shapes or types are not those.
        DataError: if a label or an id cannot be meant.
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
    """Hands out the images of a map-style torch data set.

    Attributes:
        dataset: items are ``(image, label)``.
    """

    dataset: Any

    def image(self, row: int) -> NDArray[np.uint8]:
        """As ``Reader.image``; an ``OSError`` of the data set means that the row cannot be read."""
        return self.item(row)[0]

    def item(self, row: int) -> tuple[NDArray[np.uint8], Any]:
        """The image ``[h, w, 3]`` and the label as the data set gives it."""
        try:
            image, label = self.dataset[row]
        except (OSError, SyntaxError, Image.DecompressionBombError) as error:  # of broken files
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
    """A map-style torch data set of ``(image, label)`` as a split.

    Images are Pillow's; arrays uint8 ``[h, w, 3]`` or ``[h, w]``; or tensors, uint8 or floating point in
    0 … 1, ``[3, h, w]`` or ``[1, h, w]``. Leave normalisation and random augmentation out of the data
    set's transform: the encoder's view normalises. A list in ``dataset.groups``, one name or number per
    image, says which images are not independent, such as those of one patient.

    Args:
        dataset: has ``__len__`` and ``__getitem__``.
        name: of the data set.
        split: ``train``, ``val``, ``test`` or ``all``.
        fingerprint: changes whenever the content does; unless given, every image is read once for it.
        classes: ``[c]`` names; else those in ``dataset.classes``, else numbers.

    Raises: DataError: if images or labels are not those, or an image differs when read again.
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
    """The names that ``groups`` lists, one per image; None where the data set has no such list.

    Raises: DataError: if there is not one per image.
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
    """``[h, w, 3]`` of whatever a data set may give."""
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
    """A tensor ``[c, h, w]`` as uint8."""
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
            "in Normalize, drop it: the encoder's view normalises."
        )
    return (image.double() * 255).round().to(torch.uint8)


def _require_repeatable(reader: TorchReader, n: int) -> None:
    for row in range(min(n, _LOOKED_AT_TWICE)):
        try:
            again = np.array_equal(reader.image(row), reader.image(row))
        except UnreadableImageError:
            continue
        if not again:
            raise DataError(
                f"Image {row} of the data set differs when read again. Drop random augmentation from its "
                "transform: features are computed once."
            )


def _read_once(reader: TorchReader, n: int, listed: Sequence[Any] | None) -> tuple[list[Any], list[str]]:
    """Labels and digests of all images; a row that cannot be read has the label that is listed."""
    labels, contents = [], []
    for row in range(n):
        try:
            image, label = reader.item(row)
            contents.append(pixels_digest(image))
        except UnreadableImageError as error:
            if listed is None:
                raise DataError(
                    f"Image {row} of the data set cannot be read ({error}), and no list says its label. "
                    "Leave the row out, or give the data set a list named targets."
                ) from error
            label = listed[row]
            contents.append(UNREADABLE)
        labels.append(label)
    return labels, contents


def _listed_labels(dataset: Any) -> list[int] | None:
    """The integers that ``targets`` or ``labels`` list, unless the data set hands out others."""
    if getattr(dataset, "target_transform", None) is not None:
        return None
    for attribute in ("targets", "labels"):
        listed = np.asarray(getattr(dataset, attribute, ()), dtype=object)
        if listed.shape == (len(dataset),) and all(hasattr(label, "__index__") for label in listed):
            return [operator.index(label) for label in listed]
    return None


def _listed_classes(dataset: Any) -> Sequence[str] | None:
    """The names in ``classes``; synonyms, as of ImageNet, are joined."""
    listed = getattr(dataset, "classes", None)
    if not isinstance(listed, list | tuple):
        return None
    return [", ".join(one) if isinstance(one, list | tuple) else str(one) for one in listed]


def _paths(dataset: Any) -> list[str] | None:
    """Paths below ``root`` of the files in ``samples`` or ``imgs``, where the data set has them."""
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
    """``classes``, or numbers, for labels that have been checked."""
    count = int(labels.max(initial=-1)) + 1
    if classes is None:
        return tuple(map(str, range(count)))
    if count > len(classes):
        raise DataError(f"A label is {count - 1}, but there are only {len(classes)} classes.")
    return tuple(classes)


def _checked_labels(labels: Sequence[Any] | NDArray, n: int) -> NDArray[np.int64]:
    """``[n]`` integers, none negative; yes and no are 1 and 0."""
    if len(labels) != n:
        raise ShapeError(f"{n} images need {n} labels, not {len(labels)}.")
    numbers = np.empty(n, np.int64)
    for row, label in enumerate(labels):
        try:
            numbers[row] = int(label) if isinstance(label, np.bool_) else operator.index(label)
        except (TypeError, OverflowError) as error:
            plain = label.item() if isinstance(label, np.generic) else label
            raise DataError(
                f"The label of image {row} is {plain!r}: labels must be integers 0 … c-1. "
                "A torch data set can map others with target_transform."
            ) from error
        if numbers[row] < 0:
            raise DataError(f"The label of image {row} is {label}: labels must not be negative.")
        if numbers[row] >= _MOST_CLASSES:
            raise DataError(
                f"The label of image {row} is {label}: labels must be integers 0 … c-1, and below "
                f"{_MOST_CLASSES}. Number the classes consecutively."
            )
    return numbers
