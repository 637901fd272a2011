"""File format of one shard.

The file is plain HDF5: every array is chunked by rows, every chunk has HDF5's Fletcher-32 checksum, and the file
format (version 1.10's) checks its own metadata. h5py and h5dump read it without transferkit.

HDF5's filter pipeline reads at 0.2 to 0.3 of the speed of ``numpy.load``. Therefore the file also contains
``/index``: the offset of each chunk and a 64-bit checksum of each array. With it, an array is read directly into
its memory and checked while it is in the processor's cache, at more than half the speed of ``numpy.load``.
"""

import io
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from ..core.errors import DamagedError
from ..core.json_dataclass import JsonDataclass

REMEDY = "Remove damaged files with `transferkit cache prune --damaged`, and extract again."

_VERSION = ("v110", "v110")  # checks metadata, is read by HDF5 1.10 and later, and writes no timestamps
_INDEX = "index"
_CHUNK_BYTES = 1 << 20  # small enough to be checked in the processor's cache
_MIN_CHUNK_ROWS = 128  # keeps the last chunk's padding below 1 % of a long array
_COLUMNS = 509  # a prime, so that exchanged disk pages fall into different columns
_WEIGHTS = np.arange(1, 2 * _COLUMNS, 2, dtype="<u8") * np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Block(JsonDataclass):
    """Location of an array in a file.

    Attributes:
        dtype: little-endian type string of NumPy.
        shape: ``(n, …)``.
        chunk_rows: number of rows per chunk; the last chunk is padded.
        offsets: offset of each chunk in bytes from the start of the file.
        checksum: 64-bit checksum, hex, 16 characters.
    """

    dtype: str
    shape: tuple[int, ...]
    chunk_rows: int
    offsets: tuple[int, ...]
    checksum: str


def checksum(data: NDArray, chunk_rows: int) -> str:
    """Compute the 64-bit checksum of a C-contiguous array, hex, 16 characters.

    It is ``Σ_j (2j + 1) · c_j  mod 2^64`` over the sums ``c_j`` of the chunks. It detects every change within one
    8-byte word, because all weights are odd; it misses any other change with a probability of about ``2^-64``,
    except flips of the same topmost bits in two words, which the SHA-256 of the whole file detects.

    Args:
        data: ``[n, …]``.
        chunk_rows: number of rows of ``data`` per chunk.
    """
    return _combined(_chunk_sum(chunk) for chunk in _chunks(data, chunk_rows))


def _combined(sums: Iterable[int]) -> str:
    return f"{sum((2 * j + 1) * c for j, c in enumerate(sums)) % 2**64:016x}"


def _chunk_sum(chunk: NDArray[np.uint8]) -> int:
    """Return ``Σ_i w_(i mod 509) · v_i  mod 2^64`` over the 8-byte words ``v`` of ``chunk``, zero-padded."""
    words = chunk[: len(chunk) // 8 * 8].view("<u8")
    table = words[: len(words) // _COLUMNS * _COLUMNS].reshape(-1, _COLUMNS)
    columns = table.sum(axis=0, dtype="<u8")
    rest = words[table.size :]
    columns[: len(rest)] += rest
    tail = int.from_bytes(chunk[8 * len(words) :].tobytes(), "little")
    columns[len(rest)] += np.uint64(tail)  # len(rest) < 509, because the table contains every complete row
    return int(columns @ _WEIGHTS)


def _chunks(data: NDArray, chunk_rows: int) -> Iterator[NDArray[np.uint8]]:
    """Yield the bytes of each chunk of rows, without a copy; ``data`` is C-contiguous."""
    flat = data.reshape(-1).view(np.uint8)
    step = chunk_rows * (flat.size // len(data))
    return (flat[start : start + step] for start in range(0, flat.size, step))


def _chunk_rows(shape: tuple[int, ...], itemsize: int) -> int:
    """Return the rows per chunk: about ``_CHUNK_BYTES``, evenly distributed so that the last chunk is almost full."""
    n = shape[0]
    most = max(_MIN_CHUNK_ROWS, _CHUNK_BYTES // max(1, itemsize * int(np.prod(shape[1:]))))
    count = -(-n // most)
    return -(-n // count)


def encode_shard(arrays: Mapping[str, NDArray]) -> tuple[memoryview, Block]:
    """Encode arrays as the bytes of a shard file; equal arrays give equal bytes.

    The file is composed in memory, so that a full disk causes the failure of one plain write and not of one of
    HDF5's internal operations.

    Args:
        arrays: path in the file → ``[n, …]``, n ≥ 1, little-endian.

    Returns: the bytes, and the location of the index in them.
    """
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", libver=_VERSION) as file:
        blocks = {name: _stored(file, name, array).to_json() for name, array in arrays.items()}
        text = json.dumps(blocks, sort_keys=True, separators=(",", ":"))
        index = _stored(file, _INDEX, np.frombuffer(text.encode(), np.uint8))
    return buffer.getbuffer(), index


def _stored(file: h5py.File, name: str, array: NDArray) -> Block:
    """Write ``array`` to ``file`` and return its location."""
    array = np.ascontiguousarray(array)
    if array.dtype.kind == "S":
        array = array.astype(h5py.string_dtype("utf-8", array.itemsize))
    rows = _chunk_rows(array.shape, array.itemsize)
    chunks = (rows, *array.shape[1:])
    stored = file.create_dataset(name, data=array, chunks=chunks, fletcher32=True, track_times=False)
    stored.flush()
    corner = (0,) * (array.ndim - 1)
    infos = [stored.id.get_chunk_info_by_coord((start, *corner)) for start in range(0, len(array), rows)]
    offsets = tuple(info.byte_offset for info in infos)
    return Block(array.dtype.str, array.shape, rows, offsets, checksum(array, rows))


class ShardReader:
    """Reader of the arrays of one shard file, which checks every byte; ``reading_shard`` creates it.

    Args:
        file: the file, unbuffered.
        index: location of its index.
    """

    def __init__(self, file: io.FileIO, index: Block) -> None:
        self._file = file
        text = self._read(_INDEX, index).tobytes()
        self._blocks = json.loads(text)

    def read(self, name: str, into: NDArray | None = None) -> NDArray:
        """Return the array ``name``.

        Args:
            name: path of the array in the file.
            into: C-contiguous array of the same shape and type to fill; a new array if None.

        Raises: DamagedError: if a byte differs from what was written; the message names file and array.
        """
        return self._read(name, Block.from_json(self._blocks[name]), into)

    def _read(self, name: str, block: Block, into: NDArray | None = None) -> NDArray:
        out = np.empty(block.shape, block.dtype) if into is None else into
        sums = []
        for offset, chunk in zip(block.offsets, _chunks(out, block.chunk_rows), strict=True):
            self._file.seek(offset)
            if self._file.readinto(chunk.data) != len(chunk):
                raise self._damaged(name)
            sums.append(_chunk_sum(chunk))  # summed while the chunk is in the processor's cache
        if _combined(sums) != block.checksum:
            raise self._damaged(name)
        return out

    def _damaged(self, name: str) -> DamagedError:
        return DamagedError(f"{self._file.name} is damaged in {name!r}. {REMEDY}")


@contextmanager
def reading_shard(path: Path, index: Block) -> Iterator[ShardReader]:
    """Open a shard file.

    Raises: DamagedError: if the file is absent, or its index differs from what was written.
    """
    try:
        file = io.FileIO(path)
    except FileNotFoundError as error:
        raise DamagedError(f"{path} is missing, although it was finished. {REMEDY}") from error
    with file:
        yield ShardReader(file, index)
