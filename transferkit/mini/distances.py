"""Signed distances from simple shapes, negative inside, in the units of the coordinates.

Planes ``u, v`` are coordinates. The distance of a union is the minimum, that of an intersection the maximum, and
negation gives the complement. The formulas are those of Inigo Quilez (2D distance functions).
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from .canvas import Plane

Points = Sequence[tuple[float, float]]


def disc(u: Plane, v: Plane, radius: float = 1.0, x: float = 0.0, y: float = 0.0) -> Plane:
    """Compute the distance from a disc."""
    return np.hypot(u - x, v - y) - radius


def ellipse(u: Plane, v: Plane, radii: tuple[float, float], x: float = 0.0, y: float = 0.0) -> Plane:
    """Compute the distance from an ellipse, to first order near its edge."""
    p, q = (u - x) / radii[0], (v - y) / radii[1]
    level = np.hypot(p, q)
    slope = np.hypot(p / radii[0], q / radii[1])
    return level * (level - 1) / np.maximum(slope, 1e-9)


def box(u: Plane, v: Plane, half: tuple[float, float], x: float = 0.0, y: float = 0.0) -> Plane:
    """Compute the distance from an axis-aligned rectangle in the maximum norm."""
    return np.maximum(np.abs(u - x) - half[0], np.abs(v - y) - half[1])


def segment(u: Plane, v: Plane, a: tuple[float, float], b: tuple[float, float]) -> Plane:
    """Compute the distance from the segment between ``a`` and ``b``; it is never negative."""
    ex, ey = b[0] - a[0], b[1] - a[1]
    length = max(ex * ex + ey * ey, 1e-12)
    px, py = u - a[0], v - a[1]
    t = np.clip((px * ex + py * ey) / length, 0.0, 1.0)
    return np.hypot(px - t * ex, py - t * ey)


def polyline(u: Plane, v: Plane, points: Points) -> Plane:
    """Compute the distance from a polyline; it is never negative."""
    nearest = segment(u, v, points[0], points[1])
    for a, b in pairwise(points[1:]):
        np.minimum(nearest, segment(u, v, a, b), out=nearest)
    return nearest


def polygon(u: Plane, v: Plane, points: Points) -> Plane:
    """Compute the distance from the area inside a closed polyline."""
    inside = np.zeros(u.shape, dtype=bool)
    for (ax, ay), (bx, by) in zip(points, [*points[1:], points[0]], strict=True):
        if ay != by:
            crosses = (v >= ay) != (v >= by)
            inside ^= crosses & (u < ax + (v - ay) * ((bx - ax) / (by - ay)))
    edge = polyline(u, v, [*points, points[0]])
    return np.where(inside, -edge, edge)


def polar(u: Plane, v: Plane, radius: Plane) -> Plane:
    """Compute the distance from the area inside a curve ``radius(angle)``, by its local slope."""
    return level_set(np.hypot(u, v) - radius, u, v)


def level_set(level: Plane, u: Plane, v: Plane) -> Plane:
    """Compute the distance from the area with negative ``level``, to first order near its edge.

    Args:
        level: Smooth function of the coordinates.
        u: First coordinates, whose spacing defines the unit.
        v: Second coordinates.
    """
    step = math.hypot(u[0, 1] - u[0, 0], v[0, 1] - v[0, 0])
    down, across = np.gradient(level, step)
    return level / np.maximum(np.hypot(down, across), 0.25)


def arc(radius: float, start: float, stop: float, x: float = 0.0, y: float = 0.0) -> list[tuple[float, float]]:
    """Return points on a circle between two angles, at most 0.4 radians apart."""
    angles = np.linspace(start, stop, max(3, math.ceil(abs(stop - start) / 0.4) + 1))
    return [(x + radius * math.cos(a), y + radius * math.sin(a)) for a in angles.tolist()]


def regular(corners: int, radius: float = 1.0, *, inner: float | None = None) -> list[tuple[float, float]]:
    """Return the corners of a regular polygon with the first corner at the top; with ``inner``, of a star."""
    radii = [radius] if inner is None else [radius, inner]
    count = corners * len(radii)
    turns = [math.tau * k / count - math.pi / 2 for k in range(count)]
    return [(radii[k % len(radii)] * math.cos(a), radii[k % len(radii)] * math.sin(a)) for k, a in enumerate(turns)]
