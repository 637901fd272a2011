"""Storage of rendered data sets: ``NAME.rgb`` contains the image bytes, ``NAME.npz`` factors and checksum."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from ..core.errors import UnreadableImageError
from ..core.files import atomic_path
from ..data.fingerprints import fingerprint_of, pixels_digest
from .canvas import SIZE
from .rendered import SPLITS, VERSION, Rendered, SetPlan


@dataclass(frozen=True)
class StoredImages:
    """Reads the images of one split from the image file of the data set, without an open file handle between reads.

    Attributes:
        path: Path of the ``.rgb`` file.
        first: Index of the image of row 0 in the file.
        side: Side of an image in pixels.
    """

    path: Path
    first: int
    side: int = SIZE

    def image(self, row: int) -> NDArray[np.uint8]:
        """Read the image of ``row``: ``[side, side, 3]``.

        Raises: UnreadableImageError: If the file was removed or truncated meanwhile.
        """
        size = self.side * self.side * 3
        at = (self.first + row) * size
        try:
            pixels = np.fromfile(self.path, np.uint8, size, offset=at)
        except OSError as error:
            raise UnreadableImageError(f"{self.path} cannot be read ({error.strerror}).") from error
        if len(pixels) < size:
            raise UnreadableImageError(f"{self.path} ends before byte {at + size}.")
        return pixels.reshape(self.side, self.side, 3)


@dataclass(frozen=True, eq=False)
class StoredSet:
    """Metadata of a stored data set.

    Attributes:
        path: Path of the ``.rgb`` file.
        fingerprints: Fingerprint of each split.
        factors: Factors by name, each ``[n]`` or ``[n, k]``, for the concatenated splits.
    """

    path: Path
    fingerprints: Mapping[str, str]
    factors: Mapping[str, NDArray]


def path_of(root: Path, name: str) -> Path:
    """Return the path of the image file of ``name`` in the data folder ``root``."""
    return root / f"mini-v{VERSION}" / f"{name}.rgb"


def store(root: Path, plan: SetPlan, rendered: Rendered) -> None:
    """Store a rendered data set; the file with the checksum is written last."""
    images = np.ascontiguousarray(rendered.images)
    arrays = {f"factor-{name}": values for name, values in rendered.factors.items()}
    hashes = {f"fingerprint-{name}": np.array(_fingerprint(plan, images, name)) for name in SPLITS}
    store_images(path_of(root, plan.name), images, {**hashes, **arrays})


def load_stored(root: Path, plan: SetPlan) -> StoredSet | None:
    """Load the metadata of a stored data set; None if it is absent or damaged."""
    path = path_of(root, plan.name)
    arrays = load_arrays(path)
    if arrays is None:
        return None
    hashes = {name: str(value) for name, value in _named(arrays, "fingerprint-").items()}
    return StoredSet(path, hashes, _named(arrays, "factor-"))


def store_images(path: Path, images: NDArray[np.uint8], arrays: Mapping[str, NDArray]) -> None:
    """Store images and arrays; the file with the arrays and the checksum is written last.

    Args:
        path: Path of the ``.rgb`` file.
        images: Contiguous images ``[n, side, side, 3]``.
        arrays: Arrays by name.
    """
    with atomic_path(path) as part, part.open("wb") as file:
        file.write(images.data)  # not tofile, whose error does not report a full disk
    with atomic_path(path.with_suffix(".npz")) as part, part.open("wb") as file:
        np.savez(file, allow_pickle=False, checksum=np.array(zlib.crc32(images.data)), **arrays)


def load_arrays(path: Path) -> dict[str, NDArray] | None:
    """Load the arrays stored with the images at ``path``; None if a file is absent or damaged."""
    try:
        with path.with_suffix(".npz").open("rb") as file, np.load(file, allow_pickle=False) as members:
            arrays = dict(members)
        images = np.memmap(path, np.uint8, mode="r")
    except (OSError, ValueError, EOFError, BadZipFile):
        return None
    return arrays if zlib.crc32(images.data) == int(arrays.pop("checksum", -1)) else None


def _named(arrays: Mapping[str, NDArray], prefix: str) -> dict[str, NDArray]:
    return {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}


def _fingerprint(plan: SetPlan, images: NDArray[np.uint8], split: str) -> str:
    extent = plan.extent(split)
    contents = [pixels_digest(image) for image in images[extent]]
    return fingerprint_of(plan.ids()[extent], plan.labels()[extent], plan.classes, contents)
