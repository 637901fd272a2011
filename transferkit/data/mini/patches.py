"""Patches of the photographs that scikit-image and scikit-learn carry, with every split in its own cells.

An area of a photograph is divided into a grid of cells, each cell belongs to one split, and a patch lies
inside one cell: patches of different splits never share a pixel. The cells that show a class take turns, so
that as few patches as possible are in one cell. Those that share pixels are one group: most photographs are
too small to give every image pixels of its own. Cutting, scaling and turning are exact integer arithmetic.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...core.errors import DataError
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
"""What the factor ``photograph`` counts; the first part is the package that carries the file."""

CYCLE = ("train", "test", "train", "val", "train", "test")
"""Whose cell it is, by (column + 2 row) modulo 6: every 2x3 grid holds all three splits."""


_TRIES = 10  # patches of a cell that are looked at before it is passed over


@dataclass(frozen=True)
class Area:
    """A rectangle of a photograph, and how many cells it is divided into.

    Attributes:
        name: the file's stem.
        box: left, top, right, bottom in pixels.
        grid: columns and rows of cells; at least 2x3 or 3x2.
    """

    name: str
    box: tuple[int, int, int, int]
    grid: tuple[int, int]

    def cells(self, split: str) -> list[tuple[int, int, int, int]]:
        """The boxes of the cells that belong to ``split``."""
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
    """How patches are taken.

    Attributes:
        areas: of each class.
        finish: what becomes of a patch as a canvas.
        sides: the patch's side as a fraction of the cell's shorter side, least and most.
        accepts: whether a patch ``[s, s, 3]`` of bytes shows the class; else another one is tried.
    """

    areas: Mapping[str, Sequence[Area]]
    finish: Callable[[Plane, np.random.Generator], Plane]
    sides: tuple[float, float] = (0.8, 1.0)
    accepts: Callable[[str, NDArray[np.uint8]], bool] = lambda kind, patch: True


def index_of(name: str) -> int:
    """Where the photograph with this stem stands in ``PHOTOGRAPHS``."""
    return next(k for k, path in enumerate(PHOTOGRAPHS) if Path(path).stem == name)


@cache
def photograph(name: str) -> NDArray[np.uint8]:
    """The photograph with this stem: ``[height, width, 3]``.

    Raises: DataError: if the package no longer carries it.
    """
    from PIL import Image

    package, _, inside = PHOTOGRAPHS[index_of(name)].partition("/")
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise DataError(f"The photograph {name!r} comes with {package}, which is not installed.")
    path = Path(spec.origin).parent / inside
    if not path.exists():
        raise DataError(f"This version of {package} does not carry {inside}. Install the version of the docs.")
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def rescaled(patch: NDArray[np.uint8], size: int = SIZE) -> NDArray[np.uint8]:
    """The square ``patch`` as ``size`` pixels across: each the exact mean of its area, halves rounded up."""
    area = len(patch) ** 2
    total = _sums_down(_sums_down(patch.astype(np.int64), size).swapaxes(0, 1), size).swapaxes(0, 1)
    return ((2 * total + area) // (2 * area)).astype(np.uint8)


def _sums_down(rows: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Sums over ``size`` equal stretches of the rows, in units of 1 / ``size`` of a row."""
    whole, part = np.divmod(np.arange(size + 1) * len(rows), size)
    none = np.zeros_like(rows[:1])
    before = np.concatenate([none, rows.cumsum(0)])[whole] * size
    begun = np.concatenate([rows, none])[whole] * part[:, None, None]
    return np.diff(before + begun, axis=0)


Box = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels of a photograph."""


def cut(plan: SetPlan, how: Cut) -> Iterator[Picture]:
    """Cut every image of ``plan``, each with its own generator; the cells of its split and class take turns.

    Raises: DataError: if the cells of a split show nothing of a class.
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
    """Photograph and box of the cells of ``split`` in which patches of the class are found, shuffled."""
    cells = [(area.name, cell) for area in how.areas[kind] for cell in area.cells(split)]
    found = [cell for cell in cells if _found(kind, how, cell, rng, tries=_TRIES) is not None]
    if not found:
        raise DataError(f"No patch of the {split} cells shows {kind!r}: its areas or its rule have changed.")
    return [found[i] for i in rng.permutation(len(found)).tolist()]


def _found(kind: str, how: Cut, cell: tuple[str, Box], rng: np.random.Generator, *, tries: int) -> Box | None:
    """The box of the first of some random patches of a cell that shows the class."""
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
    """The group of each patch: patches that share a pixel are in one group, also by way of others.

    Args:
        factors: ``photograph`` ``[n]`` and ``box`` ``[n, 4]``, as ``cut`` records them.

    Returns: ``[n]`` names such as ``coins/3``.
    """
    which, box = factors["photograph"], factors["box"]
    low, high = box[:, :2], box[:, 2:]
    inside = (low[:, None] < high) & (low < high[:, None])  # [n, n, 2] for each axis
    touches = inside.all(2) & (which[:, None] == which)
    group = np.arange(len(which))
    while True:  # the lowest row that can be reached
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
    """Whether a patch shows more than an even sky or a blurred background."""
    return float(patch[..., 1].std()) > 7


def luminance(canvas: Plane) -> Plane:
    """Brightness of a canvas: ``[64, 64]``."""
    return canvas @ np.array([0.299, 0.587, 0.114])


def toned(canvas: Plane, rng: np.random.Generator, *, tone: Plane, contrast: tuple[float, float]) -> Plane:
    """A print of the canvas in shades of ``tone``, with its own brightness and contrast.

    The mean and spread of the patch are replaced by drawn ones, so that neither tells the class.
    """
    grey = luminance(canvas)
    spread = max(float(grey.std()), 0.01)
    grey = rng.uniform(0.35, 0.65) + (grey - grey.mean()) / spread * rng.uniform(*contrast)
    low, high = tone * rng.uniform(0.0, 0.3), 1 - (1 - tone) * rng.uniform(0.2, 0.7)
    return low + np.clip(grey, 0, 1)[..., None] * (high - low)
