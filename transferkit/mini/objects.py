"""The source data set ``mini/objects``: shapes with random colour, texture, position, size, rotation and light."""

import math
from collections.abc import Callable, Iterator

import numpy as np

from . import distances as d
from .canvas import (
    Factors,
    Plane,
    Pose,
    X,
    Y,
    any_colour,
    any_pose,
    blank,
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


def _heart_outline() -> list[tuple[float, float]]:
    turns = [math.tau * k / 18 for k in range(18)]
    up = [13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t) for t in turns]
    return [(0.95 * math.sin(t) ** 3, -0.06 * y - 0.12) for t, y in zip(turns, up, strict=True)]


def _gear(u: Plane, v: Plane) -> Plane:
    teeth = np.clip(1.6 * np.cos(8 * np.arctan2(v, u)), -1, 1)
    return np.maximum(d.polar(u, v, 0.83 + 0.12 * teeth), -d.disc(u, v, 0.3))


def _flower(u: Plane, v: Plane) -> Plane:
    return np.maximum(d.polar(u, v, 0.7 + 0.26 * np.cos(5 * np.arctan2(v, u))), -d.disc(u, v, 0.16))


def _fish(u: Plane, v: Plane) -> Plane:
    tail = d.polygon(u, v, [(0.45, 0.0), (1.0, -0.5), (0.88, 0.0), (1.0, 0.5)])
    body = np.minimum(d.ellipse(u, v, (0.75, 0.42), x=-0.2), tail)
    return np.maximum(body, -d.disc(u, v, 0.08, x=-0.6, y=-0.1))


def _key(u: Plane, v: Plane) -> Plane:
    bow = np.abs(d.disc(u, v, 0.3, x=-0.6)) - 0.12
    shaft = np.minimum(d.box(u, v, (0.62, 0.1), x=0.36), d.box(u, v, (0.07, 0.16), x=0.6, y=0.22))
    return np.minimum(bow, np.minimum(shaft, d.box(u, v, (0.07, 0.2), x=0.9, y=0.24)))


def _crescent(u: Plane, v: Plane) -> Plane:
    return np.maximum(d.disc(u, v, 0.95), -d.disc(u, v, 0.78, x=0.42))


def _drop(u: Plane, v: Plane) -> Plane:
    return d.polygon(u, v, [(0.0, -1.0), *d.arc(0.55, -0.45, math.pi + 0.45, y=0.4)])


def _cross(u: Plane, v: Plane) -> Plane:
    return np.minimum(d.box(u, v, (0.92, 0.3)), d.box(u, v, (0.3, 0.92)))


_ARROW = ((-0.95, -0.24), (0.1, -0.24), (0.1, -0.65), (0.98, 0.0), (0.1, 0.65), (0.1, 0.24), (-0.95, 0.24))
_HEART = _heart_outline()
_BOLT = ((0.25, -1.0), (-0.55, 0.12), (-0.05, 0.12), (-0.25, 1.0), (0.6, -0.25), (0.08, -0.25), (0.5, -1.0))

SHAPES: dict[str, Callable[[Plane, Plane], Plane]] = {
    "arrow": lambda u, v: d.polygon(u, v, _ARROW),
    "bolt": lambda u, v: d.polygon(u, v, _BOLT),
    "crescent": _crescent,
    "cross": _cross,
    "disc": lambda u, v: d.disc(u, v, 0.88),
    "drop": _drop,
    "fish": _fish,
    "flower": _flower,
    "gear": _gear,
    "heart": lambda u, v: d.polygon(u, v, _HEART),
    "hexagon": lambda u, v: d.polygon(u, v, d.regular(6, 0.95)),
    "key": _key,
    "ring": lambda u, v: np.abs(d.disc(u, v, 0.68)) - 0.24,
    "square": lambda u, v: d.box(u, v, (0.74, 0.74)),
    "star": lambda u, v: d.polygon(u, v, d.regular(5, inner=0.42)),
    "triangle": lambda u, v: d.polygon(u, v, d.regular(3)),
}

PLAN = SetPlan("objects", tuple(SHAPES), (400, 50, 50))

TEXTURES = ("plain", "stripes", "dots", "checks", "clouds", "rings")
BACKGROUNDS = ("plain", "gradient", "clouds", "stripes", "tiles", "blobs")


def texture(kind: int, u: Plane, v: Plane, rng: np.random.Generator) -> Plane:
    """Draw the texture ``TEXTURES[kind]`` as a plane in 0 … 1, in the coordinates of the object."""
    pitch = rng.uniform(7.0, 13.0)
    match TEXTURES[kind]:
        case "plain":
            return 0.15 * smooth_noise(rng, 3)
        case "stripes":
            return np.clip(0.5 + 1.5 * np.sin(pitch * u), 0, 1)
        case "dots":
            return np.clip(2 * np.cos(pitch * u) * np.cos(pitch * v) - 0.4, 0, 1)
        case "checks":
            return np.clip(0.5 + 4 * np.sin(0.7 * pitch * u) * np.sin(0.7 * pitch * v), 0, 1)
        case "clouds":
            return np.clip(2.2 * fractal_noise(rng, 6) - 0.6, 0, 1)
        case _:
            return np.clip(0.5 + 1.5 * np.sin(pitch * np.hypot(u - 0.4, v + 0.3)), 0, 1)


def background(kind: int, rng: np.random.Generator) -> Plane:
    """Draw the background ``BACKGROUNDS[kind]`` as a canvas."""
    low = any_colour(rng, saturation=(0.05, 0.6), value=(0.15, 0.9))
    high = any_colour(rng, saturation=(0.05, 0.6), value=(0.15, 0.9))
    u, v = Pose(0.5, 0.5, 1.0, rng.uniform(0, math.tau)).local()
    pitch = rng.uniform(5.0, 14.0)
    match BACKGROUNDS[kind]:
        case "plain":
            return blank(low)
        case "gradient":
            return mixed(low, high, np.clip(0.5 + 0.5 * u, 0, 1))
        case "clouds":
            return mixed(low, high, np.clip(2 * fractal_noise(rng, 4) - 0.5, 0, 1))
        case "stripes":
            return mixed(low, high, np.clip(0.5 + 2 * np.sin(pitch * u), 0, 1))
        case "tiles":
            return mixed(low, high, np.clip(0.5 + 3 * np.sin(pitch * u) * np.sin(pitch * v), 0, 1))
        case _:
            return _blobs(low, rng)


def _blobs(colour: Plane, rng: np.random.Generator) -> Plane:
    canvas = blank(colour)
    for _ in range(5):
        x, y, radius = rng.uniform(0, 1), rng.uniform(0, 1), rng.uniform(0.04, 0.16)
        over(canvas, any_colour(rng), coverage(d.disc(X, Y, radius, x, y), softness=rng.uniform(1, 8)))
    return canvas


def draw(kind: str, rng: np.random.Generator) -> tuple[Plane, Factors]:
    """Draw an object of the shape ``kind`` with shading and a soft shadow."""
    pose = any_pose(rng, size=(0.42, 0.85), stray=0.85)
    weave, ground, hue = int(rng.integers(len(TEXTURES))), int(rng.integers(len(BACKGROUNDS))), rng.random()
    canvas = background(ground, rng)
    u, v = pose.local()
    distance = SHAPES[kind](u, v)
    colours = (
        hsv(hue, rng.uniform(0.4, 0.95), rng.uniform(0.45, 1.0)),
        hsv(hue + rng.uniform(0.2, 0.8), rng.uniform(0.2, 0.9), rng.uniform(0.2, 1.0)),
    )
    direction, strength = rng.uniform(0, math.tau), rng.uniform(0.3, 1.0)
    emboss = shading(np.clip(-distance, 0, 0.3) * pose.size / 2, direction, strength)
    paint = mixed(*colours, texture(weave, u, v, rng)) * emboss[..., None]
    shift = np.rint(3.4 * np.array([-math.sin(direction), -math.cos(direction)])).astype(int)
    shadow = coverage(np.roll(distance, shift.tolist(), (0, 1)) * pose.size / 2, softness=5)
    over(canvas, np.zeros(3), shadow * 0.45 * strength)
    over(canvas, paint, pose.cover(distance))
    canvas, _ = photographed(canvas, rng, grain=0.05)
    light = {"light_direction": direction, "light_strength": strength}
    return canvas, {**pose.factors(), "hue": hue, "texture": weave, "background": ground, **light}


def render() -> Iterator[Picture]:
    """Draw ``mini/objects``."""
    return drawn(PLAN, draw)
