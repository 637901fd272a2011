"""Drawing with signed distances: a shape is the distance of each pixel from its edge, so that edges are antialiased.

Canvases are float64 ``[64, 64, 3]`` in 0 … 1, planes are ``[64, 64]``. Lengths are fractions of the width, with the
origin at the top left and ``y`` pointing down; angles are in radians. All computations use float64 NumPy, so that the
rounded bytes are the same on every machine.
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
"""Function that draws one image of a class; it returns the canvas and the factors."""


@dataclass(frozen=True)
class Pose:
    """Pose of an object: its centre, its diameter as a fraction of the width, and its rotation."""

    x: float
    y: float
    size: float
    rotation: float = 0.0

    def local(self) -> tuple[Plane, Plane]:
        """Compute coordinates ``u, v`` around the centre, in which the radius is 1."""
        c, s = math.cos(self.rotation), math.sin(self.rotation)
        dx, dy = (X - self.x) * (2 / self.size), (Y - self.y) * (2 / self.size)
        return c * dx + s * dy, c * dy - s * dx

    def cover(self, distance: Plane) -> Plane:
        """Compute the coverage of each pixel from a distance in local units."""
        return coverage(distance * (self.size / 2))

    def factors(self) -> Factors:
        """Return the pose as factors."""
        return {
            "position_x": self.x,
            "position_y": self.y,
            "size": self.size,
            "rotation": self.rotation % math.tau,
        }


def any_pose(rng: np.random.Generator, *, size: tuple[float, float], turn: float = math.pi, stray: float = 0.5) -> Pose:
    """Draw a pose inside the image; ``stray`` is the used fraction of the margin, ``turn`` the maximum rotation."""
    diameter = rng.uniform(*size)
    room = max(0.0, 1 - diameter) / 2 * stray * 2
    x, y = 0.5 + rng.uniform(-0.5, 0.5, 2) * room
    return Pose(float(x), float(y), float(diameter), float(rng.uniform(-turn, turn)))


def coverage(distance: Plane, *, softness: float = 1.0) -> Plane:
    """Compute the fraction of each pixel with negative ``distance``; edges are ``softness`` pixels wide."""
    return np.clip(0.5 - distance * (SIZE / softness), 0.0, 1.0)


def blank(colour: Plane) -> Plane:
    """Make a canvas of one colour ``[3]``."""
    return np.broadcast_to(colour, (SIZE, SIZE, 3)).copy()


def over(canvas: Plane, paint: Plane, alpha: Plane) -> None:
    """Blend ``paint`` (``[3]`` or a canvas) over ``canvas`` in place, by the plane ``alpha``."""
    canvas += alpha[..., None] * (paint - canvas)


def mixed(low: Plane, high: Plane, plane: Plane) -> Plane:
    """Interpolate a canvas from the colour ``low``, where ``plane`` is 0, to ``high``, where it is 1."""
    return low + plane[..., None] * (high - low)


def hsv(hue: float, saturation: float, value: float) -> Plane:
    """Convert a hue in turns, and a saturation and value in 0 … 1, to an RGB colour ``[3]``."""
    return np.array(colorsys.hsv_to_rgb(hue % 1.0, saturation, value))


def any_colour(
    rng: np.random.Generator,
    *,
    saturation: tuple[float, float] = (0.2, 0.8),
    value: tuple[float, float] = (0.3, 0.95),
) -> Plane:
    """Draw a colour ``[3]`` of any hue."""
    return hsv(rng.random(), rng.uniform(*saturation), rng.uniform(*value))


def ink_and_paper(rng: np.random.Generator, *, contrast: float = 0.35) -> tuple[Plane, Plane, int]:
    """Draw two colours whose brightness differs by at least ``contrast``, and 1 if the ink is lighter."""
    gap = rng.uniform(contrast, 0.8)
    dark = rng.uniform(0.05, 0.95 - gap)
    lighter = int(rng.random() < 0.5)
    values = (dark + gap, dark) if lighter else (dark, dark + gap)
    ink, paper = (hsv(rng.random(), rng.uniform(0, 0.6), value) for value in values)
    return ink, paper, lighter


@cache
def _weights(cells: int) -> Plane:
    """Compute the smooth interpolation weights of the lattice points for each pixel: ``[64, cells + 1]``."""
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
    """Draw random values in 0 … 1 on a lattice of ``cells`` per side, and interpolate them smoothly."""
    weights = _weights(cells)
    return weights @ rng.random((cells + 1, cells + 1)) @ weights.T


def fractal_noise(rng: np.random.Generator, cells: int, *, octaves: int = 3) -> Plane:
    """Sum noise of several scales in 0 … 1, each with half the width and strength of the previous one."""
    total = sum(smooth_noise(rng, cells << k) * 0.5**k for k in range(octaves))
    return np.asarray(total / (2 - 0.5 ** (octaves - 1)))


def lookup(table: Plane, column: Plane, row: Plane) -> Plane:
    """Look up the table entry of the lattice cell of each pixel; the table repeats."""
    height, width = table.shape[:2]
    return table[np.floor(row).astype(int) % height, np.floor(column).astype(int) % width]


def cell_distances(u: Plane, v: Plane, rng: np.random.Generator) -> tuple[Plane, Plane]:
    """Compute the distances from the nearest and second nearest of random points, one per lattice cell."""
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
    """Compute the brightness in 0 … 2 of a surface lit from ``direction``; flat areas have 1.

    Args:
        height: Height in widths.
        direction: Direction of the light.
        steepness: Strength of the effect of slopes.
    """
    slope_y, slope_x = np.gradient(height * SIZE)
    rise = slope_x * math.cos(direction) + slope_y * math.sin(direction)
    return np.clip(np.asarray(1 - steepness * rise), 0.0, 2.0)


def photographed(canvas: Plane, rng: np.random.Generator, *, grain: float = 0.03) -> tuple[Plane, dict[str, float]]:
    """Add uneven light and sensor noise to a canvas; also return the direction and strength of the light."""
    direction, strength = rng.uniform(0, math.tau), rng.uniform(0.0, 0.5)
    ramp = (X - 0.5) * math.cos(direction) + (Y - 0.5) * math.sin(direction)
    noise = rng.normal(0, grain * rng.uniform(0.3, 1.0), canvas.shape)
    lit = canvas * (1 + strength * ramp)[..., None] * rng.uniform(0.8, 1.1) + noise
    return lit, {"light_direction": direction, "light_strength": strength}


def quantised(canvas: Plane) -> NDArray[np.uint8]:
    """Convert a canvas to bytes."""
    return np.floor(np.clip(canvas, 0.0, 1.0) * 255 + 0.5).astype(np.uint8)
