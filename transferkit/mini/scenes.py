"""The detection set ``mini/scenes``: up to six drawn objects per image, with exact boxes.

Images have 128×128 pixels. Each object is drawn on a tile of 64×64 pixels as in ``objects``, over earlier objects. Its
box encloses its visible pixels, which it covers by half or more and which no later object covers by half or more. An
object that is less than half visible is marked as difficult; no object is hidden by more than 70 %.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..core.seeding import generator
from .canvas import SIZE as TILE
from .canvas import Plane, any_pose, hsv, mixed, over, quantised, shading
from .objects import BACKGROUNDS, SHAPES, TEXTURES, background, texture
from .rendered import SPLITS

NAME = "scenes"
SIDE = 2 * TILE
CLASSES = ("cross", "fish", "heart", "ring", "star", "triangle")
COUNTS = (400, 100, 100)
"""Number of images in train, val and test."""

VERSION = 1  # version of the images and boxes, which increases with any change of a byte
MAX_OBJECTS = 6

_EMPTY = 0.08  # fraction of images without objects
_MIN_VISIBLE = 0.3
_DIFFICULT = 0.5
_TRIES = 12

Placed = tuple[int, NDArray[np.bool_]]
"""Class, and mask of the pixels covered by half or more ``[128, 128]``."""


@dataclass(frozen=True, eq=False)
class DrawnScene:
    """One image and its visible objects.

    Shapes: ``m`` objects.

    Attributes:
        image: Image, uint8 ``[128, 128, 3]``.
        boxes: Left, top, right and bottom of the visible pixels, float32 ``[m, 4]``.
        labels: Indices into ``CLASSES``, int64 ``[m]``.
        difficult: Whether less than half of the object is visible, bool ``[m]``.
        areas: Number of visible pixels, float32 ``[m]``.
    """

    image: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    difficult: NDArray[np.bool_]
    areas: NDArray[np.float32]


def draw_scene(split: str, number: int) -> DrawnScene:
    """Draw the image ``number`` of ``split``, independently of other images."""
    rng = generator(VERSION, "mini", NAME, split, number)
    canvas = doubled(background(int(rng.integers(len(BACKGROUNDS))), rng))
    wide = np.pad(canvas, [(TILE, TILE), (TILE, TILE), (0, 0)])  # tiles may extend over the edge
    placed: list[Placed] = []
    wanted = 0 if rng.random() < _EMPTY else int(rng.integers(1, MAX_OBJECTS + 1))
    for _ in range(wanted):
        _add(wide, placed, rng)
    canvas = wide[TILE:-TILE, TILE:-TILE]
    lit = canvas * rng.uniform(0.8, 1.1) + rng.normal(0, 0.03 * rng.uniform(0.3, 1.0), canvas.shape)
    return _scene(quantised(lit), placed)


def render() -> Iterator[DrawnScene]:
    """Draw all images, split by split."""
    for split, count in zip(SPLITS, COUNTS, strict=True):
        for number in range(count):
            yield draw_scene(split, number)


def doubled(canvas: Plane) -> Plane:
    """Upsample ``[h, w, 3]`` to ``[2h, 2w, 3]``; each pixel mixes 3/4 of its source pixel and 1/4 of a neighbour."""
    for axis in (0, 1):
        padded = np.pad(canvas, [(1, 1) if axis == one else (0, 0) for one in range(3)], mode="edge")
        before, after = (padded.take(range(s, s + canvas.shape[axis]), axis) for s in (0, 2))
        pair = np.stack([0.75 * canvas + 0.25 * before, 0.75 * canvas + 0.25 * after], axis + 1)
        canvas = pair.reshape([2 * n if axis == one else n for one, n in enumerate(canvas.shape)])
    return canvas


def visible(placed: list[Placed]) -> list[NDArray[np.bool_]]:
    """Compute the visible mask ``[128, 128]`` of each object; later objects are above earlier ones."""
    above = np.zeros((SIDE, SIDE), bool)
    seen = []
    for _, cover in reversed(placed):
        seen.append(cover & ~above)
        above |= cover
    return seen[::-1]


def extent(cover: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Compute left, top, right and bottom of a mask with at least one true pixel."""
    rows, columns = np.flatnonzero(cover.any(1)), np.flatnonzero(cover.any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _add(wide: Plane, placed: list[Placed], rng: np.random.Generator) -> None:
    """Draw one more object where it does not hide another one; skip it if no position is found.

    Args:
        wide: Canvas with a margin of one tile.
        placed: Earlier objects, to which this one is appended.
        rng: Random generator.
    """
    label = int(rng.integers(len(CLASSES)))
    paint, alpha = _object(CLASSES[label], rng)
    left, top, right, bottom = extent(alpha >= 0.5)
    for _ in range(_TRIES):
        x = int(rng.integers(0, SIDE - (right - left) + 1)) - left + TILE
        y = int(rng.integers(0, SIDE - (bottom - top) + 1)) - top + TILE
        place = slice(y, y + TILE), slice(x, x + TILE)
        cover = np.zeros(wide.shape[:2], bool)
        cover[place] = alpha >= 0.5
        later = [*placed, (label, cover[TILE:-TILE, TILE:-TILE])]
        shares = [seen.sum() / whole.sum() for seen, (_, whole) in zip(visible(later), later, strict=True)]
        if min(shares) >= _MIN_VISIBLE:
            over(wide[place], paint, alpha)
            placed.append(later[-1])
            return


def _object(kind: str, rng: np.random.Generator) -> tuple[Plane, Plane]:
    """Draw an object on a tile: its paint ``[64, 64, 3]`` and its coverage of each pixel ``[64, 64]``."""
    pose = any_pose(rng, size=(0.3, 0.9), stray=0.85)
    u, v = pose.local()
    distance = SHAPES[kind](u, v)
    hue = rng.random()
    colours = (
        hsv(hue, rng.uniform(0.4, 0.95), rng.uniform(0.45, 1.0)),
        hsv(hue + rng.uniform(0.2, 0.8), rng.uniform(0.2, 0.9), rng.uniform(0.2, 1.0)),
    )
    emboss = shading(np.clip(-distance, 0, 0.3) * pose.size / 2, rng.uniform(0, math.tau), rng.uniform(0.3, 1))
    paint = mixed(*colours, texture(int(rng.integers(len(TEXTURES))), u, v, rng)) * emboss[..., None]
    return paint, pose.cover(distance)


def _scene(image: NDArray[np.uint8], placed: list[Placed]) -> DrawnScene:
    seen = visible(placed)
    areas = np.array([cover.sum() for cover in seen], np.float32)
    whole = np.array([cover.sum() for _, cover in placed], np.float32)
    return DrawnScene(
        image,
        np.array([extent(cover) for cover in seen], np.float32).reshape(-1, 4),
        np.array([label for label, _ in placed], np.int64),
        areas < _DIFFICULT * whole,
        areas,
    )
