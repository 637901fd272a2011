"""``mini/leaves``: drawn leaves of ten species with different outlines and veins, in the colours of all seasons.

``mini/photos``: patches of real photographs; the class is the subject of the photograph.
"""

import math
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from . import distances as d
from .canvas import (
    Factors,
    Plane,
    X,
    Y,
    any_colour,
    any_pose,
    coverage,
    fractal_noise,
    hsv,
    mixed,
    over,
    photographed,
    shading,
)
from .patches import Area, Cut, cut, luminance
from .rendered import Picture, SetPlan, drawn

Outline = Callable[[Plane, Plane, np.random.Generator], Plane]


def _blade(u: Plane, v: Plane, half: Plane) -> Plane:
    """Compute the distance from a leaf along ``u`` from -1 (stalk) to 1 (tip) with the half width ``half``."""
    return d.level_set(np.where(np.abs(u) < 1, np.abs(v) - half, np.abs(v) + np.abs(u) - 1), u, v)


def _along(u: Plane) -> Plane:
    """Compute the position along the blade, 0 at the stalk and 1 at the tip."""
    return np.clip((u + 1) / 2, 0.0, 1.0)


def _birch(u: Plane, v: Plane, rng: np.random.Generator) -> Plane:
    t = _along(u)
    saw = 0.05 * ((t * rng.integers(10, 13)) % 1.0)
    return _blade(u, v, 2.1 * t**0.55 * (1 - t) ** 1.2 * 0.62 + saw * np.sin(math.pi * t))


def _willow(u: Plane, v: Plane, rng: np.random.Generator) -> Plane:
    t, bend = _along(u), rng.uniform(-0.25, 0.25)
    return _blade(u, v - bend * (1 - u * u), rng.uniform(0.15, 0.21) * np.sin(math.pi * t) ** 0.8)


def _oak(u: Plane, v: Plane, rng: np.random.Generator) -> Plane:
    t = _along(u)
    lobes = 1 + 0.32 * np.cos(math.tau * (rng.uniform(3.6, 4.4) * t + 0.4))
    return _blade(u, v, 0.5 * np.sin(math.pi * t**0.8) ** 0.7 * lobes * (0.35 + 0.65 * t**0.6))


def _holly(u: Plane, v: Plane, rng: np.random.Generator) -> Plane:
    t = _along(u)
    spines = np.abs(np.cos(math.pi * t * rng.uniform(3.8, 4.2))) ** 3
    return _blade(u, v, np.sin(math.pi * t) ** 0.6 * (0.26 + 0.26 * spines))


def _linden(u: Plane, v: Plane, rng: np.random.Generator) -> Plane:
    angle = np.arctan2(v, u)
    saw = 0.035 * np.cos(rng.integers(22, 28) * angle)
    notch = 0.45 * np.exp(-((np.abs(angle) - math.pi) ** 2) / 0.12)
    tip = 0.32 * np.exp(-(angle**2) / 0.04)
    return d.polar(u, v, 0.68 + tip - notch + saw)


def _aspen(u: Plane, v: Plane, rng: np.random.Generator) -> Plane:
    angle = np.arctan2(v, u)
    return d.polar(u, v, 0.72 + 0.04 * np.cos(rng.integers(12, 15) * angle) + 0.1 * np.exp(-(angle**2) / 0.05))


def _maple(u: Plane, v: Plane, rng: np.random.Generator) -> Plane:
    angle, spread = np.arctan2(v, u), rng.uniform(0.95, 1.1)
    lobes = [(0.0, 1.0), (spread, 0.88), (-spread, 0.88), (2.05, 0.5), (-2.05, 0.5)]
    reach = [length * np.exp(-np.abs(angle - at) / 0.42) for at, length in lobes]
    teeth = 0.09 * np.abs(np.cos(8.5 * angle))
    return d.polar(u, v, 0.16 + 0.82 * np.maximum.reduce(reach) + teeth * (np.abs(angle) < 2.4))


def _ginkgo(u: Plane, v: Plane, rng: np.random.Generator) -> Plane:
    p = u + 0.8
    angle = np.arctan2(v, p)
    wave = 0.05 * np.cos(rng.integers(14, 18) * angle) - 0.55 * np.exp(-(angle**2) / 0.006)
    fan = d.polar(p, v, 1.45 + wave)
    return np.maximum(fan, (np.abs(angle) - rng.uniform(0.85, 1.05)) * np.hypot(p, v))


def _ash(u: Plane, v: Plane, rng: np.random.Generator) -> Plane:
    lean = rng.uniform(0.15, 0.25)
    leaflets = [d.ellipse(u, v, (0.28, 0.14), x=0.78)]
    for x in (-0.45, -0.05, 0.35):
        w = np.abs(v) - 0.33
        leaflets.append(d.ellipse(u - lean * w - x, w, (0.13, 0.3)))
    return np.minimum.reduce([*leaflets, d.segment(u, v, (-1, 0), (0.6, 0)) - 0.03])


def _fern(u: Plane, v: Plane, rng: np.random.Generator) -> Plane:
    t = _along(u)
    comb = np.abs(np.sin(math.pi * (t * rng.uniform(8, 9.5) - 1.1 * np.abs(v))))
    body = _blade(u, v, 0.55 * t**0.4 * (1 - t) ** 0.75)
    teeth = (0.62 - comb) * 0.12
    return np.minimum(np.maximum(body, teeth), d.segment(u, v, (-1, 0), (0.95, 0)) - 0.03)


SPECIES: dict[str, Outline] = {
    "ash": _ash,
    "aspen": _aspen,
    "birch": _birch,
    "fern": _fern,
    "ginkgo": _ginkgo,
    "holly": _holly,
    "linden": _linden,
    "maple": _maple,
    "oak": _oak,
    "willow": _willow,
}
_FANNED = ("ginkgo", "maple", "linden")

LEAVES = SetPlan("leaves", tuple(SPECIES), (26, 8, 18))


def _veins(kind: str, u: Plane, v: Plane) -> Plane:
    """Compute the distance from the veins, which start at the stalk or along the midrib."""
    midrib = np.abs(v)
    if kind in _FANNED:
        rays = np.abs(np.sin(3 * np.arctan2(v, u + 0.75))) * np.hypot(u + 0.75, v) / 3
        return np.minimum(midrib, rays)
    if kind in ("ash", "fern"):
        return midrib
    return np.minimum(midrib, np.abs((u - 0.7 * np.abs(v)) * 4 % 1 - 0.5) / 4)


def draw_leaf(kind: str, rng: np.random.Generator) -> tuple[Plane, Factors]:
    """Draw a leaf of the species ``kind`` on soil, stone, snow or grass with twigs."""
    pose = any_pose(rng, size=(0.62, 0.95), stray=0.9)
    season = rng.uniform(-0.02, 0.36)
    canvas = _ground(rng)
    u, v = pose.local()
    outline = SPECIES[kind](u, v, rng)
    stalk = d.segment(u, v, (-0.6, 0.0), (-1.25, rng.uniform(-0.25, 0.25))) - 0.035
    green = hsv(season, rng.uniform(0.45, 0.85), rng.uniform(0.35, 0.8))
    spot = hsv(season + rng.uniform(-0.08, 0.08), rng.uniform(0.4, 0.9), rng.uniform(0.3, 0.9))
    paint = mixed(green, spot, np.clip(1.8 * fractal_noise(rng, 5) - 0.4, 0, 1))
    paint = paint * shading(np.minimum(_veins(kind, u, v), 0.05) * 0.8, rng.uniform(0, math.tau), 0.5)[..., None]
    shadow = np.roll(np.minimum(outline, stalk), (2, 1), (0, 1))
    over(canvas, np.zeros(3), 0.4 * coverage(shadow * pose.size / 2, softness=5))
    over(canvas, green * 0.7, pose.cover(stalk))
    over(canvas, paint, pose.cover(outline))
    over(canvas, green + 0.25, 0.5 * pose.cover(_veins(kind, u, v) - 0.02) * pose.cover(outline))
    canvas, light = photographed(canvas, rng, grain=0.06)
    return canvas, {**pose.factors(), "hue": season % 1.0, **light}


def _ground(rng: np.random.Generator) -> Plane:
    low = any_colour(rng, saturation=(0.05, 0.5), value=(0.15, 0.85))
    high = low * rng.uniform(0.5, 0.8)
    canvas = mixed(low, high, np.clip(2 * fractal_noise(rng, 8) - 0.5, 0, 1))
    for _ in range(rng.integers(4, 9)):
        a, b = rng.uniform(0, 1, 2), rng.normal(0, 0.15, 2)
        twig = d.segment(X, Y, (a[0], a[1]), (a[0] + b[0], a[1] + b[1])) - rng.uniform(0.005, 0.04)
        over(canvas, hsv(rng.uniform(0, 0.35), 0.5, rng.uniform(0.2, 0.7)), 0.8 * coverage(twig, softness=2))
    return canvas


def render_leaves() -> Iterator[Picture]:
    """Draw ``mini/leaves``."""
    return drawn(LEAVES, draw_leaf)


SUBJECTS: dict[str, tuple[Area, ...]] = {
    "astronaut": (Area("astronaut", (90, 0, 512, 512), (5, 6)),),
    "cameraman": (Area("camera", (20, 40, 420, 512), (5, 6)),),
    "cat": (Area("chelsea", (40, 0, 390, 300), (5, 4)),),
    "coffee": (Area("coffee", (80, 0, 560, 370), (7, 5)),),
    "coins": (Area("coins", (10, 0, 384, 303), (5, 4)),),
    "flower": (Area("flower", (170, 80, 450, 360), (5, 5)),),
    "motorcycle": (Area("motorcycle_left", (60, 100, 720, 480), (8, 5)),),
    "pagoda": (Area("china", (90, 60, 370, 410), (5, 6)),),
    "rocket": (Area("rocket", (0, 0, 640, 427), (8, 5)),),
}

PHOTOS = SetPlan("photos", tuple(SUBJECTS), (28, 9, 19))


def _printed(canvas: Plane, rng: np.random.Generator) -> Plane:
    """Change white balance and saturation at random, so that colour alone does not reveal the subject."""
    grey = luminance(canvas)[..., None]
    canvas = grey + rng.uniform(0.0, 0.8) * (canvas - grey)
    canvas = 0.5 + rng.uniform(0.6, 1.1) * (canvas - rng.uniform(0.3, 0.6))
    return photographed(canvas * rng.uniform(0.7, 1.25, 3), rng)[0]


def _has_contours(kind: str, patch: NDArray[np.uint8]) -> bool:
    """Return whether a patch shows more than one uniform surface, and so part of the subject."""
    return float(patch[..., 1].std()) > 14


def render_photos() -> Iterator[Picture]:
    """Cut ``mini/photos``."""
    return cut(PHOTOS, Cut(SUBJECTS, _printed, accepts=_has_contours))
