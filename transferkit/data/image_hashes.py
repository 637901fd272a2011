"""Detection of exact and near-duplicate images by their pixels and by a perceptual hash.

The hash [1] has 64 bits. An image is converted to grey and resized to 32×32; each bit states whether one of the 64
lowest frequencies of its cosine transform, without the constant, is above their median. Copies that were
recompressed or resized differ in few bits. Some different images, such as two strokes on white, also differ in few
bits: pairs of close hashes are therefore compared again, as 16×16 colour thumbnails.

[1] Zauner, Implementation and benchmarking of perceptual image hash functions, 2010, with a different choice of
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

MAX_BITS = 6
"""Maximum number of different bits, of 64, between the hashes of near duplicates."""

MAX_DIFFERENCE = 0.5
"""Maximum root mean squared difference between thumbnails of near duplicates, relative to their contrast."""

MIN_CONTRAST = 4.0
"""Minimum contrast in grey levels (of 255) of an image whose hash is meaningful."""

_SIDE, _THUMBNAIL = 32, 16
_LOWEST = sorted(((u, v) for u in range(_SIDE) for v in range(_SIDE) if u + v), key=lambda uv: (uv[0] + uv[1], uv))[:64]
_ROWS, _COLUMNS = np.array(_LOWEST).T
_PAIRS, _BANK = 4096, 2**14  # block sizes: pairs of thumbnails, hashes of the bank
_QUERIES = 256  # block size; the matches with 100 000 hashes fit in 300 MB even if all match


@dataclass(frozen=True, eq=False)
class ImageHashes:
    """Digests, perceptual hashes and thumbnails of images. Shapes: ``n`` images.

    Attributes:
        exact: First half of the SHA-256 of shape and pixels, uint64 ``[n, 2]``.
        hashes: Perceptual hashes, uint64 ``[n]``.
        thumbnails: Thumbnails, uint8 ``[n, 16, 16, 3]``.
    """

    exact: NDArray[np.uint64]
    hashes: NDArray[np.uint64]
    thumbnails: NDArray[np.uint8]

    @classmethod
    def empty(cls, n: int) -> "ImageHashes":
        """Allocate the arrays of ``n`` images."""
        shape = (n, _THUMBNAIL, _THUMBNAIL, 3)
        return cls(np.zeros((n, 2), np.uint64), np.zeros(n, np.uint64), np.zeros(shape, np.uint8))

    def put(self, row: int, image: NDArray[np.uint8]) -> None:
        """Fill one row from an image ``[h, w, 3]``."""
        digest = hashlib.sha256(np.array(image.shape, np.int64).tobytes())
        digest.update(image.tobytes())
        self.exact[row] = np.frombuffer(digest.digest()[:16], np.uint64)
        self.hashes[row] = perceptual_hash(image)
        self.thumbnails[row] = _shrunk(Image.fromarray(image), _THUMBNAIL)

    def take(self, rows: NDArray[np.integer]) -> "ImageHashes":
        """Select rows, in that order."""
        return ImageHashes(self.exact[rows], self.hashes[rows], self.thumbnails[rows])

    def __len__(self) -> int:
        return len(self.hashes)


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of duplicate images from two sets of images. Shapes: ``m`` pairs.

    Attributes:
        rows: Row numbers in the first and in the second set ``[m, 2]``, ascending.
        exact: Whether all pixels are the same ``[m]``.
        bits: Number of different hash bits ``[m]``.
    """

    rows: NDArray[np.int64]
    exact: NDArray[np.bool_]
    bits: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)


def perceptual_hash(image: NDArray[np.uint8]) -> np.uint64:
    """Compute the 64-bit hash of an image ``[h, w, 3]``, as described above."""
    grey = _shrunk(Image.fromarray(image).convert("L"), _SIDE).astype(np.float64)
    lowest = dctn(grey, norm="ortho")[_ROWS, _COLUMNS]
    return np.packbits(lowest > np.median(lowest)).view(np.uint64)[0]


def duplicates(first: ImageHashes, second: ImageHashes | None = None, *, max_bits: int = MAX_BITS) -> Pairs:
    """Find exact and near duplicates between two sets of images or, without ``second``, within one set.

    Of images with the same pixels, only the first of each set is compared further: every copy occurs once, paired
    with the first image of the same pixels. Images without contrast are compared by their pixels only, because
    their hashes are meaningless. Memory is bounded by a block of 256 hashes against all others, plus the result.

    Args:
        first: Hashes of ``n`` images.
        second: Hashes of ``k`` images; without it, each pair starts with the lower row.
        max_bits: Maximum number of different hash bits.
    """
    other = first if second is None else second
    same = _same(first.exact, other.exact)
    rows = np.concatenate([same, *_near(first, other, max_bits)])
    if second is None:
        rows = rows[rows[:, 0] < rows[:, 1]]
    rows = np.unique(rows, axis=0)
    exact = (first.exact[rows[:, 0]] == other.exact[rows[:, 1]]).all(1)
    return Pairs(rows, exact, hamming(first.hashes[rows[:, 0]], other.hashes[rows[:, 1]]))


def _same(first: NDArray[np.uint64], second: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Pair each row of the second set with the first equal row of the first set: ``[m, 2]``."""
    known: dict[bytes, int] = {}
    for row, digest in enumerate(first):
        known.setdefault(digest.tobytes(), row)
    found = [(known.get(digest.tobytes(), -1), row) for row, digest in enumerate(second)]
    rows = np.array(found, np.int64).reshape(-1, 2)
    return rows[rows[:, 0] >= 0]


def _near(first: ImageHashes, second: ImageHashes, max_bits: int) -> Iterator[NDArray[np.int64]]:
    """Yield blocks ``[m, 2]`` of pairs whose hashes and thumbnails are close."""
    left, right = _comparable(first), _comparable(second)
    for rows, matches in close_hashes(first.hashes[left], second.hashes[right], max_bits=max_bits):
        pairs = np.stack([left[rows], right[matches]], 1)
        for start in range(0, len(pairs), _PAIRS):
            block = pairs[start : start + _PAIRS]
            yield block[_are_similar(first.thumbnails[block[:, 0]], second.thumbnails[block[:, 1]])]


def _comparable(hashes: ImageHashes) -> NDArray[np.int64]:
    """Return the rows of images with contrast; of images with the same pixels, only the first row."""
    _, rows = np.unique(hashes.exact, axis=0, return_index=True)
    rows = np.sort(rows)
    contrasts = [contrast(hashes.thumbnails[rows[i : i + _PAIRS]]) for i in range(0, len(rows), _PAIRS)]
    return rows[np.concatenate([*contrasts, np.zeros(0)]) >= MIN_CONTRAST]


def contrast(thumbnails: NDArray[np.uint8]) -> NDArray[np.floating]:
    """Compute the root mean squared distance ``[n]`` of thumbnails ``[n, 16, 16, 3]`` from their mean colours."""
    values = thumbnails.astype(np.float32)
    return np.sqrt(((values - values.mean((1, 2), keepdims=True)) ** 2).mean((1, 2, 3)))


def _are_similar(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return for each pair whether the difference of its thumbnails is small relative to their contrast: ``[m]``."""
    difference = np.sqrt(((a.astype(np.float32) - b) ** 2).mean((1, 2, 3)))
    return difference <= MAX_DIFFERENCE * np.minimum(contrast(a), contrast(b))


def hamming(a: NDArray[np.uint64], b: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Count the different bits of hashes, elementwise."""
    different = np.ascontiguousarray(a ^ b)
    if hasattr(np, "bitwise_count"):  # NumPy 2
        return np.bitwise_count(different).astype(np.int64)
    return _BITS[different[..., None].view(np.uint8)].sum(-1, dtype=np.int64)


_BITS = np.array([number.bit_count() for number in range(256)], np.uint8)


def close_hashes(
    queries: NDArray[np.uint64], bank: NDArray[np.uint64], *, max_bits: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield the row numbers of all pairs that differ by at most ``max_bits``, one block at a time.

    Args:
        queries: Hashes ``[q]``.
        bank: Hashes ``[n]``.
        max_bits: Maximum number of different bits, of 64.

    Yields: Rows of the queries ``[m]`` and rows of the bank ``[m]``.
    """
    if not len(queries) or not len(bank):
        return
    search = _faiss_search(bank, max_bits)
    for start in range(0, len(queries), _QUERIES):
        rows, matches = search(queries[start : start + _QUERIES])
        yield rows + start, matches


_Search = Callable[[NDArray[np.uint64]], tuple[NDArray[np.int64], NDArray[np.int64]]]


def _faiss_search(bank: NDArray[np.uint64], max_bits: int) -> _Search:
    """Return a search for the bank rows within ``max_bits`` of a block of hashes; it uses FAISS if installed."""
    if not has_faiss():
        return lambda block: _numpy_search(block, bank, max_bits)
    index = load_faiss().IndexBinaryFlat(64)
    index.add(_octets(bank))

    def search(block: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        limits, _, matches = index.range_search(_octets(block), max_bits + 1)  # the radius is exclusive
        ends = limits[1:].astype(np.int64)
        rows = np.searchsorted(ends, np.arange(len(matches)), side="right")
        return rows, matches.astype(np.int64)

    return search


def _numpy_search(
    block: NDArray[np.uint64], bank: NDArray[np.uint64], max_bits: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Search with NumPy, one block of bank rows at a time."""
    found = []
    for start in range(0, len(bank), _BANK):
        distances = hamming(block[:, None], bank[None, start : start + _BANK])
        found.append(np.argwhere(distances <= max_bits) + np.array([0, start]))
    rows, matches = np.concatenate(found).T
    return rows, matches


def _octets(hashes: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """View hashes as bytes ``[n, 8]``, the format of FAISS."""
    return np.ascontiguousarray(hashes)[:, None].view(np.uint8)


def _shrunk(image: Image.Image, side: int) -> NDArray[np.uint8]:
    return np.asarray(image.resize((side, side), Image.Resampling.BILINEAR))
