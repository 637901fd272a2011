"""Every image of a data set decoded once, and those of them that are the same in two places."""

import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations, islice
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..core.errors import UnreadableImageError
from ..core.progress import SILENT, ProgressTask, Reporter
from .dataset import Reader
from .folder import FolderReader
from .grey import Grey, grey_warnings, observed_greys
from .image_hashes import MOST_BITS, ImageHashes, duplicates

_THREADS = min(16, os.cpu_count() or 1)
_AHEAD = 64 * _THREADS  # images asked for before the first of them is done
_MOST_LISTED = 20  # of each kind, for people; JSON has all

NEAR = f"near: 64-bit DCT hashes that differ by at most {MOST_BITS} bits, confirmed on thumbnails"
"""What near duplicates are, for people."""


class Imaged(Protocol):
    """A split of images, with a label or with boxes."""

    @property
    def name(self) -> str:
        """``train``, ``val`` or ``test``."""

    @property
    def ids(self) -> tuple[str, ...]:
        """``[n]`` unique."""

    @property
    def reader(self) -> Reader:
        """Decodes row ``i``."""

    def __len__(self) -> int: ...


S = TypeVar("S", bound=Imaged)


@dataclass(frozen=True, eq=False)
class Decoded:
    """What is kept of the images of each split. Shapes: ``m`` images of a split that could be decoded.

    Attributes:
        rows: split → ``[m]`` their rows, ascending.
        hashes: split → ``[m]`` what they are compared by.
        sizes: split → ``[m, 2]`` height and width in pixels.
        unreadable: split → row → why it could not be decoded.
    """

    rows: Mapping[str, NDArray[np.int64]]
    hashes: Mapping[str, ImageHashes]
    sizes: Mapping[str, NDArray[np.int64]]
    unreadable: Mapping[str, Mapping[int, str]]


@dataclass(frozen=True)
class DuplicatePair:
    """Two images that are the same, or nearly.

    Attributes:
        first, second: ``split/id``.
        first_class, second_class: names.
        same: ``bytes`` of the files, ``pixels``, or ``near``.
        bits: by which the perceptual hashes differ, of 64.
    """

    first: str
    second: str
    first_class: str
    second_class: str
    same: str
    bits: int

    def __str__(self) -> str:
        how = f"{self.bits} bits apart" if self.same == "near" else f"the same {self.same}"
        return f"{self.first} ({self.first_class}) and {self.second} ({self.second_class}), {how}"


def decoded(spec: str, splits: Mapping[str, Imaged], *, reporter: Reporter = SILENT) -> Decoded:
    """Decode every image, once.

    Shapes: memory grows by 0.8 KB an image.

    Args:
        spec: of the data set.
        splits: by name.
        reporter: told how far it has come.

    ``reporter`` is also warned of grey that is dark or was read on different scales.

    Raises: DataError: if a file changes meanwhile.
    """
    rows, hashes, sizes, unreadable = {}, {}, {}, {}
    with reporter.task(f"Decoding {spec}", sum(map(len, splits.values())), "images") as task:
        for name, split in splits.items():
            filled, shapes, unreadable[name], greys = _printed(split, task)
            for warning in grey_warnings(greys):
                reporter.note(f"{spec} {name}: {warning}")
            rows[name] = np.setdiff1d(np.arange(len(split)), list(unreadable[name]))
            hashes[name], sizes[name] = filled.take(rows[name]), shapes[rows[name]]
    reporter.note(f"{spec}: looking for duplicates.")
    return Decoded(rows, hashes, sizes, unreadable)


def _printed(
    split: Imaged, task: ProgressTask
) -> tuple[ImageHashes, NDArray[np.int64], dict[int, str], dict[str, Grey]]:
    """What is kept of each image, its size, row → why it cannot be decoded, and id → how grey was read."""
    hashes, sizes = ImageHashes.empty(len(split)), np.zeros((len(split), 2), np.int64)
    failures: dict[int, str] = {}
    greys: dict[str, Grey] = {}

    def put(row: int) -> str | None:
        try:
            with observed_greys() as found:
                image = split.reader.image(row)
        except UnreadableImageError as error:
            return str(error)
        if found:
            greys[split.ids[row]] = found[-1]
        hashes.put(row, image)
        sizes[row] = image.shape[:2]
        return None

    with warnings.catch_warnings(), ThreadPoolExecutor(_THREADS) as pool:
        warnings.simplefilter("ignore")  # here: decoding silences them too, but threads undo each other's
        rows = iter(range(len(split)))
        while block := list(islice(rows, _AHEAD)):
            for row, reason in zip(block, pool.map(put, block), strict=True):
                if reason is not None:
                    failures[row] = reason
            task.advance(len(block))
    return hashes, sizes, failures, greys


def duplicates_between(
    splits: Mapping[str, S], seen: Decoded, class_of: Callable[[S, int], str]
) -> tuple[DuplicatePair, ...]:
    """Images that lie in two splits.

    Args:
        splits: by name.
        seen: what is kept of them.
        class_of: what a row of a split shows, for people.
    """
    return tuple(
        twin for one, other in combinations(splits, 2) for twin in _twins((splits[one], splits[other]), seen, class_of)
    )


def twins_within(split: S, seen: Decoded, class_of: Callable[[S, int], str]) -> tuple[DuplicatePair, ...]:
    """Images that lie twice in one split; arguments as of ``duplicates_between``."""
    return tuple(_twins((split, split), seen, class_of))


def _twins(pair: tuple[S, S], seen: Decoded, class_of: Callable[[S, int], str]) -> Iterator[DuplicatePair]:
    one, other = pair
    pairs = duplicates(seen.hashes[one.name], None if one is other else seen.hashes[other.name])
    for (i, j), exact, bits in zip(pairs.rows.tolist(), pairs.exact, pairs.bits, strict=True):
        first, second = int(seen.rows[one.name][i]), int(seen.rows[other.name][j])
        yield DuplicatePair(
            first=named(one, first),
            second=named(other, second),
            first_class=class_of(one, first),
            second_class=class_of(other, second),
            same="near" if not exact else "bytes" if _same_bytes(pair, (first, second)) else "pixels",
            bits=int(bits),
        )


def _same_bytes(pair: tuple[S, S], rows: tuple[int, int]) -> bool:
    """Whether two images are files of the same bytes; those that are no files have none."""
    contents = []
    for split, row in zip(pair, rows, strict=True):
        if not isinstance(split.reader, FolderReader):
            return False
        contents.append((split.reader.folder / split.reader.ids[row]).read_bytes())
    return contents[0] == contents[1]


def exact_ones(duplicates: Sequence[DuplicatePair]) -> list[DuplicatePair]:
    """Those whose pixels are the same."""
    return [twin for twin in duplicates if twin.same != "near"]


def named(split: Imaged, row: int) -> str:
    """``split/id``."""
    return f"{split.name}/{split.ids[row]}"


def first_lines(lines: Sequence[str]) -> Iterator[str]:
    """As many as a person reads, and how many there are besides."""
    yield from lines[:_MOST_LISTED]
    if len(lines) > _MOST_LISTED:
        yield f"  … and {len(lines) - _MOST_LISTED} more: --json lists all of them"
