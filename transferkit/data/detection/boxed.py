"""The contract of detection sets: a split has rows, a row has an image and the objects marked in it.

Read this first, then any sibling.
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
"""What becomes of an annotation that cannot be meant: it is left out and listed, or the set is refused."""


@dataclass(frozen=True, eq=False)
class ImageBoxes:
    """What is marked in one image.

    Shapes: ``m`` objects, perhaps none.

    Attributes:
        boxes: ``[m, 4]`` left, top, right, bottom in pixels, as annotated: ``left < right``, and so down the
            image. A box overlaps its image and may extend over its edge. One that holds the first pixel
            alone is 0, 0, 1, 1.
        labels: ``[m]`` integers in ``0 … c-1``.
        difficult: ``[m]`` objects that a detector is neither rewarded nor punished for, as of VOC.
        crowd: ``[m]`` boxes around many objects of a kind, as of COCO.
        areas: ``[m]`` square pixels that the object covers, where its outline is known; else its box's.

    Raises:
        ShapeError: if the arrays are not those.
        NonFiniteError: if a box or an area is not finite.
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
            raise NonFiniteError("A box or an area of an object is NaN or infinite: leave such objects out.")

    def __len__(self) -> int:
        return len(self.labels)

    @classmethod
    def of(cls, marks: Sequence["Annotation"]) -> "ImageBoxes":
        """The objects of a list of marks, in its order."""
        return cls(
            np.array([mark.box for mark in marks], np.float32).reshape(-1, 4),
            np.array([mark.label for mark in marks], np.int64),
            np.array([mark.difficult for mark in marks], bool),
            np.array([mark.crowd for mark in marks], bool),
            np.array([box_area(mark.box) if mark.area is None else mark.area for mark in marks], np.float32),
        )

    def to_json(self) -> list[list[float]]:
        """Plain values, for digests."""
        columns = (self.labels, self.difficult, self.crowd, self.areas)
        return [[*box, *rest] for box, *rest in zip(self.boxes.tolist(), *(c.tolist() for c in columns), strict=True)]


Box = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels."""


@dataclass(frozen=True)
class Annotation:
    """One object as an annotation gives it.

    Attributes:
        box: left, top, right, bottom.
        label: in ``0 … c-1``.
        difficult, crowd: as of ``ImageBoxes``.
        area: in square pixels; None for the box's.
    """

    box: Box
    label: int
    difficult: bool = False
    crowd: bool = False
    area: float | None = None


def box_area(box: Box) -> float:
    """Square pixels."""
    return (box[2] - box[0]) * (box[3] - box[1])


@dataclass(frozen=True)
class Fault:
    """An annotation, or an image, that was left out.

    Attributes:
        where: the image's id, perhaps with the number of the object.
        kind: a few words that many faults share, such as ``no area``.
        detail: the values at fault; may be empty.
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
        dataset: the data set's canonical spec, such as ``mini/scenes`` or ``voc0712``.
        name: ``train``, ``val`` or ``test``.
        ids: ``[n]`` stable, readable, unique: the image's path below the root, with ``/``.
        sizes: ``[n, 2]`` height and width of each image, in pixels.
        objects: ``[n]`` what is marked in each.
        classes: ``[c]`` names; the same for every split of the data set.
        fingerprint: hex digest over ids, sizes, objects, class names and every image's bytes.
        reader: decodes row ``i``.
        faults: what was left out.

    Raises: DataError: if two classes have one name, as tables by class would lose one of them, or if a label
        is of no class.
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
        if twice := [name for name, count in Counter(self.classes).items() if count > 1]:
            raise DataError(f"{self.dataset} has two classes with the name {twice[0]!r}: give each a name of its own.")
        for one, objects in zip(self.ids, self.objects, strict=True):
            if len(objects) and not 0 <= objects.labels.min() <= objects.labels.max() < len(self.classes):
                labels = sorted(set(objects.labels.tolist()))
                raise DataError(
                    f"{self.dataset}: {one} has the labels {labels}, but labels of {len(self.classes)} "
                    f"classes are 0 … {len(self.classes) - 1}."
                )

    def __len__(self) -> int:
        return len(self.ids)

    def boxes_per_class(self) -> dict[str, int]:
        """Class → how many objects of it are marked, difficult ones and crowds too."""
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
    """The fingerprint of a split: hex, 64 characters.

    Args:
        ids: ``[n]``.
        sizes: ``[n, 2]``.
        objects: ``[n]``.
        classes: ``[c]`` names.
        contents: ``[n]`` digests of the images.
    """
    marks = [one.to_json() for one in objects]
    return digest_of([list(ids), sizes.tolist(), marks, list(classes), list(contents)])


@dataclass(frozen=True, eq=False)
class DetectionDataset:
    """A named thing with splits of images with boxes.

    Attributes:
        spec: canonical; a folder's path is absolute in it.
        splits: by name, in the order ``train``, ``val``, ``test``.
        category_ids: ``[c]`` the number that the published annotations have for each class; COCO's have gaps.
        source: where the images come from, for people.
        licence: under which they may be used.
    """

    spec: str
    splits: Mapping[str, DetectionSplit]
    category_ids: tuple[int, ...]
    source: str = ""
    licence: str = ""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return next(iter(self.splits.values())).classes

    @property
    def label_of_category(self) -> dict[int, int]:
        """The reverse of ``category_ids``."""
        return {category: label for label, category in enumerate(self.category_ids)}

    @property
    def scored_on(self) -> str:
        """The split that publications score: ``test`` where there is one, else ``val``."""
        return "test" if "test" in self.splits else "val"

    def split(self, name: str) -> DetectionSplit:
        """The split called ``name``.

        Raises: DataError: if there is none, naming those there are.
        """
        if name not in self.splits:
            raise DataError(f"{self.spec} has no split {name!r}, only {', '.join(self.splits)}.")
        return self.splits[name]


class DetectionOpener(Protocol):
    """Opens the detection set that ``rest`` (what follows the registered name) stands for."""

    @property
    def description(self) -> str:
        """What it is, for people."""

    @property
    def class_count(self) -> int:
        """How many classes it has."""

    @property
    def image_count(self) -> int:
        """How many images are published, in all splits."""

    @property
    def licence(self) -> str:
        """Under which the images may be used."""

    @property
    def published(self) -> "PublishedBoxes | None":
        """What its authors published, and how it is got; None for what is drawn."""

    def __call__(
        self, rest: str, *, root: Path, on_error: OnFault = "skip", reporter: Reporter = SILENT
    ) -> DetectionDataset:
        """Open it.

        Args:
            rest: what stands behind the colon of the spec; empty for a plain name.
            root: the data folder, for sets that are kept there.
            on_error: what becomes of annotations that cannot be meant.
            reporter: told how far long work has come, and what was left out.
        """


DETECTION: Registry[DetectionOpener] = Registry("detection set")
