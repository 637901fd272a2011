"""The detection set ``mini/scenes``: up to six drawn objects a picture, with exact boxes.

Pictures of 128×128 pixels. Each object is drawn on a tile of 64×64 as in ``objects`` and laid over those
before it. Its box is that of what stays visible: of the pixels that it covers by half or more and that no
later object covers so. An object less than half of which is visible is marked as difficult; none is hidden
by more than 70 %.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...core.seeding import generator
from .canvas import SIZE as TILE
from .canvas import Plane, any_pose, hsv, mixed, over, quantised, shading
from .objects import BACKGROUNDS, SHAPES, TEXTURES, background, texture
from .rendered import SPLITS

NAME = "scenes"
SIDE = 2 * TILE
CLASSES = ("cross", "fish", "heart", "ring", "star", "triangle")
COUNTS = (400, 100, 100)
"""Pictures in train, val and test."""

VERSION = 1  # of every picture and box: a change of any byte needs a new one
MOST_OBJECTS = 6

_EMPTY = 0.08  # share of pictures without objects
_LEAST_VISIBLE = 0.3
_DIFFICULT = 0.5
_TRIES = 12

Placed = tuple[int, NDArray[np.bool_]]
"""Class and the pixels covered by half or more, ``[128, 128]``."""


@dataclass(frozen=True, eq=False)
class DrawnScene:
    """One picture and what is visible in it.

    Shapes: ``m`` objects.

    Attributes:
        image: uint8 ``[128, 128, 3]``.
        boxes: float32 ``[m, 4]`` left, top, right, bottom of what is visible, in pixels.
        labels: int64 ``[m]`` into ``CLASSES``.
        difficult: bool ``[m]`` less than half is visible.
        areas: float32 ``[m]`` visible pixels.
    """

    image: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    difficult: NDArray[np.bool_]
    areas: NDArray[np.float32]


def draw_scene(split: str, number: int) -> DrawnScene:
    """The picture ``number`` of ``split``, whatever was drawn before."""
    rng = generator(VERSION, "mini", NAME, split, number)
    canvas = doubled(background(int(rng.integers(len(BACKGROUNDS))), rng))
    wide = np.pad(canvas, [(TILE, TILE), (TILE, TILE), (0, 0)])  # tiles may hang over the edge
    placed: list[Placed] = []
    wanted = 0 if rng.random() < _EMPTY else int(rng.integers(1, MOST_OBJECTS + 1))
    for _ in range(wanted):
        _add(wide, placed, rng)
    canvas = wide[TILE:-TILE, TILE:-TILE]
    lit = canvas * rng.uniform(0.8, 1.1) + rng.normal(0, 0.03 * rng.uniform(0.3, 1.0), canvas.shape)
    return _scene(quantised(lit), placed)


def render() -> Iterator[DrawnScene]:
    """All pictures, split by split."""
    for split, count in zip(SPLITS, COUNTS, strict=True):
        for number in range(count):
            yield draw_scene(split, number)


def doubled(canvas: Plane) -> Plane:
    """``[h, w, 3]`` to ``[2h, 2w, 3]``, each pixel three quarters its own and one quarter its neighbour's."""
    for axis in (0, 1):
        padded = np.pad(canvas, [(1, 1) if axis == one else (0, 0) for one in range(3)], mode="edge")
        before, after = (padded.take(range(s, s + canvas.shape[axis]), axis) for s in (0, 2))
        pair = np.stack([0.75 * canvas + 0.25 * before, 0.75 * canvas + 0.25 * after], axis + 1)
        canvas = pair.reshape([2 * n if axis == one else n for one, n in enumerate(canvas.shape)])
    return canvas


def visible(placed: list[Placed]) -> list[NDArray[np.bool_]]:
    """What stays visible of each, ``[128, 128]``: later ones lie above."""
    above = np.zeros((SIDE, SIDE), bool)
    seen = []
    for _, cover in reversed(placed):
        seen.append(cover & ~above)
        above |= cover
    return seen[::-1]


def extent(cover: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the true pixels, of which there is at least one."""
    rows, columns = np.flatnonzero(cover.any(1)), np.flatnonzero(cover.any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _add(wide: Plane, placed: list[Placed], rng: np.random.Generator) -> None:
    """Lay one more object over the canvas, where it does not hide another; none if there is no room.

    Args:
        wide: the canvas with a tile's width around it.
        placed: those before it.
        rng: draws it.
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
        if min(shares) >= _LEAST_VISIBLE:
            over(wide[place], paint, alpha)
            placed.append(later[-1])
            return


def _object(kind: str, rng: np.random.Generator) -> tuple[Plane, Plane]:
    """An object on a tile: its paint ``[64, 64, 3]``, and how much of each pixel it covers."""
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
