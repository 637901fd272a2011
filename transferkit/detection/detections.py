"""Ground truth and detections of an image, and detections in files that can be scored again."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DamagedError, NonFiniteError, ShapeError
from ..core.files import atomic_path


class GroundTruth(Protocol):
    """Ground-truth objects of one image. Shapes: ``m`` objects, possibly 0."""

    @property
    def boxes(self) -> NDArray[np.float32]:
        """Boxes ``[m, 4]``: left, top, right, bottom in pixels."""

    @property
    def labels(self) -> NDArray[np.int64]:
        """Labels ``[m]`` in ``0 … c-1``."""

    @property
    def difficult(self) -> NDArray[np.bool_]:
        """Mask ``[m]`` of difficult objects, whose detections count neither as correct nor as wrong."""

    @property
    def crowd(self) -> NDArray[np.bool_]:
        """Mask ``[m]`` of crowds, which are boxes around many objects."""

    @property
    def areas(self) -> NDArray[np.float32]:
        """Areas ``[m]`` of the objects in square pixels."""


@dataclass(frozen=True, eq=False)
class Detections:
    """Detected boxes of one image. Shapes: ``k`` boxes, possibly 0.

    Attributes:
        boxes: ``[k, 4]`` left, top, right, bottom in pixels of the image.
        labels: ``[k]`` labels in ``0 … c-1``.
        scores: ``[k]`` confidences; higher is more certain.

    Raises:
        ShapeError: if the arrays have other shapes.
        NonFiniteError: if a box or a score is not finite.
    """

    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    scores: NDArray[np.float32]

    def __post_init__(self) -> None:
        k = len(self.labels)
        if self.boxes.shape != (k, 4) or self.scores.shape != (k,):
            raise ShapeError(
                f"{k} labels need boxes [{k}, 4] and scores [{k}], "
                f"not {list(self.boxes.shape)} and {list(self.scores.shape)}."
            )
        if not (np.isfinite(self.boxes).all() and np.isfinite(self.scores).all()):
            raise NonFiniteError("The detector found boxes or scores that are not finite: give a smaller --lr.")

    def __len__(self) -> int:
        return len(self.labels)

    @classmethod
    def nothing(cls) -> "Detections":
        """Return detections without boxes."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, np.float32))


def write_found(path: Path, found: Sequence[Detections]) -> None:
    """Write the detections of all images as NumPy arrays ``counts``, ``boxes``, ``labels`` and ``scores``."""
    nothing = Detections.nothing()
    arrays = {
        name: np.concatenate([getattr(one, name) for one in (nothing, *found)])
        for name in ("boxes", "labels", "scores")
    }
    counts = np.array([len(one) for one in found], np.int64)
    with atomic_path(path) as part, part.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, counts=counts, **arrays)


def read_found(path: Path) -> list[Detections]:
    """Read the file of ``write_found``, and return one item per image.

    Raises: DamagedError: if the file is incomplete or not such a file.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            ends = np.cumsum(file["counts"])[:-1] if len(file["counts"]) else np.zeros(0, np.int64)
            parts = [np.split(file[name], ends) for name in ("boxes", "labels", "scores")]
            images = len(file["counts"])
    except (OSError, ValueError, EOFError, KeyError, BadZipFile) as error:
        raise DamagedError(f"{path} holds no detections ({error}). Detect again with --force.") from error
    return [Detections(*one) for one in zip(*parts, strict=True)][:images]
