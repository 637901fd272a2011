"""Patches of the photographs in scikit-image and scikit-learn, with separate cells for each split.

An area of a photograph is divided into a grid of cells, each cell belongs to one split, and each patch is inside one
cell: patches of different splits never share a pixel. Patches of a class are distributed evenly over its cells.
Patches that share pixels form one group, because most photographs are too small for disjoint patches. Cropping,
scaling and rotation use exact integer arithmetic.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DataError
from .canvas import SIZE, Factors, Plane, quantised
from .rendered import SPLITS, Picture, SetPlan

PHOTOGRAPHS = (
    "skimage/data/astronaut.png",
    "skimage/data/brick.png",
    "skimage/data/camera.png",
    "skimage/data/chelsea.png",
    "skimage/data/coffee.png",
    "skimage/data/coins.png",
    "skimage/data/grass.png",
    "skimage/data/gravel.png",
    "skimage/data/ihc.png",
    "skimage/data/moon.png",
    "skimage/data/motorcycle_left.png",
    "skimage/data/page.png",
    "skimage/data/retina.jpg",
    "skimage/data/rocket.jpg",
    "sklearn/datasets/images/china.jpg",
    "sklearn/datasets/images/flower.jpg",
)
"""Photographs, indexed by the factor ``photograph``; the first part of the path is the package of the file."""

CYCLE = ("train", "test", "train", "val", "train", "test")
"""Split of a cell, indexed by (column + 2 row) modulo 6: every 2x3 grid contains all three splits."""


_TRIES = 10  # random patches that are tried per cell


@dataclass(frozen=True)
class Area:
    """A rectangle of a photograph, and its grid of cells.

    Attributes:
        name: File name without extension.
        box: Left, top, right and bottom in pixels.
        grid: Number of columns and rows of cells; at least 2x3 or 3x2.
    """

    name: str
    box: tuple[int, int, int, int]
    grid: tuple[int, int]

    def cells(self, split: str) -> list[tuple[int, int, int, int]]:
        """Return the boxes of the cells of ``split``."""
        left, top, right, bottom = self.box
        columns, rows = self.grid
        width, height = (right - left) // columns, (bottom - top) // rows
        return [
            (x, y, x + width, y + height)
            for row in range(rows)
            for column in range(columns)
            if CYCLE[(column + 2 * row) % 6] == split
            for x, y in [(left + column * width, top + row * height)]
        ]


@dataclass(frozen=True)
class Cut:
    """Settings of the patches of a data set.

    Attributes:
        areas: Areas of each class.
        finish: Function that processes the canvas of a patch.
        sides: Minimum and maximum side of a patch as a fraction of the shorter side of its cell.
        accepts: Function that returns whether a patch, uint8 ``[s, s, 3]``, shows the class; rejected patches are
            redrawn.
    """

    areas: Mapping[str, Sequence[Area]]
    finish: Callable[[Plane, np.random.Generator], Plane]
    sides: tuple[float, float] = (0.8, 1.0)
    accepts: Callable[[str, NDArray[np.uint8]], bool] = lambda kind, patch: True


def index_of(name: str) -> int:
    """Return the index of a photograph in ``PHOTOGRAPHS`` by its file name without extension."""
    return next(k for k, path in enumerate(PHOTOGRAPHS) if Path(path).stem == name)


@cache
def photograph(name: str) -> NDArray[np.uint8]:
    """Load a photograph by its file name without extension: ``[height, width, 3]``.

    Raises: DataError: If the package does not contain it.
    """
    from PIL import Image

    package, _, inside = PHOTOGRAPHS[index_of(name)].partition("/")
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise DataError(f"The photograph {name!r} is part of {package}, which is not installed. Install it.")
    path = Path(spec.origin).parent / inside
    if not path.exists():
        raise DataError(f"This version of {package} does not contain {inside}. Install the version of the docs.")
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def rescaled(patch: NDArray[np.uint8], size: int = SIZE) -> NDArray[np.uint8]:
    """Rescale a square patch to ``size`` pixels per side by exact area averages, with halves rounded up."""
    area = len(patch) ** 2
    total = _sums_down(_sums_down(patch.astype(np.int64), size).swapaxes(0, 1), size).swapaxes(0, 1)
    return ((2 * total + area) // (2 * area)).astype(np.uint8)


def _sums_down(rows: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Sum ``size`` equal intervals of the rows, in units of 1 / ``size`` of a row."""
    whole, part = np.divmod(np.arange(size + 1) * len(rows), size)
    none = np.zeros_like(rows[:1])
    before = np.concatenate([none, rows.cumsum(0)])[whole] * size
    begun = np.concatenate([rows, none])[whole] * part[:, None, None]
    return np.diff(before + begun, axis=0)


Box = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels of a photograph."""


def cut(plan: SetPlan, how: Cut) -> Iterator[Picture]:
    """Cut out every image of ``plan`` with its own random generator, in turn from the cells of its split and class.

    Raises: DataError: If no cell of a split shows a class.
    """
    cells = {
        (split, kind): _cells_that_show(kind, how, split, plan.rng(split, kind, "cells"))
        for split in SPLITS
        for kind in plan.classes
    }
    for split, kind, number in plan.rows():
        own = cells[split, kind]
        yield _one(kind, how, own[number % len(own)], plan.rng(split, kind, number))


def _cells_that_show(kind: str, how: Cut, split: str, rng: np.random.Generator) -> list[tuple[str, Box]]:
    """Return the photograph and box of the cells of ``split`` that show the class, shuffled."""
    cells = [(area.name, cell) for area in how.areas[kind] for cell in area.cells(split)]
    found = [cell for cell in cells if _found(kind, how, cell, rng, tries=_TRIES) is not None]
    if not found:
        raise DataError(f"No patch of the {split} cells shows {kind!r}: its areas or its rule have changed.")
    return [found[i] for i in rng.permutation(len(found)).tolist()]


def _found(kind: str, how: Cut, cell: tuple[str, Box], rng: np.random.Generator, *, tries: int) -> Box | None:
    """Return the box of the first random patch of a cell that shows the class, or None after ``tries`` patches."""
    name, (left, top, right, bottom) = cell
    for _ in range(tries):
        side = int(min(right - left, bottom - top) * rng.uniform(*how.sides)) // 4 * 4
        x, y = int(rng.integers(left, right - side + 1)), int(rng.integers(top, bottom - side + 1))
        if how.accepts(kind, photograph(name)[y : y + side, x : x + side]):
            return x, y, x + side, y + side
    return None


def _one(kind: str, how: Cut, cell: tuple[str, Box], rng: np.random.Generator) -> Picture:
    box = _found(kind, how, cell, rng, tries=100 * _TRIES)
    if box is None:
        raise DataError(f"No patch of the cell {cell} shows {kind!r}: its areas or its rule have changed.")
    left, top, right, bottom = box
    turn = int(rng.integers(8))
    square = np.rot90(rescaled(photograph(cell[0])[top:bottom, left:right]), turn % 4)
    square = square[:, ::-1] if turn >= 4 else square
    factors: Factors = {"photograph": index_of(cell[0]), "box": box, "turn": turn}
    return quantised(how.finish(square / 255.0, rng)), factors


def overlapping(factors: Mapping[str, NDArray]) -> tuple[str, ...]:
    """Compute the group of each patch: connected components of patches that share pixels.

    Args:
        factors: Factors ``photograph`` ``[n]`` and ``box`` ``[n, 4]`` of ``cut``.

    Returns: Group names ``[n]``, such as ``coins/3``.
    """
    which, box = factors["photograph"], factors["box"]
    low, high = box[:, :2], box[:, 2:]
    inside = (low[:, None] < high) & (low < high[:, None])  # [n, n, 2] for each axis
    touches = inside.all(2) & (which[:, None] == which)
    group = np.arange(len(which))
    while True:  # propagate the lowest row of each connected component
        lowest = np.where(touches, group, len(group)).min(1)
        if (lowest == group).all():
            break
        group = lowest
    names: dict[int, str] = {}
    counts: Counter[str] = Counter()
    for row, photo in zip(group.tolist(), which.tolist(), strict=True):
        if row not in names:
            stem = Path(PHOTOGRAPHS[photo]).stem
            names[row] = f"{stem}/{counts[stem]}"
            counts[stem] += 1
    return tuple(names[row] for row in group.tolist())


def has_structure(kind: str, patch: NDArray[np.uint8]) -> bool:
    """Return whether a patch shows more than a uniform sky or a blurred background."""
    return float(patch[..., 1].std()) > 7


def luminance(canvas: Plane) -> Plane:
    """Compute the luminance of a canvas: ``[64, 64]``."""
    return canvas @ np.array([0.299, 0.587, 0.114])


def toned(canvas: Plane, rng: np.random.Generator, *, tone: Plane, contrast: tuple[float, float]) -> Plane:
    """Convert a canvas to shades of ``tone`` with random brightness and contrast.

    The mean and standard deviation of the patch are replaced by random ones, so that neither reveals the class.
    """
    grey = luminance(canvas)
    spread = max(float(grey.std()), 0.01)
    grey = rng.uniform(0.35, 0.65) + (grey - grey.mean()) / spread * rng.uniform(*contrast)
    low, high = tone * rng.uniform(0.0, 0.3), 1 - (1 - tone) * rng.uniform(0.2, 0.7)
    return low + np.clip(grey, 0, 1)[..., None] * (high - low)
