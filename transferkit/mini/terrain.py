"""``mini/terrain``: drawn relief from above; classes differ in form, but not in colour or light."""

import math
from collections.abc import Callable, Iterator

import numpy as np

from . import distances as d
from .canvas import (
    Factors,
    Plane,
    Pose,
    any_colour,
    cell_distances,
    coverage,
    fractal_noise,
    hsv,
    mixed,
    over,
    photographed,
    shading,
    smooth_noise,
)
from .rendered import Picture, SetPlan, drawn

Relief = Callable[[Plane, Plane, np.random.Generator], Plane]
"""Function of the height, between 0 and about 1, of randomly rotated coordinates in widths."""


def _ridged(rng: np.random.Generator, cells: int, octaves: int = 4) -> Plane:
    layers = [(1 - np.abs(2 * smooth_noise(rng, cells << k) - 1)) ** 2 * 0.5**k for k in range(octaves)]
    return np.sum(layers, axis=0) / 2


def _craters(u: Plane, v: Plane, rng: np.random.Generator) -> Plane:
    height = 0.5 + 0.25 * fractal_noise(rng, 5)
    for _ in range(rng.integers(7, 16)):
        radius = 0.035 + 0.14 * rng.random() ** 2
        r = d.disc(u, v, 0.0, *rng.uniform(-0.5, 0.5, 2)) / radius
        bowl = np.where(r < 1, r * r - 0.75, 0.25 * np.exp(-3.5 * (r - 1)))
        height = np.where(r < 1, 0.5 + 2.2 * radius * bowl, height + 2.2 * radius * bowl)
    return height


def _dunes(u: Plane, v: Plane, rng: np.random.Generator) -> Plane:
    phase = (u + 0.16 * fractal_noise(rng, 3, octaves=2)) * rng.uniform(6, 10) + 0.8 * smooth_noise(rng, 4)
    saw = phase % 1
    return np.where(saw < 0.75, saw / 0.75, (1 - saw) / 0.25) * (0.2 + 0.25 * smooth_noise(rng, 4))


def _mountains(u: Plane, v: Plane, rng: np.random.Generator) -> Plane:
    return 1.1 * _ridged(rng, 3) * (0.4 + 0.6 * smooth_noise(rng, 2))


def _volcano(u: Plane, v: Plane, rng: np.random.Generator) -> Plane:
    x, y = rng.uniform(-0.15, 0.15, 2)
    r, angle = np.hypot(u - x, v - y), np.arctan2(v - y, u - x)
    gullies = 0.04 * np.cos(rng.integers(9, 15) * angle + 5 * smooth_noise(rng, 4)) * np.clip(4 * r, 0, 1)
    cone = np.clip(0.95 - 1.9 * r, 0.1, 1) + gullies
    rim = rng.uniform(0.07, 0.13)
    return np.where(r < rim, cone - 3.5 * (rim - r), cone) + 0.12 * fractal_noise(rng, 8)


def _terraces(u: Plane, v: Plane, rng: np.random.Generator) -> Plane:
    rise = rng.uniform(5, 9) * (0.5 * u + fractal_noise(rng, 2, octaves=3))
    step = np.floor(rise) + np.clip((rise % 1) * 4, 0, 1)
    return step * 0.11 + 0.03 * fractal_noise(rng, 12)


def _islands(u: Plane, v: Plane, rng: np.random.Generator) -> Plane:
    return np.maximum(1.6 * fractal_noise(rng, 4, octaves=4) - rng.uniform(0.75, 0.9), 0.0) * 1.4


def _polygons(u: Plane, v: Plane, rng: np.random.Generator) -> Plane:
    scale = rng.uniform(5, 8)
    first, second = cell_distances(u * scale, v * scale, rng)
    return 0.16 * np.clip(3 * (second - first), 0, 1) + 0.15 * fractal_noise(rng, 6)


def _fan(u: Plane, v: Plane, rng: np.random.Generator) -> Plane:
    p = u + rng.uniform(0.5, 0.65)
    r, angle = np.hypot(p, v), np.arctan2(v, p) + 0.35 * (smooth_noise(rng, 5) - 0.5)
    split = sum(np.abs(np.sin(k * angle + rng.uniform(0, 6))) * w for k, w in ((5, 0.4), (11, 0.4), (23, 0.3)))
    return 0.35 * np.sqrt(np.asarray(split)) * np.clip(1.4 * r, 0.15, 1) - 0.2 * r + 0.08 * fractal_noise(rng, 8)


FORMS: dict[str, Relief] = {
    "craters": _craters,
    "dunes": _dunes,
    "fan": _fan,
    "islands": _islands,
    "mountains": _mountains,
    "polygons": _polygons,
    "terraces": _terraces,
    "volcano": _volcano,
}

TERRAIN = SetPlan("terrain", tuple(FORMS), (32, 10, 22))


def draw_terrain(kind: str, rng: np.random.Generator) -> tuple[Plane, Factors]:
    """Draw a relief of the form ``kind`` under a low sun."""
    bearing, sun, low = rng.uniform(0, math.tau), rng.uniform(0, math.tau), rng.uniform(0.35, 0.8)
    altitude, haze = rng.uniform(0.6, 1.5), rng.uniform(0.2, 0.65)
    u, v = Pose(rng.uniform(0.3, 0.7), rng.uniform(0.3, 0.7), 2 / altitude, bearing).local()
    height = FORMS[kind](u, v, rng)
    height = height + rng.uniform(0.1, 0.4) * fractal_noise(rng, 7) * np.clip(8 * height, 0, 1)
    base = hsv(rng.uniform(0.0, 0.65), rng.uniform(0.0, 0.5), rng.uniform(0.35, 0.7))
    crest = base * rng.uniform(0.8, 1.5) + rng.uniform(-0.05, 0.1, 3)
    canvas = mixed(base, crest, np.clip(height, 0, 1)) * (0.85 + 0.3 * fractal_noise(rng, 9))[..., None]
    if kind == "islands":
        sea = any_colour(rng, saturation=(0.1, 0.6), value=(0.2, 0.8))
        over(canvas, sea, coverage(height * 0.3 - 0.005))
    canvas = canvas * shading(height * 0.35, sun, 1.6 * low)[..., None]
    canvas = canvas + haze * (any_colour(rng, saturation=(0, 0.4), value=(0.3, 0.9)) - canvas)
    clouds = np.clip(2.5 * fractal_noise(rng, 3) - rng.uniform(1.1, 1.9), 0, 0.9)
    over(canvas, np.ones(3), clouds)
    canvas, _ = photographed(canvas, rng, grain=0.1)
    light = {"light_direction": sun, "light_strength": low}
    return canvas, {"bearing": bearing, "altitude": altitude, "haze": haze, **light}


def render_terrain() -> Iterator[Picture]:
    """Draw ``mini/terrain``."""
    return drawn(TERRAIN, draw_terrain)
