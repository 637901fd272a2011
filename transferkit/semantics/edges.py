"""Low and mid level: edges, which way they run, how they bend, where they meet."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.morphology import skeletonize

from .circle import direction
from .scene import ORIENTATIONS, Scene, smoothed
from .target import target
from .texture import RING

CORNER_GRADIENT = 0.04
"""A corner's luma changes by this much a pixel, root mean square, in every direction."""

CORNER_RATIO = 0.25
"""The tensor's smaller eigenvalue at a corner, over the larger; at a curved or jagged edge it is less."""

_EIGHT = np.ones((3, 3), bool)


@target(
    "low",
    meaning="share of pixels on an edge, 0 … 1; 0 for a constant image",
    source="Canny, A computational approach to edge detection, PAMI 1986; skimage.feature.canny",
)
def edge_density(scene: Scene) -> float:
    """How much of the image is outline."""
    return float(scene.edges.mean())


@target(
    "low",
    k=2,
    period=0.5,
    meaning="(cos 2θ, sin 2θ) for the angle θ along which edges run, counter-clockwise from the horizontal; "
    "(0, 0) where none prevails",
    source="Bigün & Granlund, Optimal orientation detection of linear symmetry, ICCV 1987",
)
def orientation(scene: Scene) -> NDArray[np.float32]:
    """Which way the image runs: the principal axis of its structure tensor, weighted by gradient energy."""
    xx, xy, yy = (float(product.sum(dtype=np.float64)) for product in scene.products)
    return direction(yy - xx, 2 * xy, xx + yy)


@target(
    "low",
    k=ORIENTATIONS,
    meaning="share of the gradient's magnitude in each of 8 orientations of the edge, 0°, 22.5°, … "
    "counter-clockwise; sums to 1, all 0 for a constant image",
    source="Freeman & Roth, Orientation histograms for hand gesture recognition, 1995",
)
def orientation_histogram(scene: Scene) -> NDArray[np.float32]:
    """Which ways edges run."""
    weights = scene.orientations.sum(0)
    return weights / max(weights.sum(), 1e-6)


@target(
    "mid",
    meaning="mean absolute curvature of the edges, in 1 / side: 1 / r for a disc of radius r sides; 0 without edges",
    source="isophote curvature, van Vliet & Verbeek, Estimators for orientation and anisotropy, 1995",
)
def curvature(scene: Scene) -> float:
    """How strongly outlines bend: ``|L_xx L_y² − 2 L_xy L_x L_y + L_yy L_x²| / |∇L|³``, at most 1 / pixel."""
    rows, columns = np.nonzero(scene.edges[2:-2, 2:-2])
    if not len(rows):
        return 0.0
    blurred = np.pad(smoothed(scene.reduced, 2.0), 1, mode="edge")
    v = {(i, j): blurred[rows + 3 + i, columns + 3 + j].astype(np.float64) for i in (-1, 0, 1) for j in (-1, 0, 1)}
    x, y = (v[0, 1] - v[0, -1]) / 2, (v[1, 0] - v[-1, 0]) / 2
    xx, yy = v[0, 1] - 2 * v[0, 0] + v[0, -1], v[1, 0] - 2 * v[0, 0] + v[-1, 0]
    xy = (v[1, 1] - v[1, -1] - v[-1, 1] + v[-1, -1]) / 4
    bend = np.abs(xx * y * y - 2 * xy * x * y + yy * x * x) / np.maximum((x * x + y * y) ** 1.5, 1e-9)
    return float(bend.clip(max=1.0).mean() * len(scene.reduced))


@target(
    "mid",
    meaning="corners for each 1000 pixels; 0 for a constant image",
    source="Shi & Tomasi, Good features to track, CVPR 1994: the tensor's smaller eigenvalue",
)
def corner_density(scene: Scene) -> float:
    """How many places have edges in more than one direction: maxima within 5 × 5 pixels."""
    xx, xy, yy = smoothed(scene.products, 1.0)
    apart = np.sqrt((xx - yy) ** 2 + 4 * xy * xy)
    smaller, larger = (xx + yy - apart) / 2, (xx + yy + apart) / 2
    corners = (smaller > CORNER_GRADIENT**2) & (smaller > CORNER_RATIO * larger)
    corners &= smaller >= ndimage.maximum_filter(smaller, 5, mode="constant") * (1 - 1e-4)
    return _for_each_thousand(corners, scene)


@target(
    "mid",
    meaning="places where three or more edges meet, for each 1000 pixels; 0 for a constant image",
    source="crossing number of the edge skeleton; skimage.morphology.skeletonize",
)
def junction_density(scene: Scene) -> float:
    """How often outlines meet. Edges are thickened first, since Canny's stop short of a junction."""
    if not scene.edges.any():
        return 0.0
    thick = ndimage.binary_dilation(scene.edges, _EIGHT)
    skeleton = np.pad(skeletonize(thick), 1)
    inner = slice(1, -1)
    around = np.stack([np.roll(skeleton, step, (0, 1))[inner, inner] for step in RING])  # [8, w, w]
    branches = (around & ~np.roll(around, 1, axis=0)).sum(0)
    return _for_each_thousand(skeleton[inner, inner] & (branches >= 3), scene)


def _for_each_thousand(found: NDArray[np.bool_], scene: Scene) -> float:
    """Groups of touching pixels for each 1000 pixels of the reduced image."""
    return 1000 * ndimage.label(found, _EIGHT)[1] / scene.reduced.size
