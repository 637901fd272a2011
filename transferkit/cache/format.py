"""How the arrays of one shard lie in one file.

The file is plain HDF5: every array is chunked by rows, every chunk carries HDF5's Fletcher-32 checksum,
and the file format (version 1.10's) checks its own metadata. h5py or h5dump read it without transferkit.

HDF5's filter pipeline reads at 0.2 to 0.3 of the speed of ``numpy.load``. So the file also holds
``/index``: where each chunk lies and a 64-bit checksum of each array. With it an array is read straight
into place and checked while it is still in the processor's cache, at more than half of ``numpy.load``.
"""

import io
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ..core.errors import DamagedError

REMEDY = "Remove what is damaged with `transferkit cache prune --damaged`, and extract again."

_VERSION = ("v110", "v110")  # checks metadata, is read by HDF5 1.10 and later, and writes no timestamps
_INDEX = "index"
_CHUNK_BYTES = 1 << 20  # small enough to be checked in the processor's cache
_LEAST_CHUNK_ROWS = 128  # so that the last chunk's padding stays below 1 % of a long array
_COLUMNS = 509  # a prime, so that exchanged disk pages fall into different columns
_WEIGHTS = np.arange(1, 2 * _COLUMNS, 2, dtype="<u8") * np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Block:
    """Where an array lies in a file.

    Attributes:
        dtype: numpy's, little-endian.
        shape: ``(n, …)``.
        chunk_rows: rows in a chunk; the last chunk is padded to as many.
        offsets: bytes from the start of the file to each chunk.
        checksum: hex, 16 characters.
    """

    dtype: str
    shape: tuple[int, ...]
    chunk_rows: int
    offsets: tuple[int, ...]
    checksum: str

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Block":
        """The block that ``to_json`` wrote."""
        return cls(**{**value, "shape": tuple(value["shape"]), "offsets": tuple(value["offsets"])})


def checksum(data: NDArray, chunk_rows: int) -> str:
    """64-bit checksum of a C-contiguous array, hex, 16 characters.

    ``Σ_j (2j + 1) · c_j  mod 2^64`` over the chunks' own sums ``c_j``. A change within one 8-byte word is
    always found, since all weights are odd; any other one is missed with a chance of about ``2^-64``, but
    for flips of the same topmost bits in two words. The SHA-256 of the whole file finds those too.

    Args:
        data: ``[n, …]``.
        chunk_rows: rows of ``data`` that are summed together.
    """
    return _combined(_chunk_sum(chunk) for chunk in _chunks(data, chunk_rows))


def _combined(sums: Iterable[int]) -> str:
    return f"{sum((2 * j + 1) * c for j, c in enumerate(sums)) % 2**64:016x}"


def _chunk_sum(chunk: NDArray[np.uint8]) -> int:
    """``Σ_i w_(i mod 509) · v_i  mod 2^64`` over the 8-byte words ``v`` of ``chunk``, zero-padded."""
    words = chunk[: len(chunk) // 8 * 8].view("<u8")
    table = words[: len(words) // _COLUMNS * _COLUMNS].reshape(-1, _COLUMNS)
    columns = table.sum(axis=0, dtype="<u8")
    rest = words[table.size :]
    columns[: len(rest)] += rest
    tail = int.from_bytes(chunk[8 * len(words) :].tobytes(), "little")
    columns[len(rest)] += np.uint64(tail)  # len(rest) < 509: the table took every whole row
    return int(columns @ _WEIGHTS)


def _chunks(data: NDArray, chunk_rows: int) -> Iterator[NDArray[np.uint8]]:
    """The bytes of each chunk of rows, without a copy; ``data`` is C-contiguous."""
    flat = data.reshape(-1).view(np.uint8)
    step = chunk_rows * (flat.size // len(data))
    return (flat[start : start + step] for start in range(0, flat.size, step))


def _chunk_rows(shape: tuple[int, ...], itemsize: int) -> int:
    """Rows a chunk: near ``_CHUNK_BYTES``, and dealt evenly, so that the last chunk is almost full."""
    n = shape[0]
    most = max(_LEAST_CHUNK_ROWS, _CHUNK_BYTES // max(1, itemsize * int(np.prod(shape[1:]))))
    count = -(-n // most)
    return -(-n // count)


def encode_shard(arrays: Mapping[str, NDArray]) -> tuple[memoryview, Block]:
    """The bytes of a shard file that holds ``arrays``, and where its index lies.

    Equal arrays give equal bytes. The file is composed in memory, so that a full disk is met by one plain
    write, which fails cleanly, and not in the middle of HDF5's bookkeeping.

    Args:
        arrays: path in the file → ``[n, …]``, n ≥ 1, little-endian.
    """
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", libver=_VERSION) as file:
        blocks = {name: _stored(file, name, array).to_json() for name, array in arrays.items()}
        text = json.dumps(blocks, sort_keys=True, separators=(",", ":"))
        index = _stored(file, _INDEX, np.frombuffer(text.encode(), np.uint8))
    return buffer.getbuffer(), index


def _stored(file: h5py.File, name: str, array: NDArray) -> Block:
    """Write ``array`` into ``file``."""
    array = np.ascontiguousarray(array)
    if array.dtype.kind == "S":
        array = array.astype(h5py.string_dtype("utf-8", array.itemsize))
    rows = _chunk_rows(array.shape, array.itemsize)
    chunks = (rows, *array.shape[1:])
    stored = file.create_dataset(name, data=array, chunks=chunks, fletcher32=True, track_times=False)
    stored.flush()
    corner = (0,) * (array.ndim - 1)
    where = [stored.id.get_chunk_info_by_coord((start, *corner)) for start in range(0, len(array), rows)]
    offsets = tuple(chunk.byte_offset for chunk in where)
    return Block(array.dtype.str, array.shape, rows, offsets, checksum(array, rows))


class ShardReader:
    """Reads arrays of one shard file, every byte checked; made by ``reading_shard``.

    Args:
        file: unbuffered.
        index: where its index lies.
    """

    def __init__(self, file: io.FileIO, index: Block) -> None:
        self._file = file
        text = self._read(_INDEX, index).tobytes()
        self._blocks = json.loads(text)

    def read(self, name: str, into: NDArray | None = None) -> NDArray:
        """The array ``name``.

        Args:
            name: its path in the file.
            into: C-contiguous memory of its shape and type to fill; new memory when left out.

        Raises: DamagedError: if a byte is not the one that was written, naming file and array.
        """
        return self._read(name, Block.from_json(self._blocks[name]), into)

    def _read(self, name: str, block: Block, into: NDArray | None = None) -> NDArray:
        out = np.empty(block.shape, block.dtype) if into is None else into
        sums = []
        for offset, chunk in zip(block.offsets, _chunks(out, block.chunk_rows), strict=True):
            self._file.seek(offset)
            if self._file.readinto(chunk.data) != len(chunk):
                raise self._damaged(name)
            sums.append(_chunk_sum(chunk))  # while the chunk is in the processor's cache
        if _combined(sums) != block.checksum:
            raise self._damaged(name)
        return out

    def _damaged(self, name: str) -> DamagedError:
        return DamagedError(f"{self._file.name} is damaged in {name!r}. {REMEDY}")


@contextmanager
def reading_shard(path: Path, index: Block) -> Iterator[ShardReader]:
    """Open a shard file.

    Raises: DamagedError: if the file is absent, or its index is not what was written.
    """
    try:
        file = io.FileIO(path)
    except FileNotFoundError as error:
        raise DamagedError(f"{path} is absent, though it was finished. {REMEDY}") from error
    with file:
        yield ShardReader(file, index)
