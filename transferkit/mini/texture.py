"""``mini/materials``: patches of photographed surfaces. ``mini/patterns``: drawn patterns."""

import math
from collections.abc import Callable, Iterator

import numpy as np

from .canvas import (
    Factors,
    Plane,
    Pose,
    any_colour,
    cell_distances,
    fractal_noise,
    ink_and_paper,
    lookup,
    mixed,
    photographed,
    shading,
    smooth_noise,
)
from .patches import Area, Cut, cut, has_structure, toned
from .rendered import Picture, SetPlan, drawn

SURFACES: dict[str, tuple[Area, ...]] = {
    "brick": (Area("brick", (0, 0, 512, 512), (8, 8)),),
    "foliage": (Area("china", (340, 320, 640, 427), (6, 2)), Area("china", (545, 150, 640, 320), (2, 3))),
    "fur": (Area("chelsea", (60, 0, 348, 80), (7, 2)), Area("chelsea", (50, 150, 230, 290), (4, 3))),
    "grass": (Area("grass", (0, 0, 512, 512), (8, 8)),),
    "gravel": (Area("gravel", (0, 0, 512, 512), (8, 8)),),
    "petals": (Area("flower", (210, 120, 405, 330), (5, 5)),),
    "print": (Area("page", (0, 45, 380, 140), (8, 2)),),
    "regolith": (Area("moon", (0, 0, 512, 512), (8, 8)),),
    "wood": (Area("coffee", (480, 10, 600, 400), (3, 8)), Area("coffee", (0, 310, 140, 400), (3, 2))),
}

MATERIALS = SetPlan("materials", tuple(SURFACES), (28, 9, 19))


def _lit(canvas: Plane, rng: np.random.Generator) -> Plane:
    tone = any_colour(rng, saturation=(0.0, 0.5), value=(0.5, 0.9))
    return photographed(toned(canvas, rng, tone=tone, contrast=(0.06, 0.2)), rng, grain=0.08)[0]


def render_materials() -> Iterator[Picture]:
    """Cut out ``mini/materials``."""
    return cut(MATERIALS, Cut(SURFACES, _lit, accepts=has_structure))


def _wave(x: Plane, sharpness: float = 2.5) -> Plane:
    return np.clip(0.5 + sharpness * np.sin(math.tau * x), 0, 1)


def _bricks(u: Plane, v: Plane, rng: np.random.Generator) -> Plane:
    row = np.floor(2 * v)
    along = np.abs((u + 0.5 * (row % 2)) % 1 - 0.5)
    joint = np.maximum(along * 2, np.abs((2 * v) % 1 - 0.5) * 2 - 0.02)
    return np.clip((0.86 - joint) * 9, 0, 1) * (0.6 + 0.4 * lookup(rng.random((7, 7)), u + 0.5 * (row % 2), row))


def _weave(u: Plane, v: Plane, rng: np.random.Generator) -> Plane:
    warp = ((np.floor(2 * u) + np.floor(2 * v)) % 2).astype(bool)
    across = np.sqrt(np.abs(np.sin(math.tau * u)))
    return np.where(warp, across, 0.75 * np.sqrt(np.abs(np.sin(math.tau * v))))


def _cracks(u: Plane, v: Plane, rng: np.random.Generator) -> Plane:
    first, second = cell_distances(1.3 * u, 1.3 * v, rng)
    return np.clip((second - first) * 6, 0, 1)


def _pebbles(u: Plane, v: Plane, rng: np.random.Generator) -> Plane:
    first, _ = cell_distances(1.5 * u, 1.5 * v, rng)
    return np.sqrt(np.clip(1 - 1.6 * first * first, 0, 1))


def _dots(u: Plane, v: Plane, rng: np.random.Generator) -> Plane:
    radius = np.hypot((1.4 * u) % 1 - 0.5, (1.4 * v) % 1 - 0.5)
    return np.clip((rng.uniform(0.24, 0.34) - radius) * 10, 0, 1)


def _scales(u: Plane, v: Plane, rng: np.random.Generator) -> Plane:
    result = np.zeros(u.shape)
    for k in (2, 1, 0):
        row = np.floor(2 * v) - k + 1
        x = (u * 1.2 + 0.5 * (row % 2)) % 1 - 0.5
        radius = np.hypot(x, (2 * v - row) / 2.2)
        result = np.where(radius < 0.6, np.clip(1 - 1.5 * radius, 0.1, 1) + (radius > 0.52) * -0.4, result)
    return np.clip(result, 0, 1)


def _hexagons(u: Plane, v: Plane, rng: np.random.Generator) -> Plane:
    tall = math.sqrt(3.0)
    rooms = []
    for shift in (0.0, 0.5):
        x, y = np.abs((u + shift) % 1 - 0.5), np.abs((v + shift * tall) % tall - tall / 2)
        rooms.append(0.5 - np.maximum(x, 0.5 * x + 0.5 * tall * y))
    return np.clip(np.maximum(*rooms) * 12 - 0.6, 0, 1)


def _knit(u: Plane, v: Plane, rng: np.random.Generator) -> Plane:
    lean = np.abs((1.2 * u) % 1 - 0.5)
    return np.clip(_wave(1.6 * v + 1.2 * lean, 0.7) * np.clip(lean * 12, 0, 1) * np.clip((0.5 - lean) * 12, 0, 1), 0, 1)


PATTERNS_BY_NAME: dict[str, Callable[[Plane, Plane, np.random.Generator], Plane]] = {
    "bricks": _bricks,
    "checks": lambda u, v, rng: np.clip(0.5 + 4 * np.sin(math.pi * 1.6 * u) * np.sin(math.pi * 1.6 * v), 0, 1),
    "chevrons": lambda u, v, rng: _wave(1.2 * v + 0.8 * np.abs(u % 1 - 0.5)),
    "cracks": _cracks,
    "dots": _dots,
    "hexagons": _hexagons,
    "knit": _knit,
    "pebbles": _pebbles,
    "scales": _scales,
    "stripes": lambda u, v, rng: _wave(1.1 * u, rng.uniform(0.5, 4)),
    "weave": _weave,
    "woodgrain": lambda u, v, rng: _wave(0.9 * u + 1.6 * smooth_noise(rng, 3) + 0.2 * np.sin(v), 0.6),
}

PATTERNS = SetPlan("patterns", tuple(PATTERNS_BY_NAME), (24, 8, 16))


def draw_pattern(kind: str, rng: np.random.Generator) -> tuple[Plane, Factors]:
    """Draw the pattern ``kind`` in two colours with a random scale, rotation and slight warp."""
    scale, rotation = rng.uniform(0.2, 0.7), rng.uniform(0, math.tau)
    u, v = Pose(rng.uniform(-2, 3), rng.uniform(-2, 3), scale * 2, rotation).local()
    warp = rng.uniform(0.0, 0.8)
    bent_u, bent_v = u + warp * smooth_noise(rng, 3), v + warp * smooth_noise(rng, 3)
    level = PATTERNS_BY_NAME[kind](bent_u, bent_v, rng)
    ink, paper, lighter = ink_and_paper(rng, contrast=0.15)
    wear = 0.5 + fractal_noise(rng, 8)
    direction = rng.uniform(0, math.tau)
    worn = wear * shading(0.02 * level, direction, rng.uniform(0, 0.8))
    canvas, light = photographed(mixed(paper, ink, level) * worn[..., None], rng, grain=0.13)
    return canvas, {"scale": scale, "rotation": rotation, "warp": warp, "ink_is_lighter": lighter, **light}


def render_patterns() -> Iterator[Picture]:
    """Draw ``mini/patterns``."""
    return drawn(PATTERNS, draw_pattern)
