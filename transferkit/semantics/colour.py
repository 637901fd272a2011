"""Low level: brightness and colour, independent of the positions of pixels."""

import math

import numpy as np
from numpy.typing import NDArray

from .circle import direction
from .scene import Scene
from .target import target

_HASLER = "Hasler & Süsstrunk, Measuring colourfulness in natural images, SPIE 2003"
BINS = 4
"""Number of bins of the colour histogram per channel."""


@target("low", meaning="mean luma, 0 … 1", source="ITU-R BT.709 weights on the stored values")
def luminance(scene: Scene) -> float:
    """Compute the mean brightness."""
    return float(scene.gray.mean())


@target(
    "low",
    meaning="standard deviation of the luma, 0 … 0.5; 0 for a constant image",
    source="Peli, Contrast in complex images, JOSA A 1990",
)
def rms_contrast(scene: Scene) -> float:
    """Compute the standard deviation of the brightness."""
    return float(scene.gray.std())


@target("low", meaning="spread and mean of the opponent colours, 0 (gray) … about 180", source=_HASLER)
def colourfulness(scene: Scene) -> float:
    """Compute ``√(σ²_rg + σ²_yb) + 0.3 √(μ²_rg + μ²_yb)`` for ``rg = R − G``, ``yb = (R + G)/2 − B`` in 0 … 255."""
    red, green, blue = scene.square.astype(np.float32)
    red_green, yellow_blue = red - green, (red + green) / 2 - blue
    spread = math.hypot(_std(red_green), _std(yellow_blue))
    return spread + 0.3 * math.hypot(_mean(red_green), _mean(yellow_blue))


@target(
    "low",
    k=2,
    period=1.0,
    meaning="direction of the mean hue, weighted by saturation: red (1, 0), then yellow, green, blue "
    "counter-clockwise; (0, 0) for a gray image, or where hues cancel",
    source="mean direction of circular data; hue in the plane of (R − (G + B)/2, √3/2 · (G − B))",
)
def hue(scene: Scene) -> NDArray[np.float32]:
    """Compute the dominant hue."""
    return mean_hue(scene.square)


@target(
    "low",
    meaning="mean saturation of HSV, 0 (gray) … 1; a black pixel has 0",
    source="Smith, Color gamut transform pairs, SIGGRAPH 1978",
)
def saturation(scene: Scene) -> float:
    """Compute the mean saturation."""
    return _mean(_saturation(scene.square))


@target(
    "low",
    k=BINS**3,
    meaning="fraction of pixels in each of 4 × 4 × 4 equal boxes of RGB, red slowest; sums to 1",
    source="Swain & Ballard, Color indexing, IJCV 1991",
)
def colour_histogram(scene: Scene) -> NDArray[np.float64]:
    """Compute the histogram of colours."""
    red, green, blue = scene.square // (256 // BINS)
    boxes = (red * BINS + green) * BINS + blue
    return np.bincount(boxes.ravel(), minlength=BINS**3) / boxes.size


def mean_hue(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Compute the mean direction of hues ``[2]``, weighted by saturation; (0, 0) if there is none.

    This hue equals that of HSV at its six corners and within 1.2° of it between them.

    Args:
        pixels: ``[3, …]`` uint8 RGB.
    """
    red, green, blue = pixels.astype(np.float32)
    x, y = red - (green + blue) / 2, math.sqrt(3) / 2 * (green - blue)
    weight = _saturation(pixels)
    scale = weight / np.maximum(np.sqrt(x * x + y * y), 1e-6)
    return direction(float(np.vdot(scale, x)), float(np.vdot(scale, y)), float(weight.sum()))


def _saturation(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Compute ``(max − min) / max`` of each pixel, from ``[3, …]`` to ``[…]``."""
    red, green, blue = pixels
    highest = np.maximum(np.maximum(red, green), blue)
    chroma = highest - np.minimum(np.minimum(red, green), blue)
    return chroma.astype(np.float32) / np.maximum(highest, 1)


def _mean(plane: NDArray) -> float:
    return float(plane.mean())


def _std(plane: NDArray) -> float:
    return float(plane.std())
