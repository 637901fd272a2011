"""Decoding of all images of a data set, and the search for duplicates among them."""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations, islice
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..core.cores import available_cores
from ..core.errors import UnreadableImageError
from ..core.progress import SILENT, ProgressTask, Reporter
from .dataset import Reader
from .folder import FolderReader
from .grey import Grey, grey_warnings, observed_greys
from .image_hashes import MAX_BITS, ImageHashes, duplicates

_THREADS = min(16, available_cores())
_QUEUE_SIZE = 64 * _THREADS  # maximum number of queued images
_MAX_LISTED = 20  # maximum number of printed lines per kind; JSON lists all

NEAR = f"near: 64-bit DCT hashes that differ by at most {MAX_BITS} bits, confirmed on thumbnails"
"""Definition of near duplicates, for reports."""


class ImageSplit(Protocol):
    """A split of images with labels or boxes."""

    @property
    def name(self) -> str:
        """``train``, ``val`` or ``test``."""

    @property
    def ids(self) -> tuple[str, ...]:
        """Unique image ids ``[n]``."""

    @property
    def reader(self) -> Reader:
        """Decoder of the rows."""

    def __len__(self) -> int: ...


SplitType = TypeVar("SplitType", bound=ImageSplit)


@dataclass(frozen=True, eq=False)
class DecodedSplits:
    """Hashes and sizes of the images of each split. Shapes: ``m`` decoded images per split.

    Attributes:
        rows: Split → rows of the decoded images ``[m]``, ascending.
        hashes: Split → hashes of ``m`` images.
        sizes: Split → height and width in pixels ``[m, 2]``.
        unreadable: Split → row → reason of the decoding error.
    """

    rows: Mapping[str, NDArray[np.int64]]
    hashes: Mapping[str, ImageHashes]
    sizes: Mapping[str, NDArray[np.int64]]
    unreadable: Mapping[str, Mapping[int, str]]


@dataclass(frozen=True)
class DuplicatePair:
    """Two images that are exact or near duplicates.

    Attributes:
        first, second: Images as ``split/id``.
        first_class, second_class: Class names.
        same: ``bytes`` if the files are identical, ``pixels`` if the pixels are, or ``near``.
        bits: Number of different bits of the perceptual hashes, of 64.
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


def decode_splits(spec: str, splits: Mapping[str, ImageSplit], *, reporter: Reporter = SILENT) -> DecodedSplits:
    """Decode every image once, and compute its hashes.

    Memory grows by 0.8 KB per image.

    Args:
        spec: Spec of the data set.
        splits: Splits by name.
        reporter: Receives the progress, and warnings about dark grey values and about different scales.

    Raises: DataError: If a file changes meanwhile.
    """
    rows, hashes, sizes, unreadable = {}, {}, {}, {}
    with reporter.task(f"Decoding {spec}", sum(map(len, splits.values())), "images") as task:
        for name, split in splits.items():
            filled, shapes, unreadable[name], greys = _hash_split(split, task)
            for warning in grey_warnings(greys):
                reporter.note(f"{spec} {name}: {warning}")
            rows[name] = np.setdiff1d(np.arange(len(split)), list(unreadable[name]))
            hashes[name], sizes[name] = filled.take(rows[name]), shapes[rows[name]]
    reporter.note(f"{spec}: looking for duplicates.")
    return DecodedSplits(rows, hashes, sizes, unreadable)


def _hash_split(
    split: ImageSplit, task: ProgressTask
) -> tuple[ImageHashes, NDArray[np.int64], dict[int, str], dict[str, Grey]]:
    """Return the hashes and sizes of all images, row → reason of a decoding error, and id → scale of grey."""
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
        warnings.simplefilter("ignore")  # set here, because threads overwrite each other's filters
        rows = iter(range(len(split)))
        while block := list(islice(rows, _QUEUE_SIZE)):
            for row, reason in zip(block, pool.map(put, block), strict=True):
                if reason is not None:
                    failures[row] = reason
            task.advance(len(block))
    return hashes, sizes, failures, greys


def duplicates_between(
    splits: Mapping[str, SplitType], decoded: DecodedSplits, class_of: Callable[[SplitType, int], str]
) -> tuple[DuplicatePair, ...]:
    """Find images that occur in two splits.

    Args:
        splits: Splits by name.
        decoded: Hashes of their images.
        class_of: Returns the class names of a row of a split.
    """
    return tuple(
        pair
        for one, other in combinations(splits, 2)
        for pair in _find_pairs((splits[one], splits[other]), decoded, class_of)
    )


def duplicates_within(
    split: SplitType, decoded: DecodedSplits, class_of: Callable[[SplitType, int], str]
) -> tuple[DuplicatePair, ...]:
    """Find images that occur twice in one split; for the arguments see ``duplicates_between``."""
    return tuple(_find_pairs((split, split), decoded, class_of))


def _find_pairs(
    pair: tuple[SplitType, SplitType], decoded: DecodedSplits, class_of: Callable[[SplitType, int], str]
) -> Iterator[DuplicatePair]:
    one, other = pair
    pairs = duplicates(decoded.hashes[one.name], None if one is other else decoded.hashes[other.name])
    for (i, j), exact, bits in zip(pairs.rows.tolist(), pairs.exact, pairs.bits, strict=True):
        first, second = int(decoded.rows[one.name][i]), int(decoded.rows[other.name][j])
        yield DuplicatePair(
            first=image_name(one, first),
            second=image_name(other, second),
            first_class=class_of(one, first),
            second_class=class_of(other, second),
            same="near" if not exact else "bytes" if _same_bytes(pair, (first, second)) else "pixels",
            bits=int(bits),
        )


def _same_bytes(pair: tuple[SplitType, SplitType], rows: tuple[int, int]) -> bool:
    """Return whether two images are files with the same bytes; other images are never the same."""
    contents = []
    for split, row in zip(pair, rows, strict=True):
        if not isinstance(split.reader, FolderReader):
            return False
        contents.append((split.reader.folder / split.reader.ids[row]).read_bytes())
    return contents[0] == contents[1]


def exact_duplicates(duplicates: Sequence[DuplicatePair]) -> list[DuplicatePair]:
    """Select the pairs with the same pixels."""
    return [pair for pair in duplicates if pair.same != "near"]


def image_name(split: ImageSplit, row: int) -> str:
    """Format an image as ``split/id``."""
    return f"{split.name}/{split.ids[row]}"


def truncated_lines(lines: Sequence[str]) -> Iterator[str]:
    """Yield the first lines, and the number of omitted ones."""
    yield from lines[:_MAX_LISTED]
    if len(lines) > _MAX_LISTED:
        yield f"  … and {len(lines) - _MAX_LISTED} more; --json lists all of them"
