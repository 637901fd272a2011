"""Images inside tar archives, read where they lie: an index says at which byte each begins.

The index is made by one pass over the headers, and remembered with the archive's size and time.
"""

import os
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from ...core.errors import DataError, DiskSpaceError, UnreadableImageError
from ...core.files import appearing, digest_of
from ...core.progress import SILENT, Reporter
from ..decoding import IMAGE_EXTENSIONS, decode


@dataclass(frozen=True, eq=False)
class Index:
    """Where images lie in an archive.

    Attributes:
        names: ``[n]``; of an image in an inner archive ``INNER/NAME``, without ``.tar``.
        offsets: ``[n]`` first byte of each.
        sizes: ``[n]`` bytes.
    """

    names: tuple[str, ...]
    offsets: NDArray[np.int64]
    sizes: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class TarReader:
    """Decodes images out of one archive.

    Attributes:
        path: of the archive.
        offsets: ``[n]``.
        sizes: ``[n]``.
        modified_ns: when it last changed.
    """

    path: Path
    offsets: NDArray[np.int64]
    sizes: NDArray[np.int64]
    modified_ns: int

    def image(self, row: int) -> NDArray[np.uint8]:
        """As ``Reader.image``.

        Raises: DataError: if the archive changed after it was opened.
        """
        try:
            with self.path.open("rb") as file:
                if os.fstat(file.fileno()).st_mtime_ns != self.modified_ns:
                    raise DataError(f"{self.path} changed after it was opened. Run the same command again.")
                file.seek(int(self.offsets[row]))
                return decode(file.read(int(self.sizes[row])))
        except OSError as error:
            raise UnreadableImageError(error.strerror or str(error)) from error


def tar_index(path: Path, *, memory: Path, reporter: Reporter = SILENT) -> Index:
    """Every image of an archive, and of the archives in it, in their order.

    Args:
        path: an uncompressed tar.
        memory: folder for the index that is remembered; one that cannot be written costs only time.
        reporter: told when a pass begins.

    Raises: DataError: if it is no such archive, or is cut off.
    """
    status = path.stat()
    stamp = [str(path), status.st_size, status.st_mtime_ns]
    memo = memory / f"{digest_of(stamp)[:32]}.npz"
    if (known := _remembered(memo)) is not None:
        return known
    reporter.note(f"Looking through {path} once, for where its images lie.")
    try:
        with tarfile.open(path, mode="r:") as archive:
            found = list(_images(archive))
            _require_end(archive)
    except (tarfile.TarError, OSError, EOFError) as error:
        raise DataError(
            f"{path} cannot be read as an uncompressed tar: {error}. It may be cut off; get it again."
        ) from error
    if not found:
        raise DataError(f"{path} holds no images. It is another archive, or cut off; get it again.")
    if found[-1][1] + found[-1][2] > status.st_size:
        raise DataError(f"{path} is cut off after {status.st_size} bytes. Get it again.")
    names, offsets, sizes = zip(*found, strict=True)
    index = Index(names, np.array(offsets, np.int64), np.array(sizes, np.int64))
    _remember(memo, index, reporter)
    return index


def _require_end(archive: tarfile.TarFile) -> None:
    """A tar ends with a block of zeros; one that was cut off between two of its files does not.

    Raises: EOFError: then.
    """
    assert archive.fileobj is not None
    archive.fileobj.seek(archive.offset)
    if archive.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise EOFError("the mark that ends a tar is missing")


def _images(archive: tarfile.TarFile) -> Iterator[tuple[str, int, int]]:
    """Name, first byte and size of each image."""
    for member in archive:
        name = PurePosixPath(member.name)
        if not member.isfile() or name.name.startswith("."):
            continue
        if name.suffix.lower() in IMAGE_EXTENSIONS:
            yield name.name, member.offset_data, member.size
        elif name.suffix == ".tar":
            inner = archive.extractfile(member)
            if inner is not None:
                with tarfile.open(fileobj=inner, mode="r:") as nested:
                    for one, offset, size in _images(nested):
                        yield f"{name.stem}/{one}", member.offset_data + offset, size


def _remembered(memo: Path) -> Index | None:
    try:
        with memo.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            names: Sequence[str] = arrays["names"].astype(str).tolist()
            return Index(tuple(names), arrays["offsets"], arrays["sizes"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _remember(memo: Path, index: Index, reporter: Reporter) -> None:
    try:
        with appearing(memo) as part, part.open("wb") as file:
            encoded = np.array([name.encode() for name in index.names])
            np.savez(file, names=encoded, offsets=index.offsets, sizes=index.sizes)
    except (DiskSpaceError, OSError) as error:
        reporter.note(f"The index of the archive is not remembered, and will be made again: {error}")
