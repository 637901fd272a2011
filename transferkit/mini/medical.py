"""``mini/tissue``: patches of a stained section and a fundus photograph. ``mini/cells``: drawn microscopy."""

import math
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from . import distances as d
from .canvas import (
    Factors,
    Plane,
    Pose,
    X,
    Y,
    any_pose,
    blank,
    coverage,
    fractal_noise,
    hsv,
    over,
    photographed,
    smooth_noise,
)
from .patches import Area, Cut, cut, toned
from .rendered import Picture, SetPlan, drawn

_SECTION = (Area("ihc", (0, 0, 512, 512), (10, 10)),)
_FUNDUS = (Area("retina", (0, 0, 1410, 1410), (12, 12)),)

REGIONS: dict[str, tuple[Area, ...]] = {
    "fundus-fine": _FUNDUS,
    "fundus-rim": _FUNDUS,
    "fundus-vessels": _FUNDUS,
    "section-epithelium": _SECTION,
    "section-matrix": _SECTION,
    "section-nuclei": _SECTION,
}

TISSUE = SetPlan("tissue", tuple(REGIONS), (42, 14, 28))


def shows_region(kind: str, patch: NDArray[np.uint8]) -> bool:
    """Return whether a patch shows the region ``kind``, by the fractions of its stains.

    In the section, brown (DAB) marks the epithelium of glands, blue (haematoxylin) marks the nuclei between them, and
    the rest is pale. In the fundus, the rim is the edge of the black mask, and larger vessels are darker than their
    surroundings in the green channel; other patches show only fine vessels.
    """
    red, green, blue = (patch[..., k].astype(np.int16) for k in range(3))
    if kind == "section-epithelium":
        return float((red > blue + 25).mean()) > 0.7  # brown
    if kind.startswith("section"):
        white = float((np.minimum(green, blue) > 205).mean())
        return white > 0.5 if kind == "section-matrix" else white < 0.5 and (blue > red + 5).mean() > 0.12
    black = float((red < 40).mean())
    if kind == "fundus-rim":
        return 0.1 < black < 0.7
    if black >= 0.01:
        return False
    dark = float((green < np.median(green) - 14).mean())
    return dark > 0.10 if kind == "fundus-vessels" else dark < 0.01


def _stained(canvas: Plane, rng: np.random.Generator) -> Plane:
    """Give a patch a random stain and brightness, so that the colour does not reveal the region."""
    tone = hsv(rng.uniform(0.55, 1.1), rng.uniform(0.1, 0.6), rng.uniform(0.4, 0.9))
    return photographed(toned(canvas, rng, tone=tone, contrast=(0.1, 0.22)), rng)[0]


def render_tissue() -> Iterator[Picture]:
    """Cut ``mini/tissue``."""
    return cut(TISSUE, Cut(REGIONS, _stained, accepts=shows_region))


class Stain:
    """Colours of one slide: plasma, nucleus and background, dark on light or fluorescent on dark."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.glowing = int(rng.random() < 0.35)
        hue = rng.uniform(0.55, 1.05)
        light, middle, dark = rng.uniform(0.78, 0.95), rng.uniform(0.55, 0.78), rng.uniform(0.25, 0.45)
        values = (dark * 0.3, middle * 0.7, light) if self.glowing else (light, middle, dark)
        self.ground = hsv(hue + 0.1, rng.uniform(0.02, 0.15), values[0])
        self.plasma = hsv(hue + rng.uniform(-0.1, 0.1), rng.uniform(0.2, 0.55), values[1])
        self.nucleus = hsv(hue + rng.uniform(-0.15, 0.05), rng.uniform(0.35, 0.75), values[2])


Cell = Callable[[Plane, Pose, Stain, np.random.Generator], None]


def _body(canvas: Plane, pose: Pose, colour: Plane, distance: Plane) -> None:
    """Draw the cytoplasm with a darker membrane."""
    over(canvas, colour, 0.85 * pose.cover(distance))
    over(canvas, colour * 0.75, 0.7 * pose.cover(np.abs(distance) - 0.06))


def _wobbly(u: Plane, v: Plane, rng: np.random.Generator, *, radius: float, wobble: float) -> Plane:
    angle, phases = np.arctan2(v, u), rng.uniform(0, math.tau, 3)
    ripple = sum(np.sin((k + 2) * angle + phases[k]) / (k + 1) for k in range(3))
    return d.polar(u, v, radius * (1 + wobble * np.asarray(ripple)))


def _nuclei(canvas: Plane, pose: Pose, stain: Stain, places: list[tuple[float, float, float]]) -> None:
    u, v = pose.local()
    lobes = np.minimum.reduce([d.disc(u, v, radius, x, y) for x, y, radius in places])
    over(canvas, stain.nucleus, 0.95 * pose.cover(lobes))
    over(canvas, stain.nucleus * 0.8, 0.5 * pose.cover(lobes + 0.15))


def _erythrocyte(canvas: Plane, pose: Pose, stain: Stain, rng: np.random.Generator) -> None:
    u, v = pose.local()
    _body(canvas, pose, stain.plasma, _wobbly(u, v, rng, radius=0.85, wobble=0.03))
    pallor = stain.plasma + 0.7 * (stain.ground - stain.plasma)
    over(canvas, pallor, coverage(d.disc(u, v, 0.38) * pose.size / 2, softness=5))


def _sickle(canvas: Plane, pose: Pose, stain: Stain, rng: np.random.Generator) -> None:
    u, v = pose.local()
    bite = rng.uniform(0.5, 0.62)
    _body(canvas, pose, stain.plasma, np.maximum(d.disc(u, v, 0.98), -d.disc(u, v, 1.05, x=bite)))


def _lymphocyte(canvas: Plane, pose: Pose, stain: Stain, rng: np.random.Generator) -> None:
    u, v = pose.local()
    _body(canvas, pose, stain.plasma, _wobbly(u, v, rng, radius=0.9, wobble=0.03))
    _nuclei(canvas, pose, stain, [(rng.uniform(-0.1, 0.15), rng.uniform(-0.1, 0.1), rng.uniform(0.62, 0.74))])


def _neutrophil(canvas: Plane, pose: Pose, stain: Stain, rng: np.random.Generator) -> None:
    u, v = pose.local()
    _body(canvas, pose, stain.plasma, _wobbly(u, v, rng, radius=0.95, wobble=0.04))
    start, lobes = rng.uniform(0, math.tau), int(rng.integers(3, 6))
    turns = [start + 1.15 * k for k in range(lobes)]
    _nuclei(canvas, pose, stain, [(0.45 * math.cos(a), 0.45 * math.sin(a), rng.uniform(0.22, 0.3)) for a in turns])


def _eosinophil(canvas: Plane, pose: Pose, stain: Stain, rng: np.random.Generator) -> None:
    u, v = pose.local()
    cell = _wobbly(u, v, rng, radius=0.95, wobble=0.04)
    _body(canvas, pose, stain.plasma, cell)
    grains = np.clip(4 * np.sin(17 * u + 3 * smooth_noise(rng, 5)) * np.sin(17 * v + 3 * smooth_noise(rng, 5)), 0, 1)
    over(canvas, 0.5 * (stain.plasma + stain.nucleus), 0.9 * grains * pose.cover(cell + 0.08))
    _nuclei(canvas, pose, stain, [(-0.36, 0.1, rng.uniform(0.3, 0.38)), (0.36, 0.1, rng.uniform(0.3, 0.38))])


def _platelets(canvas: Plane, pose: Pose, stain: Stain, rng: np.random.Generator) -> None:
    for _ in range(int(rng.integers(5, 9))):
        x, y = rng.normal(0, 0.3, 2) * pose.size
        small = Pose(pose.x + x, pose.y + y, pose.size * rng.uniform(0.18, 0.3))
        u, v = small.local()
        _body(canvas, small, stain.plasma, _wobbly(u, v, rng, radius=0.8, wobble=0.15))
        over(canvas, stain.nucleus, 0.6 * small.cover(d.disc(u, v, 0.35)))


def _neuron(canvas: Plane, pose: Pose, stain: Stain, rng: np.random.Generator) -> None:
    u, v = pose.local()
    soma = d.disc(u, v, 0.34)
    for k in range(int(rng.integers(4, 7))):
        a = k * 1.2 + rng.uniform(-0.3, 0.3)
        b, reach = a + rng.uniform(-0.5, 0.5), rng.uniform(0.8, 1.15)
        knee, end = (0.6 * math.cos(a), 0.6 * math.sin(a)), (reach * math.cos(b), reach * math.sin(b))
        soma = np.minimum(soma, d.polyline(u, v, [(0.0, 0.0), knee, end]) - 0.13 + 0.09 * np.hypot(u, v))
    _body(canvas, pose, stain.plasma, soma)
    _nuclei(canvas, pose, stain, [(0.0, 0.0, 0.18)])


def _yeast(canvas: Plane, pose: Pose, stain: Stain, rng: np.random.Generator) -> None:
    u, v = pose.local()
    bud = d.ellipse(u, v, (rng.uniform(0.28, 0.42), 0.3), x=0.62)
    _body(canvas, pose, stain.plasma, np.minimum(d.ellipse(u, v, (0.62, 0.52), x=-0.25), bud))
    over(canvas, stain.ground, 0.6 * pose.cover(d.disc(u, v, 0.22, x=-0.15, y=0.15)))
    _nuclei(canvas, pose, stain, [(-0.42, -0.1, 0.15)])


def _bacilli(canvas: Plane, pose: Pose, stain: Stain, rng: np.random.Generator) -> None:
    u, v = pose.local()
    for _ in range(int(rng.integers(5, 9))):
        (x, y), a, half = rng.uniform(-0.8, 0.8, 2), rng.uniform(0, math.pi), rng.uniform(0.22, 0.36)
        dx, dy = half * math.cos(a), half * math.sin(a)
        rod = d.segment(u, v, (x - dx, y - dy), (x + dx, y + dy)) - rng.uniform(0.08, 0.11)
        over(canvas, stain.nucleus, 0.85 * pose.cover(rod))


def _streptococci(canvas: Plane, pose: Pose, stain: Stain, rng: np.random.Generator) -> None:
    u, v = pose.local()
    for start in rng.uniform(-0.9, 0.1, (2, 2)):
        x, y = start
        heading, radius = rng.uniform(-0.4, 1.2), rng.uniform(0.11, 0.14)
        for _ in range(int(rng.integers(6, 10))):
            over(canvas, stain.nucleus, 0.85 * pose.cover(d.disc(u, v, radius, x, y)))
            heading += rng.uniform(-0.5, 0.5)
            x, y = x + 1.8 * radius * math.cos(heading), y + 1.8 * radius * math.sin(heading)


TYPES: dict[str, Cell] = {
    "bacilli": _bacilli,
    "eosinophil": _eosinophil,
    "erythrocyte": _erythrocyte,
    "lymphocyte": _lymphocyte,
    "neuron": _neuron,
    "neutrophil": _neutrophil,
    "platelets": _platelets,
    "sickle": _sickle,
    "streptococci": _streptococci,
    "yeast": _yeast,
}

CELLS = SetPlan("cells", tuple(TYPES), (26, 8, 18))


def draw_cell(kind: str, rng: np.random.Generator) -> tuple[Plane, Factors]:
    """Draw a stained cell of the type ``kind``, faded and among debris; with ``fading`` 1 it would be invisible."""
    stain, pose, fading = Stain(rng), any_pose(rng, size=(0.34, 0.75), stray=1.0), rng.uniform(0.0, 0.45)
    canvas = blank(stain.ground)
    canvas += 0.12 * (fractal_noise(rng, 4) - 0.5)[..., None]
    for _ in range(int(rng.integers(4, 10))):
        x, y, radius = *rng.uniform(0, 1, 2), rng.uniform(0.02, 0.16)
        ghost = coverage(d.disc(X, Y, radius, x, y), softness=rng.uniform(1.5, 10))
        over(canvas, stain.plasma, rng.uniform(0.15, 0.8) * ghost)
    TYPES[kind](canvas, pose, stain, rng)
    canvas += fading * (stain.ground - canvas)
    texture = 1 + 0.3 * (fractal_noise(rng, 16, octaves=2) - 0.5)
    canvas, light = photographed(canvas * texture[..., None], rng, grain=0.1)
    return canvas, {**pose.factors(), "glowing": stain.glowing, "fading": fading, **light}


def render_cells() -> Iterator[Picture]:
    """Draw ``mini/cells``."""
    return drawn(CELLS, draw_cell)
