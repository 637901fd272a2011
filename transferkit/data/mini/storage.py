"""Rendered sets on disk: ``NAME.rgb`` is the images' bytes, ``NAME.npz`` their factors and checksum."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from ...core.errors import UnreadableImageError
from ...core.files import appearing
from ..fingerprints import fingerprint_of, pixels_digest
from .canvas import SIZE
from .rendered import SPLITS, VERSION, Rendered, SetPlan


@dataclass(frozen=True)
class KeptImages:
    """Reads the images of one split from the file of its set, which needs no open handle between reads.

    Attributes:
        path: of the ``.rgb`` file.
        first: the file's image that is row 0.
        side: pixels of an image's sides.
    """

    path: Path
    first: int
    side: int = SIZE

    def image(self, row: int) -> NDArray[np.uint8]:
        """The image of ``row``: ``[side, side, 3]``.

        Raises: UnreadableImageError: if the file has been removed or cut short meanwhile.
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
class Kept:
    """What is known of a set without reading its images.

    Attributes:
        path: of the ``.rgb`` file.
        fingerprints: of each split.
        factors: by name, ``[n]`` or ``[n, k]``, all splits one after another.
    """

    path: Path
    fingerprints: Mapping[str, str]
    factors: Mapping[str, NDArray]


def path_of(root: Path, name: str) -> Path:
    """Where the images of ``name`` lie below the data folder ``root``."""
    return root / f"mini-v{VERSION}" / f"{name}.rgb"


def keep(root: Path, plan: SetPlan, rendered: Rendered) -> None:
    """Write a rendered set; the file that vouches for the images is written after them."""
    images = np.ascontiguousarray(rendered.images)
    arrays = {f"factor-{name}": values for name, values in rendered.factors.items()}
    hashes = {f"fingerprint-{name}": np.array(_fingerprint(plan, images, name)) for name in SPLITS}
    keep_images(path_of(root, plan.name), images, {**hashes, **arrays})


def kept(root: Path, plan: SetPlan) -> Kept | None:
    """The set as it was written, or None if it was not, or is damaged."""
    path = path_of(root, plan.name)
    arrays = kept_arrays(path)
    if arrays is None:
        return None
    hashes = {name: str(value) for name, value in _named(arrays, "fingerprint-").items()}
    return Kept(path, hashes, _named(arrays, "factor-"))


def keep_images(path: Path, images: NDArray[np.uint8], arrays: Mapping[str, NDArray]) -> None:
    """Write images and what belongs to them; the file that vouches for the images is written after them.

    Args:
        path: of the ``.rgb`` file.
        images: ``[n, side, side, 3]``, contiguous.
        arrays: by name.
    """
    with appearing(path) as part, part.open("wb") as file:
        file.write(images.data)  # not tofile, whose error does not say that the disk is full
    with appearing(path.with_suffix(".npz")) as part, part.open("wb") as file:
        np.savez(file, allow_pickle=False, checksum=np.array(zlib.crc32(images.data)), **arrays)


def kept_arrays(path: Path) -> dict[str, NDArray] | None:
    """What belongs to the images at ``path``, or None if they were not written, or anything is damaged."""
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
