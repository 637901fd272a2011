"""Images and boxes for a detector, decoded by worker processes: which rows, in which order, how they look."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...core.errors import DataError, UnreadableImageError
from ...core.seeding import generator
from ...core.wording import counted
from ...data.detection.boxed import DetectionSplit, ImageBoxes
from ...data.detection.transforms import TrainingView, resized, scaled_size
from .settings import DetectSettings

_TRIES = 20  # images in a row that may be unreadable


@dataclass(frozen=True, eq=False)
class ImageBatch:
    """Images of one step or one stretch of a test.

    Attributes:
        rows: ``[b]`` of the split, those that could be read.
        images: ``[b]`` of uint8 ``[3, h, w]``.
        targets: ``[b]`` of ``boxes`` ``[m, 4]`` and ``labels`` ``[m]`` from 1 on; none in a test.
        reasons: row → why it could not be read.
    """

    rows: NDArray[np.int64]
    images: list[Tensor]
    targets: list[dict[str, Tensor]]
    reasons: dict[int, str]


def target_of(objects: ImageBoxes, size: tuple[int, int]) -> dict[str, Tensor]:
    """What a detector is to find: objects that are no crowd and have an area; difficult ones, too.

    A box is cut at the edge of its image, whose height and width ``size`` is.

    Returns: ``boxes`` float32 ``[m, 4]`` and ``labels`` int64 ``[m]`` from 1 on.
    """
    height, width = size
    boxes = np.clip(objects.boxes, 0, np.array([width, height, width, height], np.float32))
    kept = ~objects.crowd & (boxes[:, 2:] > boxes[:, :2]).all(1)
    return {
        "boxes": torch.from_numpy(boxes[kept].astype(np.float32)).reshape(-1, 4),
        "labels": torch.from_numpy(objects.labels[kept] + 1),
    }


def require_objects(train: DetectionSplit, scored: DetectionSplit) -> None:
    """Refuse a data set on which a detector would be trained for nothing.

    Raises: DataError: if no box is left to train on, or none to be found, crowds and the like left aside.
    """
    sizes = train.sizes.tolist()
    targets = (target_of(one, size)["labels"] for one, size in zip(train.objects, sizes, strict=True))
    if not any(map(len, targets)):
        crowds = sum(int(one.crowd.sum()) for one in train.objects)
        told = f": all {crowds} are crowds (iscrowd 1)" if crowds else ""
        raise DataError(
            f"{train.dataset} has no box to train on in {train.name}{told}. Correct the annotations, or name "
            "another data set."
        )
    if not any((~(one.crowd | one.difficult)).any() for one in scored.objects):
        raise DataError(
            f"{scored.dataset} has no object to be found in {scored.name}, crowds and difficult ones left "
            "aside. Correct the annotations, or name another data set."
        )


@dataclass(frozen=True)
class TrainingItems(torch.utils.data.Dataset):
    """Asked for a step and its rows, gives what is shown; asked by torch's loader.

    Attributes:
        split: whose rows they are.
        view: how they are changed.
        seed: of the changes.
    """

    split: DetectionSplit
    view: TrainingView
    seed: int

    def __getitem__(self, asked: tuple[int, NDArray[np.int64]]) -> ImageBatch | DataError:
        step, rows = asked
        reasons: dict[int, str] = {}
        images, targets = [], []
        try:
            for row in rows.tolist():
                image, used = self._image(row, reasons)
                rng = generator(self.seed, "detection view", step, row)
                image, objects = self.view(image, self.split.objects[used], rng)
                images.append(image)
                targets.append(target_of(objects, (image.shape[1], image.shape[2])))
        except DataError as error:  # as a value: the loader would bury its message in a traceback
            return error
        return ImageBatch(rows, images, targets, reasons)

    def _image(self, row: int, reasons: dict[int, str]) -> tuple[Tensor, int]:
        """The image of ``row``, else of the next row that can be read, and which row that is."""
        for ahead in range(_TRIES):
            used = (row + ahead) % len(self.split)
            try:
                return _tensor(self.split.reader.image(used)), used
            except UnreadableImageError as error:
                reasons[used] = str(error)
        raise DataError(
            f"{self.split.dataset}: {_TRIES} images in a row cannot be read, such as "
            f"{self.split.ids[row]} ({reasons[row]}). Fetch the data anew."
        )


@dataclass(frozen=True)
class ScoredItems(torch.utils.data.Dataset):
    """Asked for rows, gives them as they are tested; those that cannot be read are left out."""

    split: DetectionSplit
    side: int
    max_size: int

    def __getitem__(self, rows: NDArray[np.int64]) -> ImageBatch | DataError:
        reasons: dict[int, str] = {}
        images, readable = [], []
        try:
            for row in rows.tolist():
                try:
                    image = _tensor(self.split.reader.image(row))
                except UnreadableImageError as error:
                    reasons[row] = str(error)
                    continue
                height, width = image.shape[1:]
                size = scaled_size(height, width, shorter=self.side, max_size=self.max_size)
                images.append(resized(image, self.split.objects[row], size)[0])
                readable.append(row)
        except DataError as error:
            return error
        return ImageBatch(np.array(readable, np.int64), images, [], reasons)


def _tensor(image: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))


def training_view(settings: DetectSettings) -> TrainingView:
    """How an image is changed in training."""
    return TrainingView(shorter=settings.min_size, max_size=settings.max_size, flip_prob=settings.flip_prob)


@dataclass(frozen=True)
class Order:
    """Which rows are shown in which step.

    An epoch's images are shuffled, and put into batches of wide ones and batches of tall ones, so that little
    is padded; what fills no batch is left to the next epoch's shuffle.

    Attributes:
        sizes: ``[n, 2]`` height and width.
        batch: images a step.
        seed: of the shuffles.

    Raises: DataError: if there are fewer images than fill a batch.
    """

    sizes: NDArray[np.int64]
    batch: int
    seed: int

    def __post_init__(self) -> None:
        if len(self.sizes) < self.batch:
            raise DataError(
                f"{counted(len(self.sizes), 'image')} cannot fill a --batch of {self.batch}: "
                "give fewer, or more images."
            )

    def steps(self, first: int, end: int) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """The rows ``[batch]`` of the steps ``first … end - 1``, with their numbers."""
        whole = len(self.sizes) // self.batch
        epoch, batches = -1, []
        for step in range(first, end):
            if step // whole != epoch:
                epoch = step // whole
                batches = self._batches(epoch)
            yield step, batches[step % whole]

    def _batches(self, epoch: int) -> list[NDArray[np.int64]]:
        rng = generator(self.seed, "detection order", epoch)
        order = rng.permutation(len(self.sizes))
        wide = self.sizes[order, 1] >= self.sizes[order, 0]
        groups = [order[wide], order[~wide]]
        whole = [len(group) // self.batch * self.batch for group in groups]
        left = [group[end:] for group, end in zip(groups, whole, strict=True)]
        rows = np.concatenate([*(g[:end] for g, end in zip(groups, whole, strict=True)), *left])
        batches = rows[: len(rows) // self.batch * self.batch].reshape(-1, self.batch)
        return [batches[place] for place in rng.permutation(len(batches))]


def part_of(rows: Any, *, process: int, processes: int) -> Any:
    """What one process has of a batch: equal, consecutive parts."""
    size = len(rows) // processes
    return rows[process * size : (process + 1) * size]
