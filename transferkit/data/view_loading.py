"""Augmented views by the batch: drawn by the processes that decode, or on the device that trains.

Every view is drawn by a generator of its own, named by what it shows. So the views of an epoch depend on its
number and on the rows of its batches, and neither on the number of workers nor on what came before.
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
from .augment import AugmentSettings, augment_cpu
from .augment_device import augment_batch
from .dataset import Reader, Split
from .loading import load_items
from .resize_and_crop import frame

Where = Literal["cpu", "device"]

_STORED = 8 / 7  # sides of the squares that views are cropped from on the device, by those of the views


@dataclass(frozen=True, eq=False)
class ViewBatch:
    """Views of some images.

    Attributes:
        rows: ``[b]`` of the split; where a file could not be read, another image of the batch is shown again.
        views: each ``[b, 3, s, s]`` float32 in 0 … 1, on the device.
        reasons: row → why it could not be read.
    """

    rows: NDArray[np.int64]
    views: tuple[Tensor, ...]
    reasons: dict[int, str]


@dataclass(frozen=True)
class ViewSettings:
    """How views are made.

    Attributes:
        augment: from which distributions they are drawn.
        count: how many of each image.
        where: ``cpu`` draws them one by one in the decoding processes; ``device`` draws a batch at once where
            the network is trained, out of squares that are decoded a little larger than the views.
        workers: processes that decode; 0 decodes in this one.
        seed: of all draws.
    """

    augment: AugmentSettings
    count: int
    where: Where = "cpu"
    workers: int = 0
    seed: int = 0


def load_views(
    split: Split,
    settings: ViewSettings,
    batches: Iterable[NDArray[np.int64]],
    *,
    epoch: int,
    device: torch.device,
) -> Iterator[ViewBatch]:
    """Views of ``batches`` of rows, in their order.

    Raises: DataError: if a reader refuses the data set, or no image of a batch can be read.
    """
    asked: Any = _Squares(split.reader, _stored_side(settings.augment.size))
    if settings.where == "cpu":
        asked = _Views(split.reader, settings, epoch)
    for loaded in load_items(asked, batches, workers=settings.workers):
        images = tuple(part.to(device, non_blocking=True) for part in loaded.images)
        if settings.where == "cpu":
            views = tuple(part.float().div_(255) for part in images)
        else:
            views = tuple(_drawn(loaded, images[0], settings, epoch, view) for view in range(settings.count))
        yield ViewBatch(loaded.rows, views, loaded.reasons)


def _stored_side(size: int) -> int:
    return max(64, round(size * _STORED))


@dataclass(frozen=True, eq=False)
class _Loaded:
    """What a worker sends.

    Attributes:
        rows: ``[b]`` of the images shown.
        images: uint8 ``[b, 3, s, s]``: the views, or one set of squares.
        sizes: ``[b, 2]`` height and width of the files; None for views.
        reasons: row → why it could not be read.
    """

    rows: NDArray[np.int64]
    images: tuple[Tensor, ...]
    sizes: NDArray[np.int64] | None
    reasons: dict[int, str]


@dataclass(frozen=True)
class _Squares:
    """Asked for rows, gives the images squashed to one size."""

    reader: Reader
    side: int

    def __getitem__(self, rows: NDArray[np.int64]) -> _Loaded | DataError:
        view = Preprocessing(resize=self.side, crop=self.side, fit="squash", interpolation="bilinear")
        squares = torch.empty(len(rows), 3, self.side, self.side, dtype=torch.uint8)
        sizes = np.ones((len(rows), 2), np.int64)
        try:
            found, shown, reasons = _readable(self.reader, rows)
        except DataError as error:  # as a value: the loader would bury its message in a traceback
            return error
        for place, image in enumerate(found):
            squares.numpy()[place] = frame(image, view)
            sizes[place] = image.shape[:2]
        return _Loaded(shown, (squares,), sizes, reasons)


@dataclass(frozen=True)
class _Views:
    """Asked for rows, gives views of them."""

    reader: Reader
    settings: ViewSettings
    epoch: int

    def __getitem__(self, rows: NDArray[np.int64]) -> _Loaded | DataError:
        side, count = self.settings.augment.size, self.settings.count
        views = tuple(torch.empty(len(rows), 3, side, side, dtype=torch.uint8) for _ in range(count))
        try:
            found, shown, reasons = _readable(self.reader, rows)
        except DataError as error:
            return error
        for place, (row, image) in enumerate(zip(rows.tolist(), found, strict=True)):
            for index, view in enumerate(views):
                rng = generator(self.settings.seed, "view", self.epoch, row, index)
                view.numpy()[place] = augment_cpu(image, self.settings.augment, rng)
        return _Loaded(shown, views, None, reasons)


def _readable(
    reader: Reader, rows: NDArray[np.int64]
) -> tuple[list[NDArray[np.uint8]], NDArray[np.int64], dict[int, str]]:
    """An image for every place of a batch, the rows they are of, and why others are not among them.

    Raises: DataError: if there is none to take their place.
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


def _drawn(loaded: _Loaded, squares: Tensor, settings: ViewSettings, epoch: int, view: int) -> Tensor:
    """One view of every image, ``[b, 3, s, s]``."""
    rng = generator(settings.seed, "views", epoch, int(loaded.rows[0]), view)
    return augment_batch(squares, settings.augment, rng, sizes=loaded.sizes)
