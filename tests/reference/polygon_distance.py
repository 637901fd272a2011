"""Signed distance from a polygon, one point at a time."""

from math import hypot


def polygon_distance(x, y, corners):
    """Negative inside, by the nearest edge and by how often a ray to the right crosses the outline."""
    nearest, crossings = float("inf"), 0
    for k, (ax, ay) in enumerate(corners):
        bx, by = corners[(k + 1) % len(corners)]
        steps = 4000
        for step in range(steps + 1):
            share = step / steps
            nearest = min(nearest, hypot(ax + share * (bx - ax) - x, ay + share * (by - ay) - y))
        if (ay > y) != (by > y) and x < ax + (y - ay) / (by - ay) * (bx - ax):
            crossings += 1
    return -nearest if crossings % 2 else nearest
