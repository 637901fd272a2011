"""Random access to images in tar archives by an index of their offsets.

The index is made by one pass over the headers, and cached with the size and the modification time of the archive.
"""

import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DataError, DiskSpaceError
from ..core.files import atomic_path, digest_of
from ..core.progress import SILENT, Reporter
from ..data.decoding import IMAGE_EXTENSIONS
from ..data.tar_files import decode_member, opened_tar


@dataclass(frozen=True, eq=False)
class TarIndex:
    """Index of the images in an archive.

    Attributes:
        names: Names of the images ``[n]``; images in an inner archive are ``INNER/NAME``, without ``.tar``.
        offsets: Offset of the first byte of each image ``[n]``.
        sizes: Size of each image in bytes ``[n]``.
    """

    names: tuple[str, ...]
    offsets: NDArray[np.int64]
    sizes: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class TarReader:
    """Decodes images directly from one archive.

    Attributes:
        path: Path of the archive.
        offsets: Offset of the first byte of each image ``[n]``.
        sizes: Size of each image in bytes ``[n]``.
        modified_ns: Modification time of the archive in nanoseconds.
    """

    path: Path
    offsets: NDArray[np.int64]
    sizes: NDArray[np.int64]
    modified_ns: int

    def image(self, row: int) -> NDArray[np.uint8]:
        """Decode a row as ``Reader.image`` does.

        Raises: DataError: If the archive changed after it was opened.
        """
        return decode_member(self.path, int(self.offsets[row]), int(self.sizes[row]), modified_ns=self.modified_ns)


def tar_index(path: Path, *, cache_dir: Path, reporter: Reporter = SILENT) -> TarIndex:
    """Index every image of an archive and of its inner archives, in their order.

    Args:
        path: Path of an uncompressed tar archive.
        cache_dir: Folder of the cached index; a folder that cannot be written only costs time.
        reporter: Receives a note when the pass begins.

    Raises: DataError: If the file is not an uncompressed tar archive, or is truncated.
    """
    status = path.stat()
    stamp = [str(path), status.st_size, status.st_mtime_ns]
    cache_file = cache_dir / f"{digest_of(stamp)[:32]}.npz"
    if (cached := _read_cache(cache_file)) is not None:
        return cached
    reporter.note(f"Indexing the images of {path}.")
    with opened_tar(path) as archive:
        found = list(_images(archive))
    if not found:
        raise DataError(f"{path} contains no images. It is another archive, or truncated; download it again.")
    if found[-1][1] + found[-1][2] > status.st_size:
        raise DataError(f"{path} is truncated after {status.st_size} bytes. Download it again.")
    names, offsets, sizes = zip(*found, strict=True)
    index = TarIndex(names, np.array(offsets, np.int64), np.array(sizes, np.int64))
    _write_cache(cache_file, index, reporter)
    return index


def _images(archive: tarfile.TarFile) -> Iterator[tuple[str, int, int]]:
    """Yield the name, the offset and the size of each image."""
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


def _read_cache(cache_file: Path) -> TarIndex | None:
    try:
        with cache_file.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            names: Sequence[str] = arrays["names"].astype(str).tolist()
            return TarIndex(tuple(names), arrays["offsets"], arrays["sizes"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _write_cache(cache_file: Path, index: TarIndex, reporter: Reporter) -> None:
    try:
        with atomic_path(cache_file) as part, part.open("wb") as file:
            encoded = np.array([name.encode() for name in index.names])
            np.savez(file, names=encoded, offsets=index.offsets, sizes=index.sizes)
    except (DiskSpaceError, OSError) as error:
        reporter.note(f"The index of the archive is not cached, and will be computed again: {error}")
