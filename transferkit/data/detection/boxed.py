"""The contract of detection sets: a split has rows, and each row has an image and its annotated objects.

All other modules of this package depend on these classes.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from ...core.errors import DataError, NonFiniteError, ShapeError
from ...core.files import digest_of
from ...core.progress import SILENT, Reporter
from ...core.registry import Registry
from ..dataset import Reader

if TYPE_CHECKING:
    from .listing import PublishedBoxes

OnFault = Literal["skip", "stop"]
"""Handling of an invalid annotation: it is left out and listed, or opening the data set raises an error."""


@dataclass(frozen=True, eq=False)
class ImageBoxes:
    """Annotated objects of one image.

    Shapes: ``m`` objects, possibly 0.

    Attributes:
        boxes: Left, top, right and bottom in pixels as annotated ``[m, 4]``, with ``left < right`` and
            ``top < bottom``. A box overlaps its image and may extend over its edge. The box of only the first pixel
            is 0, 0, 1, 1.
        labels: Integers ``[m]`` in ``0 … c-1``.
        difficult: Objects that do not count as detected or missed, as in VOC ``[m]``.
        crowd: Boxes around many objects of a class, as in COCO ``[m]``.
        areas: Area of each object in square pixels if its outline is known, else of its box ``[m]``.

    Raises:
        ShapeError: If an array has another shape.
        NonFiniteError: If a box or an area is not finite.
    """

    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    difficult: NDArray[np.bool_]
    crowd: NDArray[np.bool_]
    areas: NDArray[np.float32]

    def __post_init__(self) -> None:
        m = len(self.labels)
        if self.boxes.shape != (m, 4):
            raise ShapeError(f"{m} objects need boxes [{m}, 4], not {list(self.boxes.shape)}.")
        for name in ("labels", "difficult", "crowd", "areas"):
            if getattr(self, name).shape != (m,):
                raise ShapeError(f"{m} objects need {name} [{m}], not {list(getattr(self, name).shape)}.")
        if not (np.isfinite(self.boxes).all() and np.isfinite(self.areas).all()):
            raise NonFiniteError("A box or an area of an object is NaN or infinite. Leave such objects out.")

    def __len__(self) -> int:
        return len(self.labels)

    @classmethod
    def of(cls, annotations: Sequence["Annotation"]) -> "ImageBoxes":
        """Collect the objects of a list of annotations, in its order."""
        return cls(
            np.array([annotation.box for annotation in annotations], np.float32).reshape(-1, 4),
            np.array([annotation.label for annotation in annotations], np.int64),
            np.array([annotation.difficult for annotation in annotations], bool),
            np.array([annotation.crowd for annotation in annotations], bool),
            np.array(
                [
                    box_area(annotation.box) if annotation.area is None else annotation.area
                    for annotation in annotations
                ],
                np.float32,
            ),
        )

    def to_json(self) -> list[list[float]]:
        """Return plain values, for digests."""
        columns = (self.labels, self.difficult, self.crowd, self.areas)
        return [[*box, *rest] for box, *rest in zip(self.boxes.tolist(), *(c.tolist() for c in columns), strict=True)]


Box = tuple[float, float, float, float]
"""Left, top, right and bottom in pixels."""


@dataclass(frozen=True)
class Annotation:
    """Annotation of one object.

    Attributes:
        box: Left, top, right and bottom in pixels.
        label: Class in ``0 … c-1``.
        difficult, crowd: Flags, see ``ImageBoxes``.
        area: Area in square pixels; None for the area of the box.
    """

    box: Box
    label: int
    difficult: bool = False
    crowd: bool = False
    area: float | None = None


def box_area(box: Box) -> float:
    """Compute the area of a box in square pixels."""
    return (box[2] - box[0]) * (box[3] - box[1])


@dataclass(frozen=True)
class Fault:
    """An invalid annotation or image, which was left out.

    Attributes:
        where: Id of the image, with the number of the object if there is one.
        kind: Kind of fault in a few words, such as ``no area``.
        detail: Invalid values; may be empty.
    """

    where: str
    kind: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.where}: {self.kind}" + (f" ({self.detail})" if self.detail else "")


@dataclass(frozen=True, eq=False)
class DetectionSplit:
    """The rows of one split, in a fixed order.

    Shapes: ``n`` rows, ``c`` classes.

    Attributes:
        dataset: Canonical spec of the data set, such as ``mini/scenes`` or ``voc0712``.
        name: ``train``, ``val`` or ``test``.
        ids: Stable, readable and unique image ids ``[n]``: paths relative to the root, with ``/``.
        sizes: Height and width of each image in pixels ``[n, 2]``.
        objects: Annotated objects of each image ``[n]``.
        classes: Class names ``[c]``; they are the same in every split of the data set.
        fingerprint: Hex digest of ids, sizes, objects, class names and the bytes of every image.
        reader: Decoder of the rows.
        faults: Annotations and images that were left out.

    Raises: DataError: If two classes have the same name, because results are listed by class name, or if a label is
        out of range.
    """

    dataset: str
    name: str
    ids: tuple[str, ...]
    sizes: NDArray[np.int64]
    objects: tuple[ImageBoxes, ...]
    classes: tuple[str, ...]
    fingerprint: str
    reader: Reader
    faults: tuple[Fault, ...] = ()

    def __post_init__(self) -> None:
        if repeated := [name for name, count in Counter(self.classes).items() if count > 1]:
            raise DataError(
                f"{self.dataset} has two classes with the name {repeated[0]!r}. Give each class a different name."
            )
        for one, objects in zip(self.ids, self.objects, strict=True):
            if len(objects) and not 0 <= objects.labels.min() <= objects.labels.max() < len(self.classes):
                labels = sorted(set(objects.labels.tolist()))
                raise DataError(
                    f"{self.dataset}: {one} has the labels {labels}, but the labels of {len(self.classes)} "
                    f"classes are 0 … {len(self.classes) - 1}. Correct the labels."
                )

    def __len__(self) -> int:
        return len(self.ids)

    def boxes_per_class(self) -> dict[str, int]:
        """Count the annotated objects of each class, including difficult ones and crowds."""
        labels = np.concatenate([one.labels for one in self.objects]) if self.objects else np.empty(0, int)
        counts = np.bincount(labels, minlength=len(self.classes))
        return {name: int(count) for name, count in zip(self.classes, counts, strict=True)}


def detection_fingerprint(
    ids: Sequence[str],
    sizes: NDArray[np.integer],
    objects: Sequence[ImageBoxes],
    classes: Sequence[str],
    contents: Sequence[str],
) -> str:
    """Compute the fingerprint of a split: 64 hex characters.

    Args:
        ids: Image ids ``[n]``.
        sizes: Heights and widths ``[n, 2]``.
        objects: Annotated objects ``[n]``.
        classes: Class names ``[c]``.
        contents: Digests of the images ``[n]``.
    """
    annotations = [one.to_json() for one in objects]
    return digest_of([list(ids), sizes.tolist(), annotations, list(classes), list(contents)])


@dataclass(frozen=True, eq=False)
class DetectionDataset:
    """A named detection set with its splits.

    Attributes:
        spec: Canonical spec, in which the path of a folder is absolute.
        splits: Splits by name, in the order ``train``, ``val``, ``test``.
        category_ids: Category id of each class in the published annotations ``[c]``; those of COCO have gaps.
        source: Origin of the images, as text.
        licence: Licence of the images.
    """

    spec: str
    splits: Mapping[str, DetectionSplit]
    category_ids: tuple[int, ...]
    source: str = ""
    licence: str = ""

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the labels."""
        return next(iter(self.splits.values())).classes

    @property
    def label_of_category(self) -> dict[int, int]:
        """Category id → label, the inverse of ``category_ids``."""
        return {category: label for label, category in enumerate(self.category_ids)}

    @property
    def scored_on(self) -> str:
        """Split on which results are published: ``test`` if it exists, else ``val``."""
        return "test" if "test" in self.splits else "val"

    def split(self, name: str) -> DetectionSplit:
        """Return the split ``name``.

        Raises: DataError: If the split does not exist; the message names the existing splits.
        """
        if name not in self.splits:
            raise DataError(f"{self.spec} has no split {name!r}. Choose from: {', '.join(self.splits)}.")
        return self.splits[name]


class DetectionOpener(Protocol):
    """Opens one kind of detection set from ``rest``, the part of a spec after the registered name."""

    @property
    def description(self) -> str:
        """Description for users."""

    @property
    def class_count(self) -> int:
        """Number of classes."""

    @property
    def image_count(self) -> int:
        """Published number of images in all splits."""

    @property
    def licence(self) -> str:
        """Licence of the images."""

    @property
    def published(self) -> "PublishedBoxes | None":
        """Publication of the data set; None if its images are drawn."""

    def __call__(
        self, rest: str, *, root: Path, on_error: OnFault = "skip", reporter: Reporter = SILENT
    ) -> DetectionDataset:
        """Open the detection set.

        Args:
            rest: Part of the spec after the colon; empty for a plain name.
            root: Data folder, where prepared data sets are stored.
            on_error: Handling of invalid annotations.
            reporter: Receives the progress, and notes on omitted annotations.
        """


DETECTION: Registry[DetectionOpener] = Registry("detection set")
