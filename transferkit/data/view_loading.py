"""Loading of batches of augmented views, which the decoding processes or the training device compute.

Every view has its own random generator, derived from its epoch and row. The views of an epoch therefore depend on
its number and the rows of its batches, but not on the number of workers or on earlier epochs.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import cycle
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..core.errors import DataError, UnreadableImageError
from ..core.preprocessing import Preprocessing
from ..core.seeding import generator
from ..core.settings import NonNegativeInt, PositiveInt, Settings
from .augment import AugmentSettings, augment_cpu
from .augment_device import augment_batch
from .dataset import Reader, Split
from .loading import load_items
from .resize_and_crop import frame

AugmentDevice = Literal["cpu", "device"]

_SQUARE_RATIO = 8 / 7  # side of the decoded squares relative to the side of views cropped on the device


@dataclass(frozen=True, eq=False)
class ViewBatch:
    """A batch of views.

    Attributes:
        rows: Row numbers in the split ``[b]``; an unreadable image is replaced by another image of the batch.
        views: Views on the device, each float32 ``[b, 3, s, s]`` in 0 … 1.
        reasons: Row → reason of the decoding error.
    """

    rows: NDArray[np.int64]
    views: tuple[Tensor, ...]
    reasons: dict[int, str]


@dataclass(frozen=True)
class ViewSettings(Settings, command_line=False):
    """Settings of view loading.

    Attributes:
        augment: Distributions of the augmentations.
        count: Number of views per image.
        where: ``cpu`` computes views one by one in the decoding processes; ``device`` computes a batch at once on
            the training device, from decoded squares that are slightly larger than the views.
        workers: Number of decoding processes; 0 decodes in this process.
        seed: Seed of the augmentations.
    """

    augment: AugmentSettings
    count: PositiveInt
    where: AugmentDevice = "cpu"
    workers: NonNegativeInt = 0
    seed: NonNegativeInt = 0


def load_views(
    split: Split,
    settings: ViewSettings,
    batches: Iterable[NDArray[np.int64]],
    *,
    epoch: int,
    device: torch.device,
) -> Iterator[ViewBatch]:
    """Yield the views of ``batches`` of rows, in their order.

    Raises: DataError: If a reader rejects the data set, or no image of a batch can be read.
    """
    dataset: Any = _SquareDataset(split.reader, _square_side(settings.augment.size))
    if settings.where == "cpu":
        dataset = _ViewDataset(split.reader, settings, epoch)
    for loaded in load_items(dataset, batches, workers=settings.workers):
        images = tuple(part.to(device, non_blocking=True) for part in loaded.images)
        if settings.where == "cpu":
            views = tuple(part.float().div_(255) for part in images)
        else:
            views = tuple(
                _augment_on_device(loaded, images[0], settings, epoch, view) for view in range(settings.count)
            )
        yield ViewBatch(loaded.rows, views, loaded.reasons)


def _square_side(size: int) -> int:
    return max(64, round(size * _SQUARE_RATIO))


@dataclass(frozen=True, eq=False)
class _Loaded:
    """A batch that a worker returns.

    Attributes:
        rows: Row numbers of the images ``[b]``.
        images: The views, or one tensor of squares, each uint8 ``[b, 3, s, s]``.
        sizes: Height and width of the decoded files ``[b, 2]``; None for views.
        reasons: Row → reason of the decoding error.
    """

    rows: NDArray[np.int64]
    images: tuple[Tensor, ...]
    sizes: NDArray[np.int64] | None
    reasons: dict[int, str]


@dataclass(frozen=True)
class _SquareDataset:
    """Data set whose items are batches of images squashed to one size, indexed by their rows."""

    reader: Reader
    side: int

    def __getitem__(self, rows: NDArray[np.int64]) -> _Loaded | DataError:
        view = Preprocessing(resize=self.side, crop=self.side, fit="squash", interpolation="bilinear")
        squares = torch.empty(len(rows), 3, self.side, self.side, dtype=torch.uint8)
        sizes = np.ones((len(rows), 2), np.int64)
        try:
            images, shown, reasons = _read_images(self.reader, rows)
        except DataError as error:  # as a value, because the loader would hide its message in a traceback
            return error
        for position, image in enumerate(images):
            squares.numpy()[position] = frame(image, view)
            sizes[position] = image.shape[:2]
        return _Loaded(shown, (squares,), sizes, reasons)


@dataclass(frozen=True)
class _ViewDataset:
    """Data set whose items are batches of views, indexed by their rows."""

    reader: Reader
    settings: ViewSettings
    epoch: int

    def __getitem__(self, rows: NDArray[np.int64]) -> _Loaded | DataError:
        side, count = self.settings.augment.size, self.settings.count
        views = tuple(torch.empty(len(rows), 3, side, side, dtype=torch.uint8) for _ in range(count))
        try:
            images, shown, reasons = _read_images(self.reader, rows)
        except DataError as error:
            return error
        for position, (row, image) in enumerate(zip(rows.tolist(), images, strict=True)):
            for index, view in enumerate(views):
                rng = generator(self.settings.seed, "view", self.epoch, row, index)
                view.numpy()[position] = augment_cpu(image, self.settings.augment, rng)
        return _Loaded(shown, views, None, reasons)


def _read_images(
    reader: Reader, rows: NDArray[np.int64]
) -> tuple[list[NDArray[np.uint8]], NDArray[np.int64], dict[int, str]]:
    """Read the images of a batch and replace unreadable ones; return the images, their rows, and the reasons.

    Raises: DataError: If no image can be read.
    """
    images: dict[int, NDArray[np.uint8]] = {}
    reasons: dict[int, str] = {}
    for row in rows.tolist():
        try:
            images[row] = reader.image(row)
        except UnreadableImageError as error:
            reasons[row] = str(error)
    if not images:
        raise DataError(f"None of {len(rows)} images of a batch can be read: {next(iter(reasons.values()))}.")
    substitutes = cycle(images)
    shown = [row if row in images else next(substitutes) for row in rows.tolist()]
    return [images[row] for row in shown], np.array(shown, np.int64), reasons


def _augment_on_device(loaded: _Loaded, squares: Tensor, settings: ViewSettings, epoch: int, view: int) -> Tensor:
    """Compute one view of every image on the device: ``[b, 3, s, s]``."""
    rng = generator(settings.seed, "views", epoch, int(loaded.rows[0]), view)
    return augment_batch(squares, settings.augment, rng, sizes=loaded.sizes)
