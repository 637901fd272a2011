"""Uncompressed tar files whose images are read by random access."""

import os
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DataError, UnreadableImageError
from .decoding import decode


@contextmanager
def opened_tar(path: Path) -> Iterator[tarfile.TarFile]:
    """Open a tar file whose members the block reads in order; the end of the block checks that it is complete.

    Raises: DataError: If the file is not an uncompressed tar file, or is truncated.
    """
    try:
        with tarfile.open(path, "r:") as archive:
            yield archive
            _require_end(archive)
    except (tarfile.TarError, OSError, EOFError) as error:
        raise DataError(
            f"{path} cannot be read as an uncompressed tar: {error}. If it is compressed, decompress it to .tar: "
            "images are read by random access. If it is truncated, download it again."
        ) from error


def _require_end(archive: tarfile.TarFile) -> None:
    """Check that a tar file ends with a block of zeros; one that was truncated between two members does not."""
    assert archive.fileobj is not None
    archive.fileobj.seek(archive.offset)
    if archive.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise EOFError("the end-of-archive block is missing")


def decode_member(path: Path, offset: int, size: int, *, modified_ns: int) -> NDArray[np.uint8]:
    """Decode an image of ``size`` bytes at ``offset`` as ``Reader.image`` does.

    Raises: DataError: If the modification time of the file in nanoseconds is another than ``modified_ns``.
    """
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mtime_ns != modified_ns:
                raise DataError(f"{path} changed after it was opened. Run the same command again.")
            file.seek(offset)
            content = file.read(size)
    except OSError as error:
        raise UnreadableImageError(error.strerror or f"{path.name} cannot be read") from error
    return decode(content)
