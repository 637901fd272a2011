"""Data loading for a detector: images and boxes, their order and their preprocessing, in worker processes."""

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

_TRIES = 20  # maximum number of consecutive unreadable images


@dataclass(frozen=True, eq=False)
class ImageBatch:
    """A batch of images for training or testing.

    Attributes:
        rows: indices of the readable rows in the split ``[b]``.
        images: list of ``b`` uint8 images ``[3, h, w]``.
        targets: list of ``b`` dictionaries of ``boxes`` ``[m, 4]`` and ``labels`` ``[m]``, starting from 1; empty
            in testing.
        reasons: row → error message, for rows that could not be read.
    """

    rows: NDArray[np.int64]
    images: list[Tensor]
    targets: list[dict[str, Tensor]]
    reasons: dict[int, str]


def target_of(objects: ImageBoxes, size: tuple[int, int]) -> dict[str, Tensor]:
    """Return the training targets of an image: objects with an area, without crowds, with difficult ones.

    Boxes are clipped to the image, whose height and width are ``size``.

    Returns: ``boxes`` float32 ``[m, 4]`` and ``labels`` int64 ``[m]``, starting from 1.
    """
    height, width = size
    boxes = np.clip(objects.boxes, 0, np.array([width, height, width, height], np.float32))
    kept = ~objects.crowd & (boxes[:, 2:] > boxes[:, :2]).all(1)
    return {
        "boxes": torch.from_numpy(boxes[kept].astype(np.float32)).reshape(-1, 4),
        "labels": torch.from_numpy(objects.labels[kept] + 1),
    }


def require_objects(train: DetectionSplit, scored: DetectionSplit) -> None:
    """Refuse a data set without boxes to train on or to score.

    Raises: DataError: if no box remains in either split, not counting crowds and ignored boxes.
    """
    sizes = train.sizes.tolist()
    targets = (target_of(one, size)["labels"] for one, size in zip(train.objects, sizes, strict=True))
    if not any(map(len, targets)):
        crowds = sum(int(one.crowd.sum()) for one in train.objects)
        detail = f": all {crowds} are crowds (iscrowd 1)" if crowds else ""
        raise DataError(
            f"{train.dataset} has no box to train on in {train.name}{detail}. Correct the annotations, or choose "
            "another data set."
        )
    if not any((~(one.crowd | one.difficult)).any() for one in scored.objects):
        raise DataError(
            f"{scored.dataset} has no object to score in {scored.name}, not counting crowds and difficult "
            "objects. Correct the annotations, or choose another data set."
        )


@dataclass(frozen=True)
class TrainingItems(torch.utils.data.Dataset):
    """Training batches for torch's loader, indexed by a step and its rows.

    Attributes:
        split: the training split.
        view: augmentation of the images.
        seed: seed of the augmentation.
    """

    split: DetectionSplit
    view: TrainingView
    seed: int

    def __getitem__(self, step_and_rows: tuple[int, NDArray[np.int64]]) -> ImageBatch | DataError:
        step, rows = step_and_rows
        reasons: dict[int, str] = {}
        images, targets = [], []
        try:
            for row in rows.tolist():
                image, used = self._image(row, reasons)
                rng = generator(self.seed, "detection view", step, row)
                image, objects = self.view(image, self.split.objects[used], rng)
                images.append(image)
                targets.append(target_of(objects, (image.shape[1], image.shape[2])))
        except DataError as error:  # returned, because the loader would hide its message in a traceback
            return error
        return ImageBatch(rows, images, targets, reasons)

    def _image(self, row: int, reasons: dict[int, str]) -> tuple[Tensor, int]:
        """Return the image of ``row``, or of the next readable row, and the index of that row."""
        for offset in range(_TRIES):
            used = (row + offset) % len(self.split)
            try:
                return _tensor(self.split.reader.image(used)), used
            except UnreadableImageError as error:
                reasons[used] = str(error)
        raise DataError(
            f"{self.split.dataset}: {_TRIES} consecutive images cannot be read, such as "
            f"{self.split.ids[row]} ({reasons[row]}). Download the data again."
        )


@dataclass(frozen=True)
class ScoredItems(torch.utils.data.Dataset):
    """Test batches for torch's loader, indexed by rows; unreadable rows are left out."""

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
    """Return the augmentation of training images."""
    return TrainingView(shorter=settings.min_size, max_size=settings.max_size, flip_prob=settings.flip_prob)


@dataclass(frozen=True)
class Order:
    """Order of the training rows: the rows of each step.

    Each epoch shuffles the images and groups wide ones and tall ones into batches, which keeps padding small;
    images that do not fill a batch are left out of the epoch.

    Attributes:
        sizes: height and width of each image ``[n, 2]``.
        batch: images per step.
        seed: seed of the shuffles.

    Raises: DataError: if there are fewer images than the batch size.
    """

    sizes: NDArray[np.int64]
    batch: int
    seed: int

    def __post_init__(self) -> None:
        if len(self.sizes) < self.batch:
            raise DataError(
                f"{counted(len(self.sizes), 'image')} cannot fill --batch {self.batch}: "
                "give a smaller batch, or more images."
            )

    def steps(self, first: int, end: int) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """Yield the steps ``first … end - 1``, each with its rows ``[batch]``."""
        per_epoch = len(self.sizes) // self.batch
        epoch, batches = -1, []
        for step in range(first, end):
            if step // per_epoch != epoch:
                epoch = step // per_epoch
                batches = self._batches(epoch)
            yield step, batches[step % per_epoch]

    def _batches(self, epoch: int) -> list[NDArray[np.int64]]:
        rng = generator(self.seed, "detection order", epoch)
        order = rng.permutation(len(self.sizes))
        wide = self.sizes[order, 1] >= self.sizes[order, 0]
        groups = [order[wide], order[~wide]]
        ends = [len(group) // self.batch * self.batch for group in groups]  # rows of each group in full batches
        rest = [group[end:] for group, end in zip(groups, ends, strict=True)]
        rows = np.concatenate([*(group[:end] for group, end in zip(groups, ends, strict=True)), *rest])
        batches = rows[: len(rows) // self.batch * self.batch].reshape(-1, self.batch)
        return [batches[index] for index in rng.permutation(len(batches))]


def part_of(rows: Any, *, process: int, processes: int) -> Any:
    """Return one process's part of a batch; the parts are equal and consecutive."""
    size = len(rows) // processes
    return rows[process * size : (process + 1) * size]
