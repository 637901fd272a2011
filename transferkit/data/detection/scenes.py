"""``mini/scenes`` on disk and as a detection set; ``mini.scenes`` draws it.

``scenes.rgb`` is the pictures' bytes, ``scenes.npz`` the marks and the checksum.
"""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from ...core.errors import DamagedError, UnreadableImageError, UsageError
from ...core.files import appearing
from ...core.progress import SILENT, Reporter
from ..fingerprints import pixels_digest
from ..mini import scenes
from ..mini.rendered import SPLITS
from .boxed import DETECTION, DetectionDataset, DetectionSplit, Objects, OnFault, detection_fingerprint

SPEC = f"mini/{scenes.NAME}"
_SHAPE = (scenes.SIDE, scenes.SIDE, 3)
_BYTES = scenes.SIDE * scenes.SIDE * 3


@dataclass(frozen=True)
class KeptScenes:
    """Reads the pictures of one split.

    Attributes:
        path: of the ``.rgb`` file.
        first: the file's picture that is row 0.
    """

    path: Path
    first: int

    def image(self, row: int) -> NDArray[np.uint8]:
        """The picture of ``row``: ``[128, 128, 3]``.

        Raises: UnreadableImageError: if the file has been removed or cut short meanwhile.
        """
        at = (self.first + row) * _BYTES
        try:
            pixels = np.fromfile(self.path, np.uint8, _BYTES, offset=at)
        except OSError as error:
            raise UnreadableImageError(f"{self.path} cannot be read ({error.strerror}).") from error
        if len(pixels) < _BYTES:
            raise UnreadableImageError(f"{self.path} ends before byte {at + _BYTES}.")
        return pixels.reshape(_SHAPE)


class Scenes:
    """The opener of ``mini/scenes``."""

    description = f"drawn pictures with boxes, for detection: {', '.join(scenes.CLASSES)}"
    class_count = len(scenes.CLASSES)

    def __call__(
        self, rest: str, *, root: Path, on_error: OnFault = "skip", reporter: Reporter = SILENT
    ) -> DetectionDataset:
        """As ``DetectionOpener``; drawn first if ``root`` does not hold it whole.

        Raises:
            UsageError: if anything stands behind the name.
            DamagedError: if the disk does not keep what is written.
        """
        if rest:
            raise UsageError(f"{SPEC} is one data set: leave out {rest!r} behind it.")
        arrays = _kept(root)
        if arrays is None:
            _keep(root, reporter)
            arrays = _kept(root)
        if arrays is None:
            raise DamagedError(
                f"{path_of(root)} does not hold what was just written there: the disk may be failing. "
                "Name another folder with --workspace."
            )
        splits = {name: _split(name, arrays, path_of(root)) for name in SPLITS}
        return DetectionDataset(
            SPEC,
            splits,
            tuple(range(1, len(scenes.CLASSES) + 1)),
            source="drawn by transferkit",
            licence="Apache-2.0, as transferkit",
        )


DETECTION.register(SPEC)(Scenes())


def path_of(root: Path) -> Path:
    """Where the pictures lie below the data folder ``root``."""
    return root / f"mini-{scenes.NAME}-v{scenes.VERSION}" / f"{scenes.NAME}.rgb"


def _keep(root: Path, reporter: Reporter) -> None:
    """Draw and write; the file that vouches for the pictures is written after them."""
    n = sum(scenes.COUNTS)
    images = np.empty((n, *_SHAPE), np.uint8)
    drawn = []
    with reporter.task(f"Drawing {SPEC}", n, "images") as task:
        for place, scene in zip(images, scenes.render(), strict=True):
            place[:] = scene.image
            drawn.append(scene)
            task.advance()
    path = path_of(root)
    with appearing(path) as part:
        images.tofile(part)
    arrays = {
        name: np.concatenate([getattr(scene, name) for scene in drawn])
        for name in ("boxes", "labels", "difficult", "areas")
    }
    arrays["counts"] = np.array([len(scene.labels) for scene in drawn])
    arrays["contents"] = np.array([pixels_digest(image) for image in images])
    arrays["checksum"] = np.array(zlib.crc32(images.data))
    with appearing(path.with_suffix(".npz")) as part, part.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def _kept(root: Path) -> Mapping[str, NDArray] | None:
    """The marks as they were written, or None if they were not, or anything is damaged."""
    path = path_of(root)
    try:
        with path.with_suffix(".npz").open("rb") as file, np.load(file, allow_pickle=False) as members:
            arrays = dict(members)
        images = np.memmap(path, np.uint8, mode="r")
    except (OSError, ValueError, EOFError, BadZipFile):
        return None
    return arrays if zlib.crc32(images.data) == int(arrays.get("checksum", -1)) else None


def _split(name: str, arrays: Mapping[str, NDArray], path: Path) -> DetectionSplit:
    at = SPLITS.index(name)
    first, count = sum(scenes.COUNTS[:at]), scenes.COUNTS[at]
    ends = np.cumsum(arrays["counts"])
    objects = tuple(
        _objects(arrays, int(ends[row] - arrays["counts"][row]), int(ends[row]))
        for row in range(first, first + count)
    )
    ids = tuple(f"{name}/{number:04d}" for number in range(count))
    sizes = np.full((count, 2), scenes.SIDE, np.int64)
    contents = arrays["contents"][first : first + count].tolist()
    return DetectionSplit(
        dataset=SPEC,
        name=name,
        ids=ids,
        sizes=sizes,
        objects=objects,
        classes=scenes.CLASSES,
        fingerprint=detection_fingerprint(ids, sizes, objects, scenes.CLASSES, contents),
        reader=KeptScenes(path, first),
    )


def _objects(arrays: Mapping[str, NDArray], start: int, end: int) -> Objects:
    labels = arrays["labels"][start:end]
    return Objects(
        arrays["boxes"][start:end],
        labels,
        arrays["difficult"][start:end],
        np.zeros(len(labels), bool),
        arrays["areas"][start:end],
    )
