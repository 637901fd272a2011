"""Drawing with distances: a shape is how far each pixel is from its edge, so edges are smooth at any angle.

Canvases are float64 ``[64, 64, 3]`` in 0 … 1, planes ``[64, 64]``. Lengths are fractions of the width, with
the origin at the top left and ``y`` pointing down; angles are radians. Everything is plain float64 numpy, so
that the rounded bytes are the same on every machine.
"""

import colorsys
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

SIZE = 64
Y, X = (np.mgrid[0:SIZE, 0:SIZE] + 0.5) / SIZE
X.flags.writeable = Y.flags.writeable = False

Plane = NDArray[np.floating]
Factors = Mapping[str, float | int | tuple[int, ...]]
Draw = Callable[[str, np.random.Generator], tuple[Plane, Factors]]
"""Draws one image of a class: the canvas, and what was chosen for it."""


@dataclass(frozen=True)
class Pose:
    """Where something lies: its centre, its diameter as a fraction of the width, and its turn."""

    x: float
    y: float
    size: float
    rotation: float = 0.0

    def local(self) -> tuple[Plane, Plane]:
        """Coordinates ``u, v`` around the centre, in which the radius is 1."""
        c, s = math.cos(self.rotation), math.sin(self.rotation)
        dx, dy = (X - self.x) * (2 / self.size), (Y - self.y) * (2 / self.size)
        return c * dx + s * dy, c * dy - s * dx

    def cover(self, distance: Plane) -> Plane:
        """How much of each pixel lies inside, for a distance in local units."""
        return coverage(distance * (self.size / 2))

    def factors(self) -> Factors:
        """The pose as recorded factors."""
        return {
            "position_x": self.x,
            "position_y": self.y,
            "size": self.size,
            "rotation": self.rotation % math.tau,
        }


def any_pose(rng: np.random.Generator, *, size: tuple[float, float], turn: float = math.pi, stray: float = 0.5) -> Pose:
    """A pose inside the image: ``stray`` of the free room is used, ``turn`` is the largest rotation."""
    diameter = rng.uniform(*size)
    room = max(0.0, 1 - diameter) / 2 * stray * 2
    x, y = 0.5 + rng.uniform(-0.5, 0.5, 2) * room
    return Pose(float(x), float(y), float(diameter), float(rng.uniform(-turn, turn)))


def coverage(distance: Plane, *, softness: float = 1.0) -> Plane:
    """How much of each pixel lies where ``distance`` is negative; edges ``softness`` pixels wide."""
    return np.clip(0.5 - distance * (SIZE / softness), 0.0, 1.0)


def blank(colour: Plane) -> Plane:
    """A canvas of one colour ``[3]``."""
    return np.broadcast_to(colour, (SIZE, SIZE, 3)).copy()


def over(canvas: Plane, paint: Plane, alpha: Plane) -> None:
    """Lay ``paint`` (``[3]`` or a canvas) over ``canvas`` where the plane ``alpha`` says, in place."""
    canvas += alpha[..., None] * (paint - canvas)


def mixed(low: Plane, high: Plane, plane: Plane) -> Plane:
    """A canvas that runs from the colour ``low`` where ``plane`` is 0 to ``high`` where it is 1."""
    return low + plane[..., None] * (high - low)


def hsv(hue: float, saturation: float, value: float) -> Plane:
    """The RGB colour ``[3]`` of a hue in turns, a saturation and a value in 0 … 1."""
    return np.array(colorsys.hsv_to_rgb(hue % 1.0, saturation, value))


def any_colour(
    rng: np.random.Generator,
    *,
    saturation: tuple[float, float] = (0.2, 0.8),
    value: tuple[float, float] = (0.3, 0.95),
) -> Plane:
    """A colour ``[3]`` of any hue."""
    return hsv(rng.random(), rng.uniform(*saturation), rng.uniform(*value))


def ink_and_paper(rng: np.random.Generator, *, contrast: float = 0.35) -> tuple[Plane, Plane, int]:
    """Two colours whose brightness differs by at least ``contrast``, and 1 if the ink is the lighter."""
    gap = rng.uniform(contrast, 0.8)
    dark = rng.uniform(0.05, 0.95 - gap)
    lighter = int(rng.random() < 0.5)
    values = (dark + gap, dark) if lighter else (dark, dark + gap)
    ink, paper = (hsv(rng.random(), rng.uniform(0, 0.6), value) for value in values)
    return ink, paper, lighter


@cache
def _weights(cells: int) -> Plane:
    """``[64, cells + 1]``: each pixel's smooth mixture of the lattice points around it."""
    place = (np.arange(SIZE) + 0.5) / SIZE * cells
    left = np.floor(place).astype(int)
    t = place - left
    t = t * t * (3 - 2 * t)
    weights = np.zeros((SIZE, cells + 1))
    rows = np.arange(SIZE)
    weights[rows, left] = 1 - t
    weights[rows, left + 1] = t
    return weights


def smooth_noise(rng: np.random.Generator, cells: int) -> Plane:
    """Random values in 0 … 1 on a lattice of ``cells`` across, smoothly joined."""
    weights = _weights(cells)
    return weights @ rng.random((cells + 1, cells + 1)) @ weights.T


def fractal_noise(rng: np.random.Generator, cells: int, *, octaves: int = 3) -> Plane:
    """Noise of several scales, each half as wide and half as strong as the one before; 0 … 1."""
    total = sum(smooth_noise(rng, cells << k) * 0.5**k for k in range(octaves))
    return np.asarray(total / (2 - 0.5 ** (octaves - 1)))


def lookup(table: Plane, column: Plane, row: Plane) -> Plane:
    """A table's entry for the lattice cell of each pixel; the table repeats."""
    height, width = table.shape[:2]
    return table[np.floor(row).astype(int) % height, np.floor(column).astype(int) % width]


def cell_distances(u: Plane, v: Plane, rng: np.random.Generator) -> tuple[Plane, Plane]:
    """Distances from the nearest and second nearest of points scattered one a lattice cell."""
    table, first, second = rng.random((9, 9, 2)), np.full(u.shape, 9.0), np.full(u.shape, 9.0)
    for du in (-1, 0, 1):
        for dv in (-1, 0, 1):
            cu, cv = np.floor(u) + du, np.floor(v) + dv
            at = table[cv.astype(int) % 9, cu.astype(int) % 9]
            distance = np.hypot(u - cu - at[..., 0], v - cv - at[..., 1])
            second = np.minimum(second, np.maximum(first, distance))
            first = np.minimum(first, distance)
    return first, second


def shading(height: Plane, direction: float, steepness: float) -> Plane:
    """Brightness of a surface lit from ``direction``: 1 where it is flat, 0 … 2.

    Args:
        height: in widths.
        direction: where the light comes from.
        steepness: how strongly slopes tell.
    """
    slope_y, slope_x = np.gradient(height * SIZE)
    rise = slope_x * math.cos(direction) + slope_y * math.sin(direction)
    return np.clip(np.asarray(1 - steepness * rise), 0.0, 2.0)


def photographed(canvas: Plane, rng: np.random.Generator, *, grain: float = 0.03) -> tuple[Plane, dict[str, float]]:
    """The canvas under uneven light and with sensor noise, and the light's direction and strength."""
    direction, strength = rng.uniform(0, math.tau), rng.uniform(0.0, 0.5)
    ramp = (X - 0.5) * math.cos(direction) + (Y - 0.5) * math.sin(direction)
    noise = rng.normal(0, grain * rng.uniform(0.3, 1.0), canvas.shape)
    lit = canvas * (1 + strength * ramp)[..., None] * rng.uniform(0.8, 1.1) + noise
    return lit, {"light_direction": direction, "light_strength": strength}


def quantised(canvas: Plane) -> NDArray[np.uint8]:
    """The canvas as bytes."""
    return np.floor(np.clip(canvas, 0.0, 1.0) * 255 + 0.5).astype(np.uint8)
