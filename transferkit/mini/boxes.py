"""Storage of ``mini/scenes`` and its detection set; ``mini.scenes`` draws the images.

``scenes.rgb`` contains the bytes of the images, ``scenes.npz`` the annotations and the checksum.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DamagedError, UsageError
from ..core.progress import SILENT, Reporter
from ..data.detection.boxed import (
    DETECTION,
    DetectionDataset,
    DetectionSplit,
    ImageBoxes,
    OnFault,
    detection_fingerprint,
)
from ..data.fingerprints import pixels_digest
from . import scenes
from .rendered import SPLITS
from .storage import StoredImages, load_arrays, store_images

SPEC = f"mini/{scenes.NAME}"


class Scenes:
    """Opener of ``mini/scenes``."""

    description = f"drawn images with boxes, for detection: {', '.join(scenes.CLASSES)}"
    class_count = len(scenes.CLASSES)
    image_count = sum(scenes.COUNTS)
    licence = "Apache-2.0, as transferkit"
    published = None

    def __call__(
        self, rest: str, *, root: Path, on_error: OnFault = "skip", reporter: Reporter = SILENT
    ) -> DetectionDataset:
        """Open the detection set as ``DetectionOpener`` does; draw it first if ``root`` does not contain it.

        Raises:
            UsageError: If the spec has an option.
            DamagedError: If the written files cannot be read back.
        """
        if rest:
            raise UsageError(f"{SPEC} has no option {rest!r}. Remove it.")
        arrays = load_arrays(path_of(root))
        if arrays is None:
            _store(root, reporter)
            arrays = load_arrays(path_of(root))
        if arrays is None:
            raise DamagedError(
                f"{path_of(root)} does not contain what was just written: the disk may be failing. "
                "Name another folder with --workspace."
            )
        splits = {name: _split(name, arrays, path_of(root)) for name in SPLITS}
        return DetectionDataset(
            SPEC,
            splits,
            tuple(range(1, len(scenes.CLASSES) + 1)),
            source="drawn by transferkit",
            licence=self.licence,
        )


DETECTION.register(SPEC)(Scenes())


def path_of(root: Path) -> Path:
    """Return the path of the image file in the data folder ``root``."""
    return root / f"mini-{scenes.NAME}-v{scenes.VERSION}" / f"{scenes.NAME}.rgb"


def _store(root: Path, reporter: Reporter) -> None:
    """Draw and store the images; the file with the checksum is written last."""
    n = sum(scenes.COUNTS)
    images = np.empty((n, scenes.SIDE, scenes.SIDE, 3), np.uint8)
    drawn = []
    with reporter.task(f"Drawing {SPEC}", n, "images") as task:
        for target, scene in zip(images, scenes.render(), strict=True):
            target[:] = scene.image
            drawn.append(scene)
            task.advance()
    arrays = {
        name: np.concatenate([getattr(scene, name) for scene in drawn])
        for name in ("boxes", "labels", "difficult", "areas")
    }
    arrays["counts"] = np.array([len(scene.labels) for scene in drawn])
    arrays["contents"] = np.array([pixels_digest(image) for image in images])
    store_images(path_of(root), images, arrays)


def _split(name: str, arrays: Mapping[str, NDArray], path: Path) -> DetectionSplit:
    at = SPLITS.index(name)
    first, count = sum(scenes.COUNTS[:at]), scenes.COUNTS[at]
    ends = np.cumsum(arrays["counts"])
    objects = tuple(
        _objects(arrays, int(ends[row] - arrays["counts"][row]), int(ends[row])) for row in range(first, first + count)
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
        reader=StoredImages(path, first, scenes.SIDE),
    )


def _objects(arrays: Mapping[str, NDArray], start: int, end: int) -> ImageBoxes:
    labels = arrays["labels"][start:end]
    return ImageBoxes(
        arrays["boxes"][start:end],
        labels,
        arrays["difficult"][start:end],
        np.zeros(len(labels), bool),
        arrays["areas"][start:end],
    )
