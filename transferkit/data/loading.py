"""Decoding and preprocessing of batches of images, in worker processes or in this process."""

import multiprocessing
import signal
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from ..core.cores import available_cores
from ..core.errors import DataError, UnreadableImageError
from ..core.preprocessing import Preprocessing
from .dataset import Reader, Split
from .grey import Grey, observed_greys
from .variants import Variant

MOST_WORKERS = 16
UNCHANGED = Variant()
"""The variant that leaves images as they are."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Images ready for an encoder, except for normalisation.

    Attributes:
        rows: row numbers in the split ``[b]``.
        images: images, uint8 ``[b, 3, crop, crop]``; zero for unreadable files.
        reasons: row → reason of the decoding error.
        greys: row → scale of the grey values, for images of more than 8 bits.
    """

    rows: NDArray[np.int64]
    images: torch.Tensor
    reasons: dict[int, str]
    greys: dict[int, Grey] = field(default_factory=dict)


def load_batches(
    split: Split,
    preprocessing: Preprocessing,
    batches: Iterable[NDArray[np.int64]],
    *,
    workers: int,
    variant: Variant = UNCHANGED,
) -> Iterator[Batch]:
    """Load ``batches`` of rows in their order.

    Args:
        split: split of the rows.
        preprocessing: preprocessing of the images.
        batches: batches of row numbers; at most two batches per worker are read in advance, none without workers.
        workers: number of decoding processes; 0 decodes in this process.
        variant: variant of the images.

    Raises: DataError: if a reader rejects the data set itself, not only one image.
    """
    yield from load_items(BatchDataset(split.reader, preprocessing, variant), batches, workers=workers)


def load_items(dataset: Any, batches: Iterable[NDArray[np.int64]], *, workers: int) -> Iterator[Any]:
    """Yield ``dataset[rows]`` for each of ``batches``, in their order, computed by worker processes.

    Args:
        dataset: picklable data set that returns an item, or a ``DataError`` as a value.
        batches: batches of row numbers, which are read lazily as in ``load_batches``.
        workers: number of processes; 0 computes in this process.

    Raises: DataError: the error that the data set returned.
    """
    for loaded in _from_workers(dataset, batches, num_workers=workers):
        if isinstance(loaded, DataError):
            raise loaded
        yield loaded


def can_fork() -> bool:
    """Return True if this process can fork child processes."""
    return "fork" in multiprocessing.get_all_start_methods() and not multiprocessing.current_process().daemon


def map_in_forked_processes(dataset: Any, items: Iterable[Any], *, workers: int) -> Iterator[Any]:
    """Yield ``dataset[item]`` for each of ``items``, in the order of completion, computed by forked processes.

    Each idle process takes the next item.

    Args:
        dataset: data set that the processes inherit; it need not be picklable, but its results must be.
        items: items, which are read lazily.
        workers: number of processes, at least 1; see ``can_fork``.

    Raises: RuntimeError: if a process was killed or failed.
    """
    yield from _from_workers(
        dataset,
        items,
        num_workers=workers,
        multiprocessing_context="fork",
        in_order=False,
        prefetch_factor=1,  # otherwise an item may wait behind a slow one
    )


def _from_workers(dataset: Any, sampler: Iterable[Any], *, num_workers: int, **options: Any) -> Iterator[Any]:
    loader: DataLoader[Any] = DataLoader(
        dataset,
        sampler=sampler,
        batch_size=None,
        num_workers=num_workers,
        collate_fn=_identity,
        worker_init_fn=_ignore_interrupts,
        generator=torch.Generator(),  # otherwise the global generator would be advanced
        **options,
    )
    iterator: Any = iter(loader)
    finished = False
    try:
        yield from iterator
        finished = True
    finally:
        if num_workers:
            if not finished:
                _terminate_workers(iterator)
            iterator._shutdown_workers()  # now, not when a traceback that references them is collected


def _terminate_workers(iterator: Any) -> None:
    """Terminate the workers of a loader; torch would wait seconds for each busy worker before it terminates it."""
    for worker in iterator._workers:
        with suppress(RuntimeError):  # torch raises this for a terminated worker
            worker.terminate()
            worker.join()


def default_workers() -> int:
    """Return a suitable number of decoding processes for this machine, at most ``MOST_WORKERS``.

    With a GPU, all cores but one decode. If the CPU also runs the network, a quarter of the cores decode: the network
    takes tens of times longer than decoding, and on two cores a second process does not help.
    """
    cores = available_cores()
    return min(cores - 1 if torch.cuda.is_available() else cores // 4, MOST_WORKERS)


@dataclass(frozen=True)
class BatchDataset(Dataset):
    """Data set for torch's loader. One item is a whole batch, and its index is the array of the batch's rows."""

    reader: Reader
    preprocessing: Preprocessing
    variant: Variant = UNCHANGED

    def __getitem__(self, rows: NDArray[np.int64]) -> Batch | DataError:
        """Return the batch, or the error of a reader that rejects the data set itself."""
        images = torch.zeros(len(rows), 3, self.preprocessing.crop, self.preprocessing.crop, dtype=torch.uint8)
        reasons, greys = {}, {}
        try:
            for pixels, row in zip(images.numpy(), rows.tolist(), strict=True):  # ``pixels`` is a view into ``images``
                try:
                    with observed_greys() as found:
                        image = self.reader.image(row)
                    if found:
                        greys[row] = found[-1]
                    pixels[:] = self.variant.square(image, self.preprocessing, row=row)
                except UnreadableImageError as error:
                    reasons[row] = str(error)
        except DataError as error:  # as a value, because the loader would hide its message in a traceback
            return error
        return Batch(rows, images, reasons, greys)


def _identity(loaded: Any) -> Any:
    return loaded


def _ignore_interrupts(worker: int) -> None:
    """Ignore Ctrl-C in a worker: the parent handles it and ends its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
