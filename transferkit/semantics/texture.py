"""Mid level: texture, coarse layout of edges, and symmetry."""

import numpy as np
from numpy.typing import NDArray
from skimage import feature

from .scene import ORIENTATIONS, Scene
from .target import target

LEVELS = 16
ANGLES = (0.0, np.pi / 4, np.pi / 2, 3 * np.pi / 4)
_ROW, _COLUMN = np.mgrid[0:LEVELS, 0:LEVELS]

RING = ((0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1))
"""Neighbours of a pixel in circular order, as (down, right) offsets."""


def _pattern(code: int) -> int:
    """Return the number of ones among eight bits, 0 … 8, if they form one run around the ring; else 9."""
    changes = code ^ (code >> 1 | (code & 1) << 7)
    return code.bit_count() if changes.bit_count() <= 2 else 9


_PATTERN_OF_CODE = np.array([_pattern(code) for code in range(256)])


@target(
    "mid",
    k=10,
    meaning="fraction of pixels with each uniform pattern of 8 neighbours: 0 … 8 in a row as bright as "
    "the centre, then all other patterns; sums to 1, all in the ninth for a constant image",
    source="Ojala et al., Multiresolution gray-scale and rotation invariant texture classification, PAMI "
    "2002, on the 3 × 3 square of Ojala et al., A comparative study of texture measures, 1996",
)
def lbp(scene: Scene) -> NDArray[np.float64]:
    """Compute the histogram of local patterns, which is invariant to rotation and brightness."""
    g = scene.levels
    side = len(g)
    codes = np.zeros((side - 2, side - 2), np.uint8)
    for bit, (down, right) in enumerate(RING):
        neighbour = g[1 + down : side - 1 + down, 1 + right : side - 1 + right]
        codes |= (neighbour >= g[1:-1, 1:-1]).view(np.uint8) << bit
    counts = np.bincount(codes.ravel(), minlength=256)
    return np.bincount(_PATTERN_OF_CODE, counts, minlength=10) / codes.size


@target(
    "mid",
    k=4,
    meaning="contrast, homogeneity, energy and correlation of neighbouring pixels in 16 levels, all four "
    "directions taken together; 0, 1, 1, 1 for a constant image",
    source="Haralick et al., Textural features for image classification, SMC 1973; skimage.feature.graycomatrix",
)
def cooccurrence(scene: Scene) -> NDArray[np.float64]:
    """Compute Haralick's features of the co-occurrence matrix."""
    coarse = scene.levels // (256 // LEVELS)
    matrix = feature.graycomatrix(coarse, [1], ANGLES, levels=LEVELS, symmetric=True, normed=True)
    p = matrix.mean(axis=(2, 3))  # [16, 16], symmetric, sums to 1
    apart = p * (_ROW - _COLUMN) ** 2
    homogeneity = (p / (1 + (_ROW - _COLUMN) ** 2)).sum()
    variance = float((p * _ROW**2).sum() - (p * _ROW).sum() ** 2)
    correlation = 1 - apart.sum() / 2 / variance if variance > 1e-9 else 1.0
    return np.array([apart.sum(), homogeneity, np.sqrt((p * p).sum()), correlation])


@target(
    "mid",
    k=4 * ORIENTATIONS,
    meaning="the orientation histogram of each quarter of the image, 2 × 2 × 8 in reading order, each "
    "quarter of length 1; 0 for a constant quarter",
    source="Dalal & Triggs, Histograms of oriented gradients for human detection, CVPR 2005",
)
def hog_summary(scene: Scene) -> NDArray[np.float32]:
    """Compute normalised orientation histograms of the quarters."""
    quarters = scene.orientations
    return (quarters / np.maximum(np.linalg.norm(quarters, axis=1, keepdims=True), 1e-6)).ravel()


@target(
    "mid",
    meaning="correlation of the luma with its left-right mirror image, −1 … 1; 1 for a constant image",
    source="Pearson's coefficient",
)
def symmetry(scene: Scene) -> float:
    """Compute the correlation of the left and the right half."""
    plane = scene.reduced - scene.reduced.mean(dtype=np.float64)
    variance = float((plane * plane).sum())
    if variance < 1e-9 * plane.size:
        return 1.0
    return float((plane * plane[:, ::-1]).sum() / variance)
