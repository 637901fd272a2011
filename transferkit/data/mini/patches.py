"""Patches of the photographs that scikit-image and scikit-learn carry, with every split in its own cells.

An area of a photograph is divided into a grid of cells, each cell belongs to one split, and a patch lies
inside one cell: patches of different splits never share a pixel. Cutting, scaling and turning are exact
integer arithmetic.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...core.errors import DataError
from .canvas import SIZE, Factors, Plane, quantised
from .rendered import Picture, Plan

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
    sides: tuple[float, float] = (0.6, 1.0)
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
        raise DataError(
            f"This version of {package} does not carry {inside}. Install the version of the docs."
        )
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


def cut(plan: Plan, how: Cut) -> Iterator[Picture]:
    """Cut every image of ``plan``, each with its own generator.

    Raises: DataError: if the cells of a split show nothing of a class.
    """
    for split, kind, number in plan.rows():
        yield _one(kind, how, split, plan.rng(split, kind, number))


def _one(kind: str, how: Cut, split: str, rng: np.random.Generator) -> Picture:
    cells = [(area.name, cell) for area in how.areas[kind] for cell in area.cells(split)]
    for _ in range(1000):
        name, (left, top, right, bottom) = cells[rng.integers(len(cells))]
        side = int(min(right - left, bottom - top) * rng.uniform(*how.sides)) // 4 * 4
        x, y = int(rng.integers(left, right - side + 1)), int(rng.integers(top, bottom - side + 1))
        patch = photograph(name)[y : y + side, x : x + side]
        if how.accepts(kind, patch):
            break
    else:
        raise DataError(f"No patch of the {split} cells shows {kind!r}: its areas or its rule have changed.")
    turn = int(rng.integers(8))
    square = np.rot90(rescaled(patch), turn % 4)
    square = square[:, ::-1] if turn >= 4 else square
    factors: Factors = {"photograph": index_of(name), "box": (x, y, x + side, y + side), "turn": turn}
    return quantised(how.finish(square / 255.0, rng)), factors


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
