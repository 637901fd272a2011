"""Images that are the same, or nearly: by their pixels, and by a perceptual hash.

The hash [1] has 64 bits. An image is made grey and 32×32; each bit says whether one of the 64 lowest
frequencies of its cosine transform, the constant left out, lies above their median. Copies that were
compressed again or resized differ in few bits. So do some images that only look alike from afar, such as two
strokes on white: pairs of close hashes are therefore compared once more, as 16×16 colour thumbnails.

[1] Zauner, Implementation and benchmarking of perceptual image hash functions, 2010, with another choice of
frequencies.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.fft import dctn

from ..core.faiss_library import has_faiss, load_faiss

MOST_BITS = 6
"""By which the hashes of near duplicates differ, of 64."""

MOST_DIFFERENCE = 0.5
"""Of two thumbnails of near duplicates: the root of the mean squared difference, by their contrast."""

LEAST_CONTRAST = 4.0
"""Grey levels of 255, below which an image has no features that a hash could tell."""

_SIDE, _THUMBNAIL = 32, 16
_LOWEST = sorted(((u, v) for u in range(_SIDE) for v in range(_SIDE) if u + v), key=lambda uv: (uv[0] + uv[1], uv))[:64]
_ROWS, _COLUMNS = np.array(_LOWEST).T
_PAIRS, _BANK = 4096, 2**14  # in memory at a time: pairs of thumbnails, hashes of the bank
_QUERIES = 256  # rows of a block; their matches with 100 000 others fit in 300 MB whatever the hashes


@dataclass(frozen=True, eq=False)
class ImageHashes:
    """What is kept of images to compare them. Shapes: ``n`` images.

    Attributes:
        exact: ``[n, 2]`` uint64, the first half of the SHA-256 of shape and pixels.
        hashes: ``[n]`` uint64, perceptual.
        thumbnails: ``[n, 16, 16, 3]`` uint8.
    """

    exact: NDArray[np.uint64]
    hashes: NDArray[np.uint64]
    thumbnails: NDArray[np.uint8]

    @classmethod
    def empty(cls, n: int) -> "ImageHashes":
        """Room for ``n`` images."""
        shape = (n, _THUMBNAIL, _THUMBNAIL, 3)
        return cls(np.zeros((n, 2), np.uint64), np.zeros(n, np.uint64), np.zeros(shape, np.uint8))

    def put(self, row: int, image: NDArray[np.uint8]) -> None:
        """Fill one row from ``[h, w, 3]``."""
        digest = hashlib.sha256(np.array(image.shape, np.int64).tobytes())
        digest.update(image.tobytes())
        self.exact[row] = np.frombuffer(digest.digest()[:16], np.uint64)
        self.hashes[row] = perceptual_hash(image)
        self.thumbnails[row] = _shrunk(Image.fromarray(image), _THUMBNAIL)

    def take(self, rows: NDArray[np.integer]) -> "ImageHashes":
        """Some rows, in that order."""
        return ImageHashes(self.exact[rows], self.hashes[rows], self.thumbnails[rows])

    def __len__(self) -> int:
        return len(self.hashes)


@dataclass(frozen=True, eq=False)
class Pairs:
    """Rows of one set of images that look like rows of another. Shapes: ``m`` pairs.

    Attributes:
        rows: ``[m, 2]`` of the first and of the second, ascending.
        exact: ``[m]`` whether all pixels are the same.
        bits: ``[m]`` by which the hashes differ.
    """

    rows: NDArray[np.int64]
    exact: NDArray[np.bool_]
    bits: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)


def perceptual_hash(image: NDArray[np.uint8]) -> np.uint64:
    """64 bits of an image ``[h, w, 3]``, as this module says."""
    grey = _shrunk(Image.fromarray(image).convert("L"), _SIDE).astype(np.float64)
    lowest = dctn(grey, norm="ortho")[_ROWS, _COLUMNS]
    return np.packbits(lowest > np.median(lowest)).view(np.uint64)[0]


def duplicates(first: ImageHashes, second: ImageHashes | None = None, *, most_bits: int = MOST_BITS) -> Pairs:
    """Pairs of images that are the same or nearly, between two sets or, without ``second``, within one.

    Of images with the same pixels only the first of each set is compared further: every copy is told once,
    beside the first it is a copy of. Images without contrast are compared by their pixels alone, as all of
    them look alike. Memory is bounded by a block of 256 hashes against all others, besides the answer.

    Args:
        first: ``[n]`` images.
        second: ``[k]`` images; without it, the lower row of a pair comes first.
        most_bits: by which hashes may differ.
    """
    other = first if second is None else second
    same = _same(first.exact, other.exact)
    rows = np.concatenate([same, *_near(first, other, most_bits)])
    if second is None:
        rows = rows[rows[:, 0] < rows[:, 1]]
    rows = np.unique(rows, axis=0)
    exact = (first.exact[rows[:, 0]] == other.exact[rows[:, 1]]).all(1)
    return Pairs(rows, exact, hamming(first.hashes[rows[:, 0]], other.hashes[rows[:, 1]]))


def _same(first: NDArray[np.uint64], second: NDArray[np.uint64]) -> NDArray[np.int64]:
    """``[m, 2]``: each row of the second beside the first row that equals it."""
    known: dict[bytes, int] = {}
    for row, digest in enumerate(first):
        known.setdefault(digest.tobytes(), row)
    found = [(known.get(digest.tobytes(), -1), row) for row, digest in enumerate(second)]
    rows = np.array(found, np.int64).reshape(-1, 2)
    return rows[rows[:, 0] >= 0]


def _near(first: ImageHashes, second: ImageHashes, most_bits: int) -> Iterator[NDArray[np.int64]]:
    """``[m, 2]`` at a time: pairs whose hashes and thumbnails are close."""
    left, right = _comparable(first), _comparable(second)
    for rows, matches in close_hashes(first.hashes[left], second.hashes[right], most_bits=most_bits):
        pairs = np.stack([left[rows], right[matches]], 1)
        for start in range(0, len(pairs), _PAIRS):
            block = pairs[start : start + _PAIRS]
            yield block[_alike(first.thumbnails[block[:, 0]], second.thumbnails[block[:, 1]])]


def _comparable(hashes: ImageHashes) -> NDArray[np.int64]:
    """Rows with contrast, of the same pixels only the first."""
    _, rows = np.unique(hashes.exact, axis=0, return_index=True)
    rows = np.sort(rows)
    contrasts = [contrast(hashes.thumbnails[rows[i : i + _PAIRS]]) for i in range(0, len(rows), _PAIRS)]
    return rows[np.concatenate([*contrasts, np.zeros(0)]) >= LEAST_CONTRAST]


def contrast(thumbnails: NDArray[np.uint8]) -> NDArray[np.floating]:
    """``[n]``: the root of the mean squared distance of ``[n, 16, 16, 3]`` from their mean colours."""
    values = thumbnails.astype(np.float32)
    return np.sqrt(((values - values.mean((1, 2), keepdims=True)) ** 2).mean((1, 2, 3)))


def _alike(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """``[m]``: whether thumbnails differ by little of their contrast."""
    difference = np.sqrt(((a.astype(np.float32) - b) ** 2).mean((1, 2, 3)))
    return difference <= MOST_DIFFERENCE * np.minimum(contrast(a), contrast(b))


def hamming(a: NDArray[np.uint64], b: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Bits by which hashes differ, elementwise."""
    different = np.ascontiguousarray(a ^ b)
    if hasattr(np, "bitwise_count"):  # NumPy 2
        return np.bitwise_count(different).astype(np.int64)
    return _BITS[different[..., None].view(np.uint8)].sum(-1, dtype=np.int64)


_BITS = np.array([number.bit_count() for number in range(256)], np.uint8)


def close_hashes(
    queries: NDArray[np.uint64], bank: NDArray[np.uint64], *, most_bits: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Row numbers of all pairs that differ by at most ``most_bits``, a block at a time.

    Args:
        queries: ``[q]``.
        bank: ``[n]``.
        most_bits: of 64.

    Yields: ``[m]`` rows of queries and ``[m]`` rows of the bank.
    """
    if not len(queries) or not len(bank):
        return
    search = _faiss_search(bank, most_bits)
    for start in range(0, len(queries), _QUERIES):
        rows, matches = search(queries[start : start + _QUERIES])
        yield rows + start, matches


_Search = Callable[[NDArray[np.uint64]], tuple[NDArray[np.int64], NDArray[np.int64]]]


def _faiss_search(bank: NDArray[np.uint64], most_bits: int) -> _Search:
    """Every bank row within ``most_bits`` of a block of hashes, by FAISS where it is installed."""
    if not has_faiss():
        return lambda block: _numpy_search(block, bank, most_bits)
    index = load_faiss().IndexBinaryFlat(64)
    index.add(_octets(bank))

    def search(block: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        limits, _, matches = index.range_search(_octets(block), most_bits + 1)  # it finds what is below
        ends = limits[1:].astype(np.int64)
        rows = np.searchsorted(ends, np.arange(len(matches)), side="right")
        return rows, matches.astype(np.int64)

    return search


def _numpy_search(
    block: NDArray[np.uint64], bank: NDArray[np.uint64], most_bits: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The same, some bank rows at a time."""
    found = []
    for start in range(0, len(bank), _BANK):
        distances = hamming(block[:, None], bank[None, start : start + _BANK])
        found.append(np.argwhere(distances <= most_bits) + np.array([0, start]))
    rows, matches = np.concatenate(found).T
    return rows, matches


def _octets(hashes: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """``[n, 8]``, as FAISS wants bits."""
    return np.ascontiguousarray(hashes)[:, None].view(np.uint8)


def _shrunk(image: Image.Image, side: int) -> NDArray[np.uint8]:
    return np.asarray(image.resize((side, side), Image.Resampling.BILINEAR))
