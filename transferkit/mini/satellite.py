"""``mini/landuse``: drawn aerial images of land use."""

import math
from collections.abc import Callable, Iterator

import numpy as np

from . import distances as d
from .canvas import (
    SIZE,
    Factors,
    Plane,
    Pose,
    X,
    Y,
    any_colour,
    blank,
    coverage,
    fractal_noise,
    hsv,
    lookup,
    mixed,
    over,
    photographed,
    smooth_noise,
)
from .rendered import Picture, SetPlan, drawn

View = tuple[Plane, Plane]
"""Coordinates ``u, v`` in widths around the image centre, with a random rotation."""


def _soil(rng: np.random.Generator) -> Plane:
    """Draw open ground in ochre, green or grey as a canvas."""
    low = hsv(rng.uniform(0.05, 0.4), rng.uniform(0.08, 0.5), rng.uniform(0.3, 0.7))
    return mixed(low, low * rng.uniform(0.55, 0.85), np.clip(1.8 * fractal_noise(rng, 5) - 0.4, 0, 1))


def _water(rng: np.random.Generator) -> Plane:
    base = hsv(rng.uniform(0.38, 0.66), rng.uniform(0.2, 0.65), rng.uniform(0.2, 0.6))
    return mixed(base, base * 1.25, fractal_noise(rng, 10))


def _crowns(canvas: Plane, at: Plane, rng: np.random.Generator, radius: float) -> None:
    """Draw trees with their shadows at the positions ``at`` ``[k, 2]``."""
    green = hsv(rng.uniform(0.2, 0.42), rng.uniform(0.25, 0.6), rng.uniform(0.25, 0.5))
    reach = math.ceil(2 * radius * SIZE) + 2
    for (x, y), size, tint in zip(at, rng.uniform(0.7, 1.2, len(at)), rng.uniform(0.75, 1.3, len(at)), strict=True):
        i, j = int(y * SIZE), int(x * SIZE)
        window = np.s_[max(0, i - reach) : max(0, i + reach), max(0, j - reach) : max(0, j + reach)]
        u, v = X[window], Y[window]
        if u.size:
            over(canvas[window], np.zeros(3), 0.5 * coverage(d.disc(u, v, radius * size, x + 0.01, y + 0.012)))
            over(canvas[window], green * tint, coverage(d.disc(u, v, radius * size, x, y)))


def _houses(canvas: Plane, view: View, rng: np.random.Generator, *, pitch: float, half: tuple[float, float]) -> None:
    """Draw roofs with a ridge, one per lattice cell; some cells are empty."""
    u, v = view
    column, row = u / pitch, v / pitch
    shift = rng.uniform(-0.12, 0.12, (2, 9, 9))
    x, y = (column % 1) - 0.5 + lookup(shift[0], column, row), (row % 1) - 0.5 + lookup(shift[1], column, row)
    built = lookup((rng.random((9, 9)) < 0.85) * 1.0, column, row)
    roof = d.box(x, y, half) * pitch
    shade = d.box(x - 0.08, y - 0.1, half) * pitch
    tone = lookup(rng.uniform(0.6, 1.2, (9, 9)), column, row) * np.where(y < 0, 1.0, 0.72)
    colour = any_colour(rng, saturation=(0.0, 0.6), value=(0.45, 0.8))
    over(canvas, np.zeros(3), 0.45 * coverage(shade) * built)
    over(canvas, colour * tone[..., None], coverage(roof) * built)


def _fields(view: View, rng: np.random.Generator) -> Plane:
    u, v = view
    row = v / rng.uniform(0.22, 0.4)
    column = u / rng.uniform(0.28, 0.55) + lookup(rng.random((9, 1)), u, row)
    hue, value = rng.uniform(0.08, 0.38, (7, 7)), rng.uniform(0.3, 0.75, (7, 7))
    table = np.array(
        [[hsv(h, 0.45, b) for h, b in zip(hs, bs, strict=True)] for hs, bs in zip(hue, value, strict=True)]
    )
    canvas = lookup(table, column, row)
    angle = lookup(rng.integers(0, 2, (7, 7)) * 1.0, column, row)
    furrows = np.sin(np.where(angle > 0, u, v) * rng.uniform(120, 190))
    hedge = np.minimum(np.minimum(row % 1, 1 - row % 1), np.minimum(column % 1, 1 - column % 1))
    return canvas * (0.94 + 0.06 * furrows - 0.3 * (hedge < 0.04))[..., None]


def _pivots(view: View, rng: np.random.Generator) -> Plane:
    u, v = view
    pitch = rng.uniform(0.34, 0.6)
    canvas, column, row = _soil(rng), u / pitch, v / pitch
    x, y = (column % 1) - 0.5, (row % 1) - 0.5
    turned = (np.arctan2(y, x) + lookup(rng.uniform(0, math.tau, (5, 5)), column, row)) % math.tau
    ripe = (turned < lookup(rng.uniform(1.0, 6.3, (5, 5)), column, row)) * 0.35
    green = hsv(rng.uniform(0.2, 0.4), 0.5, rng.uniform(0.3, 0.55))
    rings = 0.05 * np.sin(np.hypot(x, y) * 60)
    over(canvas, green * (1 + ripe + rings)[..., None], coverage((np.hypot(x, y) - 0.45) * pitch))
    return canvas


def _forest(view: View, rng: np.random.Generator) -> Plane:
    canvas = _soil(rng) * 0.5
    _crowns(canvas, rng.uniform(-0.05, 1.05, (150, 2)), rng, rng.uniform(0.04, 0.06))
    return canvas


def _orchard(view: View, rng: np.random.Generator) -> Plane:
    canvas, pitch, angle = _soil(rng), rng.uniform(0.1, 0.15), rng.uniform(0, math.tau)
    lattice = np.stack(np.meshgrid(np.arange(-8, 9), np.arange(-8, 9)), -1).reshape(-1, 2) * pitch
    c, s = math.cos(angle), math.sin(angle)
    at = 0.5 + lattice @ np.array([[c, s], [-s, c]]) + rng.normal(0, 0.006, lattice.shape)
    _crowns(canvas, at[rng.random(len(at)) < 0.93], rng, pitch * 0.33)
    return canvas


def _residential(view: View, rng: np.random.Generator) -> Plane:
    u, v = view
    canvas, pitch = _soil(rng), rng.uniform(0.15, 0.2)
    _houses(canvas, view, rng, pitch=pitch, half=(0.3, 0.24))
    street = np.minimum(np.abs((v / pitch / 3) % 1 - 1 / 3), np.abs((u / pitch / 5) % 1 - 0.2) * 5 / 3) * pitch * 3
    over(canvas, hsv(0, 0, rng.uniform(0.35, 0.65)), coverage(street - 0.02))
    _crowns(canvas, rng.uniform(0, 1, (12, 2)), rng, 0.035)
    return canvas


def _industrial(view: View, rng: np.random.Generator) -> Plane:
    u, v = view
    canvas = blank(hsv(rng.random(), 0.06, rng.uniform(0.35, 0.6))) * (0.9 + 0.2 * fractal_noise(rng, 6))[..., None]
    _houses(canvas, (u, v), rng, pitch=rng.uniform(0.48, 0.62), half=(0.42, 0.3))
    vents = np.maximum(np.abs((u * 12) % 1 - 0.5), np.abs((v * 9) % 1 - 0.5)) < 0.14
    return canvas * np.where(vents, 1.2, 1.0)[..., None]


def _motorway(view: View, rng: np.random.Generator) -> Plane:
    u, v = view
    canvas = _soil(rng)
    _crowns(canvas, rng.uniform(0, 1, (14, 2)), rng, 0.04)
    v = v + rng.uniform(-0.2, 0.2) + rng.uniform(-0.5, 0.5) * u * u
    over(canvas, hsv(0, 0, rng.uniform(0.3, 0.55)), coverage(np.abs(v) - 0.15))
    over(canvas, _soil(rng), coverage(np.abs(v) - 0.018))
    dashes = np.where((u * 9) % 1 < 0.5, np.abs(np.abs(v) - 0.083), 1.0)
    over(canvas, np.ones(3), 0.8 * coverage(np.minimum(dashes, np.abs(np.abs(v) - 0.14)) - 0.007))
    cars = np.maximum(np.abs((u * 5 + 2 * np.sign(v) * np.floor(np.abs(v) / 0.083)) % 1 - 0.5) - 0.12, 0.0) / 5
    lane = np.abs((np.abs(v) - 0.018) % 0.064 - 0.032) - 0.016
    inside = coverage(np.maximum(np.maximum(cars - 1e-3, lane), np.abs(v) - 0.135))
    over(canvas, any_colour(rng), inside * lookup((rng.random((9, 9)) < 0.5) * 1.0, u * 5, v * 12))
    return canvas


def _parking(view: View, rng: np.random.Generator) -> Plane:
    u, v = view
    canvas = blank(hsv(0, 0, rng.uniform(0.3, 0.55))) * (0.9 + 0.2 * fractal_noise(rng, 6))[..., None]
    column, row = u / rng.uniform(0.055, 0.07), v / rng.uniform(0.13, 0.16)
    stall = np.floor(row) % 3 > 0.5
    x, y = (column % 1) - 0.5, (row % 1) - 0.5
    over(canvas, np.ones(3), 0.7 * ((0.5 - np.abs(x)) < 0.1) * stall)
    paints = np.stack([any_colour(rng, saturation=(0, 0.8), value=(0.1, 1)) for _ in range(121)]).reshape(11, 11, 3)
    taken = lookup((rng.random((11, 11)) < 0.75) * 1.0, column, row) * stall
    over(
        canvas,
        lookup(paints, column, row),
        coverage(np.maximum(np.abs(x) - 0.33, np.abs(y) - 0.4) * 0.06) * taken,
    )
    return canvas


def _river(view: View, rng: np.random.Generator) -> Plane:
    u, v = view
    canvas = _soil(rng)
    _crowns(canvas, rng.uniform(0, 1, (25, 2)), rng, 0.035)
    bend = rng.uniform(0.08, 0.2) * np.sin(rng.uniform(4, 8) * u + rng.uniform(0, math.tau))
    bank = np.abs(v + bend + 0.15 * (smooth_noise(rng, 4) - 0.5)) - rng.uniform(0.07, 0.15)
    over(canvas, hsv(0.12, 0.3, rng.uniform(0.5, 0.8)), coverage(bank - 0.025, softness=3))
    over(canvas, _water(rng), coverage(bank))
    return canvas


def _lake(view: View, rng: np.random.Generator) -> Plane:
    u, v = view
    canvas = _soil(rng)
    _crowns(canvas, rng.uniform(0, 1, (25, 2)), rng, 0.035)
    x, y = rng.uniform(-0.12, 0.12, 2)
    shore = d.ellipse(u, v, (rng.uniform(0.28, 0.4), rng.uniform(0.2, 0.3)), x, y) + 0.22 * (
        fractal_noise(rng, 4) - 0.5
    )
    over(canvas, hsv(0.12, 0.3, rng.uniform(0.5, 0.8)), coverage(shore - 0.02, softness=3))
    over(canvas, _water(rng), coverage(shore))
    return canvas


def _harbour(view: View, rng: np.random.Generator) -> Plane:
    u, v = view
    canvas, quay = _water(rng), rng.uniform(-0.35, -0.15)
    pier = np.maximum(np.abs((u / 0.3) % 1 - 0.5) * 0.3 - 0.016, v - 0.32)
    column, row = u / 0.1 + 0.5, (v - quay) / 0.15
    x, y = (column % 1 - 0.5) * 0.1, (row % 1 - 0.5) * 0.15
    boats = lookup((rng.random((9, 9)) < 0.8) * 1.0, column, row) * (v > quay) * (v < 0.33)
    hull = d.ellipse(x, y, (0.026, 0.062))
    over(canvas, hsv(0, 0, rng.uniform(0.55, 0.8)), coverage(pier))
    over(canvas, hsv(rng.random(), rng.uniform(0, 0.3), 0.95), coverage(hull) * boats)
    over(canvas, _soil(rng), coverage(v - quay))
    over(canvas, hsv(0, 0, 0.6), coverage(np.abs(v - quay) - 0.02))
    return canvas


def _runway(view: View, rng: np.random.Generator) -> Plane:
    u, v = view
    canvas, v = _soil(rng), v + rng.uniform(-0.2, 0.2)
    start = rng.uniform(-0.45, -0.1)
    grey = hsv(0, 0, rng.uniform(0.25, 0.5))
    over(canvas, grey * 1.1, coverage(np.abs(v - 0.34) - 0.04))
    over(canvas, grey * 1.1, coverage(np.maximum(np.abs(u - start - 0.1) - 0.04, np.abs(v - 0.17) - 0.17)))
    over(canvas, grey, coverage(np.maximum(np.abs(v) - 0.13, start - u)))
    threshold = np.maximum(np.abs(u - start - 0.1) - 0.06, np.abs((v / 0.04) % 1 - 0.5) * 0.04 - 0.011)
    centre = np.maximum(np.abs((u * 5) % 1 - 0.5) / 5 - 0.06, np.maximum(np.abs(v) - 0.009, start + 0.2 - u))
    marks = np.minimum(np.maximum(threshold, np.abs(v) - 0.115), centre)
    over(canvas, np.ones(3), 0.9 * coverage(marks))
    return canvas


USES: dict[str, Callable[[View, np.random.Generator], Plane]] = {
    "fields": _fields,
    "forest": _forest,
    "harbour": _harbour,
    "industrial": _industrial,
    "lake": _lake,
    "motorway": _motorway,
    "orchard": _orchard,
    "parking": _parking,
    "pivots": _pivots,
    "residential": _residential,
    "river": _river,
    "runway": _runway,
}

LANDUSE = SetPlan("landuse", tuple(USES), (22, 7, 15))


def draw_use(kind: str, rng: np.random.Generator) -> tuple[Plane, Factors]:
    """Draw the land use ``kind`` with a random bearing and haze."""
    bearing = rng.uniform(0, math.tau)
    altitude, haze = rng.uniform(0.75, 1.5), rng.uniform(0.1, 0.55)
    view = Pose(rng.uniform(0.3, 0.7), rng.uniform(0.3, 0.7), 2 / altitude, bearing).local()
    canvas = USES[kind](view, rng)
    canvas = canvas + haze * (any_colour(rng, saturation=(0, 0.3), value=(0.4, 0.9)) - canvas)
    clouds = np.clip(2.5 * fractal_noise(rng, 3) - rng.uniform(1.2, 2.0), 0, 0.9)
    over(canvas, np.ones(3), clouds)
    canvas, light = photographed(canvas, rng, grain=0.09)
    return canvas, {"bearing": bearing, "altitude": altitude, "haze": haze, **light}


def render_landuse() -> Iterator[Picture]:
    """Draw ``mini/landuse``."""
    return drawn(LANDUSE, draw_use)
