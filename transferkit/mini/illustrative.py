"""``mini/sketches``: sketches of things in a few strokes. ``mini/cartoons``: animals in flat colours."""

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
    any_pose,
    blank,
    coverage,
    fractal_noise,
    hsv,
    ink_and_paper,
    mixed,
    over,
    photographed,
    smooth_noise,
)
from .distances import Points, arc
from .rendered import Picture, SetPlan, drawn

THINGS: dict[str, tuple[Points, ...]] = {
    "bicycle": (
        arc(0.36, 0, math.tau, -0.55, 0.3),
        arc(0.36, 0, math.tau, 0.55, 0.3),
        [(-0.55, 0.3), (-0.2, -0.3), (0.4, -0.3), (0.0, 0.3), (-0.55, 0.3)],
        [(0.0, 0.3), (-0.25, -0.45)],
        [(-0.38, -0.45), (-0.1, -0.45)],
        [(0.55, 0.3), (0.36, -0.5), (0.58, -0.55)],
    ),
    "car": (
        [
            (-0.9, 0.3),
            (-0.9, 0.0),
            (-0.55, -0.05),
            (-0.3, -0.4),
            (0.3, -0.4),
            (0.55, -0.05),
            (0.92, 0.05),
            (0.92, 0.3),
            (-0.9, 0.3),
        ],
        arc(0.19, 0, math.tau, -0.5, 0.35),
        arc(0.19, 0, math.tau, 0.5, 0.35),
        [(0.0, -0.4), (0.0, -0.05), (-0.5, -0.05)],
    ),
    "cup": (
        [(-0.55, -0.55), (-0.45, 0.6), (0.3, 0.6), (0.4, -0.55), (-0.55, -0.55)],
        arc(0.3, -1.3, 1.5, 0.38, -0.05),
        [(-0.25, -0.7), (-0.15, -0.95)],
        [(0.1, -0.7), (0.2, -0.95)],
    ),
    "envelope": (
        [(-0.9, -0.55), (0.9, -0.55), (0.9, 0.6), (-0.9, 0.6), (-0.9, -0.55), (0.0, 0.15), (0.9, -0.55)],
        [(-0.9, 0.6), (-0.25, 0.0)],
        [(0.9, 0.6), (0.25, 0.0)],
    ),
    "flower": (
        arc(0.2, 0, math.tau, 0, -0.4),
        *(
            arc(0.19, a - 1.7, a + 1.7, 0.36 * math.cos(a), -0.4 + 0.36 * math.sin(a))
            for a in (0.3, 1.56, 2.81, 4.07, 5.33)
        ),
        [(0.0, -0.02), (0.05, 0.95)],
        [(0.04, 0.6), (0.4, 0.3), (0.35, 0.55), (0.04, 0.6)],
    ),
    "glasses": (
        arc(0.36, 0, math.tau, -0.48, 0.1),
        arc(0.36, 0, math.tau, 0.48, 0.1),
        arc(0.14, math.pi, math.tau, 0, 0.05),
        [(-0.83, 0.05), (-0.95, -0.35)],
        [(0.83, 0.05), (0.95, -0.35)],
    ),
    "house": (
        [(-0.6, 0.8), (-0.6, -0.1), (0.0, -0.75), (0.6, -0.1), (0.6, 0.8), (-0.6, 0.8)],
        [(-0.8, 0.1), (-0.6, -0.1), (0.6, -0.1)],
        [(-0.1, 0.8), (-0.1, 0.3), (0.2, 0.3), (0.2, 0.8)],
        [(0.3, -0.45), (0.3, -0.8), (0.45, -0.8), (0.45, -0.25)],
    ),
    "ladder": (
        [(-0.4, -0.95), (-0.45, 0.95)],
        [(0.35, -0.95), (0.45, 0.95)],
        *([(-0.42, y), (0.4, y)] for y in (-0.7, -0.35, 0.0, 0.35, 0.7)),
    ),
    "mushroom": (
        [*arc(0.8, math.pi, math.tau, 0, 0.1), (-0.8, 0.1)],
        [(-0.25, 0.1), (-0.3, 0.85), (0.3, 0.85), (0.25, 0.1)],
        arc(0.14, 0, math.tau, -0.3, -0.3),
        arc(0.1, 0, math.tau, 0.25, -0.4),
        arc(0.09, 0, math.tau, 0.45, -0.1),
    ),
    "sailboat": (
        [(-0.85, 0.45), (-0.5, 0.85), (0.55, 0.85), (0.85, 0.45), (-0.85, 0.45)],
        [(0.0, 0.45), (0.0, -0.95)],
        [(0.05, -0.85), (0.75, 0.25), (0.05, 0.25)],
        [(-0.07, -0.6), (-0.6, 0.25), (-0.07, 0.25)],
    ),
    "tree": (
        [(-0.13, 0.95), (-0.13, 0.3)],
        [(0.15, 0.95), (0.13, 0.3)],
        arc(0.34, 1.2, 4.6, -0.38, 0.0),
        arc(0.38, 3.3, 6.1, 0.0, -0.42),
        arc(0.34, -1.4, 1.9, 0.38, 0.0),
        arc(0.3, 0.5, 2.6, 0.0, 0.12),
    ),
    "umbrella": (
        arc(0.85, math.pi, math.tau, 0, 0.0),
        arc(0.29, math.pi, math.tau, -0.57, 0.0),
        arc(0.28, math.pi, math.tau, 0, 0.0),
        arc(0.29, math.pi, math.tau, 0.57, 0.0),
        [(0.0, -0.85), (0.0, 0.7)],
        arc(0.15, 0, math.pi, 0.15, 0.7),
    ),
}
"""Strokes of each thing in coordinates of -1 … 1."""

SKETCHES = SetPlan("sketches", tuple(THINGS), (22, 7, 15))


def draw_sketch(kind: str, rng: np.random.Generator) -> tuple[Plane, Factors]:
    """Draw the thing ``kind`` in a few strokes, on used paper."""
    pose = any_pose(rng, size=(0.55, 0.9), turn=0.4, stray=1.0)
    ink, paper, lighter = ink_and_paper(rng, contrast=0.3)
    canvas, width, mirrored = _paper(ink, paper, rng), rng.uniform(0.008, 0.02), int(rng.random() < 0.5)
    u, v = pose.local()
    u = (1 - 2 * mirrored) * u / rng.uniform(0.75, 1.0)
    u, v = (
        u + 0.22 * (smooth_noise(rng, 4) - 0.5),
        v / rng.uniform(0.8, 1.0) + 0.22 * (smooth_noise(rng, 4) - 0.5),
    )
    strokes = np.full((SIZE, SIZE), math.inf)
    for points in THINGS[kind]:
        shift = rng.normal(0, 0.03, 2)
        strokes = np.minimum(strokes, d.polyline(u + shift[0], v + shift[1], points))
    if rng.random() < 0.5:
        wash = coverage((strokes - rng.uniform(0.1, 0.3)) * pose.size / 2, softness=8)
        over(canvas, any_colour(rng), 0.4 * wash)
    pressure = 0.7 + 0.3 * smooth_noise(rng, 12)
    over(canvas, ink, pressure * coverage(strokes * pose.size / 2 - width))
    canvas, light = photographed(canvas, rng, grain=0.07)
    return canvas, {
        **pose.factors(),
        "stroke_width": width,
        "mirrored": mirrored,
        "ink_is_lighter": lighter,
        **light,
    }


def _paper(ink: Plane, paper: Plane, rng: np.random.Generator) -> Plane:
    """Draw paper with smudges, and with ruled lines or remains of strokes."""
    canvas = mixed(paper, paper + 0.35 * (ink - paper), np.clip(2 * fractal_noise(rng, 3) - 0.8, 0, 1))
    for _ in range(int(rng.integers(2, 6))):
        a, b = rng.uniform(-0.1, 1.1, 2), rng.uniform(-0.1, 1.1, 2)
        line = d.segment(X, Y, (a[0], a[1]), (b[0], b[1])) - rng.uniform(0.003, 0.012)
        over(canvas, ink, rng.uniform(0.15, 0.5) * coverage(line))
    return canvas


def render_sketches() -> Iterator[Picture]:
    """Draw ``mini/sketches``."""
    return drawn(SKETCHES, draw_sketch)


class Palette:
    """Flat colours of one cartoon: fur, a lighter second colour, and dark lines."""

    def __init__(self, rng: np.random.Generator) -> None:
        hue = rng.random()
        self.fur = hsv(hue, rng.uniform(0.15, 0.75), rng.uniform(0.5, 0.95))
        self.pale = self.fur + 0.6 * (1 - self.fur)
        self.accent = hsv(hue + rng.uniform(0.2, 0.8), rng.uniform(0.4, 0.8), rng.uniform(0.7, 1.0))
        self.line = self.fur * 0.25


class Face:
    """A canvas with the coordinates of a head whose radius is about 1; shapes are drawn with outlines."""

    def __init__(self, canvas: Plane, pose: Pose, palette: Palette) -> None:
        self.canvas, self.pose, self.palette = canvas, pose, palette
        self.u, self.v = pose.local()
        self.s = np.abs(self.u)

    def lay(self, distance: Plane, colour: Plane, *, outline: float = 0.06) -> None:
        """Draw one shape in a flat colour with a dark outline."""
        over(self.canvas, self.palette.line, self.pose.cover(distance - outline))
        over(self.canvas, colour, self.pose.cover(distance))

    def pair(self, radii: tuple[float, float], x: float, y: float, colour: Plane, *, tilt: float = 0.0) -> None:
        """Draw two mirrored ellipses, such as ears; ``tilt`` moves their tops outwards."""
        self.lay(d.ellipse(self.s - tilt * (y - self.v), self.v, radii, x, y), colour)

    def eyes(self, x: float, y: float, *, white: float = 0.0, size: float = 0.1) -> None:
        """Draw two eyes; ``white`` is the radius of the eyeball, 0 for dots."""
        if white:
            self.lay(d.disc(self.s, self.v, white, x, y), np.ones(3), outline=0.04)
        self.lay(d.disc(self.s, self.v, size, x, y), np.full(3, 0.06), outline=0.0)

    def mouth(self, y: float, width: float) -> None:
        """Draw a smile."""
        curve = np.abs(self.v - y + 0.5 * self.s**2 / width) - 0.03
        over(self.canvas, self.palette.line, self.pose.cover(np.maximum(curve, self.s - width)))


def _bear(f: Face) -> None:
    p = f.palette
    f.pair((0.3, 0.3), 0.62, -0.62, p.fur)
    f.pair((0.15, 0.15), 0.62, -0.62, p.pale)
    f.lay(d.ellipse(f.u, f.v, (0.85, 0.78)), p.fur)
    f.lay(d.ellipse(f.u, f.v, (0.38, 0.3), y=0.3), p.pale, outline=0.02)
    f.eyes(0.33, -0.15)
    f.lay(d.ellipse(f.u, f.v, (0.15, 0.1), y=0.18), p.line, outline=0)
    f.mouth(0.48, 0.22)


def _cat(f: Face) -> None:
    p = f.palette
    f.lay(d.polygon(f.s, f.v, [(0.2, -0.6), (0.75, -1.0), (0.85, -0.1)]), p.fur)
    f.lay(d.polygon(f.s, f.v, [(0.4, -0.6), (0.68, -0.82), (0.74, -0.35)]), p.accent, outline=0)
    f.lay(d.ellipse(f.u, f.v, (0.85, 0.7), y=0.08), p.fur)
    f.eyes(0.36, 0.0, white=0.18, size=0.1)
    f.lay(d.polygon(f.u, f.v, [(-0.1, 0.22), (0.1, 0.22), (0.0, 0.34)]), p.accent, outline=0.03)
    for y in (0.22, 0.38):
        over(f.canvas, p.line, f.pose.cover(d.segment(f.s, f.v, (0.3, 0.32), (1.0, y)) - 0.025))
    f.mouth(0.5, 0.2)


def _chick(f: Face) -> None:
    p = f.palette
    f.lay(
        np.minimum(d.segment(f.u, f.v, (0, -0.7), (-0.15, -1.0)), d.segment(f.u, f.v, (0, -0.7), (0.15, -1.0))) - 0.05,
        p.accent,
    )
    f.lay(d.disc(f.u, f.v, 0.8), p.fur)
    f.eyes(0.36, -0.15, size=0.12)
    f.lay(d.polygon(f.u, f.v, [(-0.28, 0.12), (0.0, -0.03), (0.28, 0.12), (0.0, 0.42)]), p.accent, outline=0.04)
    f.pair((0.13, 0.08), 0.55, 0.2, p.pale)


def _elephant(f: Face) -> None:
    p = f.palette
    f.pair((0.45, 0.6), 0.72, -0.1, p.fur * 0.85)
    f.pair((0.25, 0.4), 0.75, -0.1, p.pale)
    f.lay(d.ellipse(f.u, f.v, (0.55, 0.6), y=-0.15), p.fur)
    f.lay(d.polyline(f.u, f.v, [(0.0, 0.1), (0.02, 0.6), (0.12, 0.82), (0.35, 0.85)]) - 0.15, p.fur)
    f.eyes(0.25, -0.25, size=0.09)


def _frog(f: Face) -> None:
    p = f.palette
    f.pair((0.3, 0.3), 0.48, -0.52, p.fur)
    f.lay(d.ellipse(f.u, f.v, (0.95, 0.62), y=0.12), p.fur)
    f.eyes(0.48, -0.55, white=0.2, size=0.1)
    f.mouth(0.45, 0.65)
    f.pair((0.14, 0.08), 0.68, 0.2, p.accent)


def _lion(f: Face) -> None:
    p = f.palette
    mane = 0.88 + 0.1 * np.cos(12 * np.arctan2(f.v, f.u))
    f.lay(d.polar(f.u, f.v, mane), p.fur * 0.65)
    f.lay(d.disc(f.u, f.v, 0.6, y=0.05), p.fur)
    f.pair((0.15, 0.15), 0.42, -0.45, p.fur)
    f.eyes(0.24, -0.08, size=0.09)
    f.lay(d.polygon(f.u, f.v, [(-0.14, 0.12), (0.14, 0.12), (0.0, 0.28)]), p.line, outline=0)
    f.mouth(0.42, 0.24)


def _owl(f: Face) -> None:
    p = f.palette
    f.lay(d.polygon(f.s, f.v, [(0.2, -0.6), (0.72, -0.98), (0.78, -0.3)]), p.fur)
    f.lay(d.ellipse(f.u, f.v, (0.8, 0.85), y=0.05), p.fur)
    f.lay(d.ellipse(f.u, f.v, (0.5, 0.38), y=0.58), p.pale, outline=0)
    f.eyes(0.34, -0.15, white=0.33, size=0.15)
    f.lay(d.polygon(f.u, f.v, [(-0.12, 0.05), (0.12, 0.05), (0.0, 0.35)]), p.accent, outline=0.03)


def _monkey(f: Face) -> None:
    p = f.palette
    f.pair((0.24, 0.27), 0.74, -0.05, p.fur)
    f.pair((0.12, 0.15), 0.74, -0.05, p.pale)
    f.lay(d.ellipse(f.u, f.v, (0.72, 0.78)), p.fur)
    f.lay(
        np.minimum(d.disc(f.s, f.v, 0.32, 0.24, -0.18), d.ellipse(f.u, f.v, (0.52, 0.4), y=0.32)),
        p.pale,
        outline=0,
    )
    f.eyes(0.24, -0.16, size=0.09)
    f.lay(d.disc(f.s, f.v, 0.04, 0.07, 0.17), p.line, outline=0)
    f.mouth(0.5, 0.3)


def _pig(f: Face) -> None:
    p = f.palette
    f.lay(d.polygon(f.s, f.v, [(0.25, -0.6), (0.85, -0.85), (0.7, -0.2)]), p.fur)
    f.lay(d.ellipse(f.u, f.v, (0.85, 0.75), y=0.05), p.fur)
    f.lay(d.ellipse(f.u, f.v, (0.36, 0.26), y=0.22), p.pale)
    f.lay(d.ellipse(f.s, f.v, (0.07, 0.11), 0.14, 0.22), p.line, outline=0)
    f.eyes(0.38, -0.2)
    f.mouth(0.62, 0.2)


def _rabbit(f: Face) -> None:
    p = f.palette
    f.pair((0.17, 0.5), 0.3, -0.55, p.fur, tilt=0.25)
    f.pair((0.08, 0.36), 0.3, -0.52, p.accent, tilt=0.25)
    f.lay(d.ellipse(f.u, f.v, (0.62, 0.56), y=0.38), p.fur)
    f.eyes(0.25, 0.28, size=0.09)
    f.lay(d.ellipse(f.u, f.v, (0.09, 0.06), y=0.46), p.accent, outline=0.03)
    f.lay(d.box(f.u, f.v, (0.1, 0.11), y=0.72), np.ones(3), outline=0.04)


ANIMALS: dict[str, Callable[[Face], None]] = {
    "bear": _bear,
    "cat": _cat,
    "chick": _chick,
    "elephant": _elephant,
    "frog": _frog,
    "lion": _lion,
    "monkey": _monkey,
    "owl": _owl,
    "pig": _pig,
    "rabbit": _rabbit,
}

CARTOONS = SetPlan("cartoons", tuple(ANIMALS), (26, 8, 18))


def draw_cartoon(kind: str, rng: np.random.Generator) -> tuple[Plane, Factors]:
    """Draw the face of the animal ``kind`` in random flat colours on a poster."""
    pose, palette = any_pose(rng, size=(0.5, 0.82), turn=0.5, stray=1.0), Palette(rng)
    canvas = _poster(rng)
    ANIMALS[kind](Face(canvas, pose, palette))
    canvas, light = photographed(canvas, rng, grain=0.03)
    return canvas, {**pose.factors(), **light}


def _poster(rng: np.random.Generator) -> Plane:
    """Draw sun rays, bands or confetti in two flat colours."""
    low, high = any_colour(rng), any_colour(rng)
    u, v = any_pose(rng, size=(0.5, 1.5), stray=1.0).local()
    match int(rng.integers(3)):
        case 0:
            canvas = mixed(low, high, np.clip(0.5 + 4 * np.hypot(u, v) * np.sin(8 * np.arctan2(v, u)), 0, 1))
        case 1:
            canvas = mixed(low, high, np.clip(0.5 + 6 * np.sin(rng.uniform(3, 9) * u), 0, 1))
        case _:
            canvas = blank(low)
    for _ in range(int(rng.integers(3, 9))):
        x, y, radius = *rng.uniform(0, 1, 2), rng.uniform(0.02, 0.12)
        over(canvas, any_colour(rng), coverage(d.disc(X, Y, radius, x, y)))
    return canvas


def render_cartoons() -> Iterator[Picture]:
    """Draw ``mini/cartoons``."""
    return drawn(CARTOONS, draw_cartoon)
