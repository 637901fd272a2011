"""``mini/digits``: redrawn handwritten digits of scikit-learn. ``mini/glyphs``: an invented alphabet."""

import math
from collections.abc import Iterator
from functools import cache

import numpy as np
from numpy.typing import NDArray

from . import distances as d
from .canvas import (
    SIZE,
    Factors,
    Plane,
    any_pose,
    coverage,
    fractal_noise,
    ink_and_paper,
    mixed,
    over,
    photographed,
    quantised,
    smooth_noise,
)
from .rendered import Picture, SetPlan, drawn

DIGITS = SetPlan("digits", tuple("0123456789"), (28, 9, 19))


def _page(paper: Plane, ink: Plane, rng: np.random.Generator) -> Plane:
    """Draw paper with stains, and with faint strokes in a colour between paper and ink."""
    canvas = mixed(paper, paper * rng.uniform(0.6, 1.3), np.clip(2 * fractal_noise(rng, 3) - 0.5, 0, 1))
    for _ in range(rng.integers(0, 3)):
        u, v = any_pose(rng, size=(0.3, 0.9), stray=1.0).local()
        stroke = np.abs(d.disc(u, v, rng.uniform(0.5, 1.2), rng.uniform(-1, 1), 0.0)) - rng.uniform(0.03, 0.1)
        over(canvas, paper + rng.uniform(0.1, 0.35) * (ink - paper), coverage(stroke * 0.3, softness=2))
    return canvas


@cache
def _handwriting() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Load the digits of scikit-learn: images ``[1797, 8, 8]`` in 0 … 1, and labels."""
    from sklearn.datasets import load_digits

    data = load_digits()
    return data.images / 16.0, data.target


def _sampled(image: Plane, u: Plane, v: Plane) -> Plane:
    """Interpolate the 8x8 ``image`` bilinearly at coordinates in -1 … 1; it is 0 outside."""
    padded = np.pad(image, 2)
    x, y = np.clip((u + 1) * 4 + 1.5, 0, 10.999), np.clip((v + 1) * 4 + 1.5, 0, 10.999)
    j, i = np.floor(x).astype(int), np.floor(y).astype(int)
    s, t = x - j, y - i
    top = padded[i, j] * (1 - s) + padded[i, j + 1] * s
    return top * (1 - t) + (padded[i + 1, j] * (1 - s) + padded[i + 1, j + 1] * s) * t


def render_digits() -> Iterator[Picture]:
    """Draw ``mini/digits``; each image uses a different digit, and ``sample`` is its row in scikit-learn."""
    images, target = _handwriting()
    rows = {kind: iter(np.flatnonzero(target == int(kind)).tolist()) for kind in DIGITS.classes}
    for split, kind, number in DIGITS.rows():
        sample = next(rows[kind])
        canvas, factors = _inked(images[sample], DIGITS.rng(split, kind, number))
        yield quantised(canvas), {**factors, "sample": sample}


def _inked(image: Plane, rng: np.random.Generator) -> tuple[Plane, Factors]:
    """Draw a digit of 8x8 pixels as a stroke of dark ink on paper."""
    pose = any_pose(rng, size=(0.68, 0.95), turn=0.15, stray=1.0)
    ink, paper = sorted(ink_and_paper(rng, contrast=0.45)[:2], key=np.max)
    canvas = _page(paper, ink, rng)
    u, v = pose.local()
    shear = rng.uniform(-0.15, 0.15)
    level = _sampled(image, (u + shear * v) / rng.uniform(0.8, 1.0), v)
    over(canvas, ink, np.clip((level - rng.uniform(0.35, 0.55)) * 4 + 0.5, 0, 1))
    canvas, light = photographed(canvas, rng, grain=0.05)
    return canvas, {**pose.factors(), "shear": shear, **light}


GLYPHS = SetPlan(
    "glyphs",
    (
        "aro",
        "bel",
        "cun",
        "dri",
        "esh",
        "fen",
        "gar",
        "hul",
        "ixa",
        "jol",
        "kem",
        "lup",
        "mir",
        "nod",
        "oth",
        "pyr",
    ),
    (18, 6, 13),
)


@cache
def skeleton(kind: str) -> NDArray[np.float64]:
    """Make the strokes of the letter ``kind``: curves ``[s, 3, 2]`` over a 3x3 lattice in -1 … 1."""
    rng = GLYPHS.rng("skeleton", kind)
    strokes = []
    start = rng.integers(-1, 2, 2)
    for _ in range(int(rng.integers(3, 5))):
        stop = rng.integers(-1, 2, 2)
        while (stop == start).all():
            stop = rng.integers(-1, 2, 2)
        strokes.append(np.stack([start, (start + stop) / 2 + rng.choice([-0.6, 0.0, 0.6], 2), stop]))
        start = stop if rng.random() < 0.6 else rng.integers(-1, 2, 2)
    return np.stack(strokes) * 0.72


def draw_glyph(kind: str, rng: np.random.Generator) -> tuple[Plane, Factors]:
    """Draw the letter ``kind`` in an individual handwriting."""
    pose = any_pose(rng, size=(0.65, 0.95), turn=0.25, stray=1.0)
    ink, paper, lighter = ink_and_paper(rng, contrast=0.45)
    canvas, width = _page(paper, ink, rng), rng.uniform(0.05, 0.13)
    u, v = pose.local()
    u, v = u + 0.2 * (smooth_noise(rng, 3) - 0.5), v + 0.2 * (smooth_noise(rng, 3) - 0.5)
    u = (u + rng.uniform(-0.25, 0.25) * v) / rng.uniform(0.8, 1.0)
    t = np.linspace(0, 1, 6)[:, None]
    distance = np.full((SIZE, SIZE), math.inf)
    for a, b, c in skeleton(kind):
        a, b, c = (point + rng.normal(0, 0.07, 2) for point in (a, b, c))
        curve = (1 - t) ** 2 * a + 2 * t * (1 - t) * b + t**2 * c
        distance = np.minimum(distance, d.polyline(u, v, [(x, y) for x, y in curve.tolist()]))
    over(canvas, ink, pose.cover(distance - width))
    canvas, light = photographed(canvas, rng, grain=0.05)
    return canvas, {**pose.factors(), "stroke_width": width, "ink_is_lighter": lighter, **light}


def render_glyphs() -> Iterator[Picture]:
    """Draw ``mini/glyphs``."""
    return drawn(GLYPHS, draw_glyph)
