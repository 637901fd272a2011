"""Decode and frame batches of images, in worker processes or in this one."""

import multiprocessing
import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from ..core.errors import DataError, UnreadableImageError
from ..core.preprocessing import Preprocessing
from .dataset import Reader, Split
from .grey import Grey, observed_greys
from .variants import Variant

MOST_WORKERS = 16
PLAIN = Variant()


@dataclass(frozen=True, eq=False)
class Batch:
    """Images ready for an encoder, but for its normalisation.

    Attributes:
        rows: ``[b]`` of the split.
        images: uint8 ``[b, 3, crop, crop]``; zero where the file could not be read.
        reasons: row → why it could not be read.
        greys: row → how its grey values were read, of images of more than 8 bits.
    """

    rows: NDArray[np.int64]
    images: torch.Tensor
    reasons: dict[int, str]
    greys: dict[int, Grey] = field(default_factory=dict)


def load_batches(
    split: Split,
    view: Preprocessing,
    batches: Iterable[NDArray[np.int64]],
    *,
    workers: int,
    variant: Variant = PLAIN,
) -> Iterator[Batch]:
    """Load ``batches`` of rows, as they are and in their order.

    Args:
        split: whose rows they are.
        view: how an image is framed.
        batches: read lazily: at most two a worker ahead of what is yielded, none ahead without workers.
        workers: processes that decode; 0 decodes in this one.
        variant: how it is changed.

    Raises: DataError: if a reader refuses the data set itself, rather than one image.
    """
    yield from load_items(Frames(split.reader, view, variant), batches, workers=workers)


def load_items(dataset: Any, batches: Iterable[NDArray[np.int64]], *, workers: int) -> Iterator[Any]:
    """``dataset[rows]`` for each of ``batches``, in their order, computed by worker processes.

    Args:
        dataset: gives what is asked for, or a ``DataError`` as a value; picklable.
        batches: read lazily, as in ``load_batches``.
        workers: processes; 0 computes in this one.

    Raises: DataError: the one that was given.
    """
    for loaded in _from_workers(dataset, batches, num_workers=workers):
        if isinstance(loaded, DataError):
            raise loaded
        yield loaded


def can_fork() -> bool:
    """Whether this process may have children that begin with all that it knows."""
    return "fork" in multiprocessing.get_all_start_methods() and not multiprocessing.current_process().daemon


def map_in_forked_processes(dataset: Any, questions: Iterable[Any], *, workers: int) -> Iterator[Any]:
    """``dataset[question]`` for each of ``questions``, as they are ready, computed by forked processes.

    Whoever is ready takes the next question.

    Args:
        dataset: of which the processes have a copy of their own; need not be picklable, but its answers must.
        questions: read lazily.
        workers: processes, at least 1; see ``can_fork``.

    Raises: RuntimeError: if a process was killed, or could not answer.
    """
    yield from _from_workers(
        dataset,
        questions,
        num_workers=workers,
        multiprocessing_context="fork",
        in_order=False,
        prefetch_factor=1,  # else a question may wait behind a long one
    )


def _from_workers(dataset: Any, asked: Iterable[Any], *, num_workers: int, **options: Any) -> Iterator[Any]:
    loader: DataLoader[Any] = DataLoader(
        dataset,
        sampler=asked,
        batch_size=None,
        num_workers=num_workers,
        collate_fn=_as_it_is,
        worker_init_fn=_leave_interrupts_to_the_parent,
        generator=torch.Generator(),  # the global one would be advanced
        **options,
    )
    loading: Any = iter(loader)
    ended = False
    try:
        yield from loading
        ended = True
    finally:
        if num_workers:
            if not ended:
                _end_at_once(loading)
            loading._shutdown_workers()  # now, not when the traceback that holds them is collected


def _end_at_once(loading: Any) -> None:
    """End the workers of a loader; torch would wait seconds for each that is busy, and then do the same."""
    for worker in loading._workers:
        with suppress(RuntimeError):  # torch's word for a worker that was ended
            worker.terminate()
            worker.join()


def default_workers() -> int:
    """Decoding processes that suit this machine, at most ``MOST_WORKERS``.

    Beside a GPU, every core but one decodes. Where the cores also run the network, a quarter of them does:
    it costs tens of times what decoding does, and on two cores a second process gains nothing.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores - 1 if torch.cuda.is_available() else cores // 4, MOST_WORKERS)


@dataclass(frozen=True)
class Frames(Dataset):
    """Asked for the rows of a batch, gives the batch; asked by torch's loader."""

    reader: Reader
    view: Preprocessing
    variant: Variant = PLAIN

    def __getitem__(self, rows: NDArray[np.int64]) -> Batch | DataError:
        images = torch.zeros(len(rows), 3, self.view.crop, self.view.crop, dtype=torch.uint8)
        reasons, greys = {}, {}
        try:
            for place, row in zip(images.numpy(), rows.tolist(), strict=True):
                try:
                    with observed_greys() as found:
                        image = self.reader.image(row)
                    if found:
                        greys[row] = found[-1]
                    place[:] = self.variant.square(image, self.view, row=row)
                except UnreadableImageError as error:
                    reasons[row] = str(error)
        except DataError as error:  # as a value: the loader would bury its message in a traceback
            return error
        return Batch(rows, images, reasons, greys)


def _as_it_is(loaded: Any) -> Any:
    return loaded


def _leave_interrupts_to_the_parent(worker: int) -> None:
    """A worker ends when its parent does; Ctrl-C is answered once, there."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
