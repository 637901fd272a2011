"""Low and mid level: density, orientation and curvature of edges, corners and junctions."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.morphology import skeletonize

from .circle import direction
from .scene import ORIENTATIONS, Scene, smoothed
from .target import target
from .texture import RING

CORNER_GRADIENT = 0.04
"""Minimum change of the luma per pixel, root mean square, in every direction at a corner."""

CORNER_RATIO = 0.25
"""Minimum ratio of the tensor's eigenvalues at a corner; it is smaller at a curved or jagged edge."""

_EIGHT = np.ones((3, 3), bool)


@target(
    "low",
    meaning="fraction of pixels on an edge, 0 … 1; 0 for a constant image",
    source="Canny, A computational approach to edge detection, PAMI 1986; skimage.feature.canny",
)
def edge_density(scene: Scene) -> float:
    """Compute the fraction of edge pixels."""
    return float(scene.edges.mean())


@target(
    "low",
    k=2,
    period=0.5,
    meaning="(cos 2θ, sin 2θ) for the angle θ along which edges run, counter-clockwise from the horizontal; "
    "(0, 0) if there is no dominant one",
    source="Bigün & Granlund, Optimal orientation detection of linear symmetry, ICCV 1987",
)
def orientation(scene: Scene) -> NDArray[np.float32]:
    """Compute the principal axis of the structure tensor, weighted by gradient energy."""
    xx, xy, yy = (float(product.sum(dtype=np.float64)) for product in scene.products)
    return direction(yy - xx, 2 * xy, xx + yy)


@target(
    "low",
    k=ORIENTATIONS,
    meaning="fraction of the gradient's magnitude in each of 8 orientations of the edge, 0°, 22.5°, … "
    "counter-clockwise; sums to 1, all 0 for a constant image",
    source="Freeman & Roth, Orientation histograms for hand gesture recognition, 1995",
)
def orientation_histogram(scene: Scene) -> NDArray[np.float32]:
    """Compute the histogram of edge orientations."""
    weights = scene.orientations.sum(0)
    return weights / max(weights.sum(), 1e-6)


@target(
    "mid",
    meaning="mean absolute curvature of the edges, in 1 / side: 1 / r for a disc of radius r sides; 0 without edges",
    source="isophote curvature, van Vliet & Verbeek, Estimators for orientation and anisotropy, 1995",
)
def curvature(scene: Scene) -> float:
    """Compute the mean of ``|L_xx L_y² − 2 L_xy L_x L_y + L_yy L_x²| / |∇L|³``, at most 1 / pixel."""
    rows, columns = np.nonzero(scene.edges[2:-2, 2:-2])
    if not len(rows):
        return 0.0
    blurred = np.pad(smoothed(scene.reduced, 2.0), 1, mode="edge")
    v = {(i, j): blurred[rows + 3 + i, columns + 3 + j].astype(np.float64) for i in (-1, 0, 1) for j in (-1, 0, 1)}
    x, y = (v[0, 1] - v[0, -1]) / 2, (v[1, 0] - v[-1, 0]) / 2
    xx, yy = v[0, 1] - 2 * v[0, 0] + v[0, -1], v[1, 0] - 2 * v[0, 0] + v[-1, 0]
    xy = (v[1, 1] - v[1, -1] - v[-1, 1] + v[-1, -1]) / 4
    values = np.abs(xx * y * y - 2 * xy * x * y + yy * x * x) / np.maximum((x * x + y * y) ** 1.5, 1e-9)
    return float(values.clip(max=1.0).mean() * len(scene.reduced))


@target(
    "mid",
    meaning="corners per 1000 pixels; 0 for a constant image",
    source="Shi & Tomasi, Good features to track, CVPR 1994: the tensor's smaller eigenvalue",
)
def corner_density(scene: Scene) -> float:
    """Count corners, points with edges in more than one direction, as maxima within 5 × 5 pixels."""
    xx, xy, yy = smoothed(scene.products, 1.0)
    apart = np.sqrt((xx - yy) ** 2 + 4 * xy * xy)
    smaller, larger = (xx + yy - apart) / 2, (xx + yy + apart) / 2
    corners = (smaller > CORNER_GRADIENT**2) & (smaller > CORNER_RATIO * larger)
    corners &= smaller >= ndimage.maximum_filter(smaller, 5, mode="constant") * (1 - 1e-4)
    return _per_thousand_pixels(corners, scene)


@target(
    "mid",
    meaning="places where three or more edges meet, per 1000 pixels; 0 for a constant image",
    source="crossing number of the edge skeleton; skimage.morphology.skeletonize",
)
def junction_density(scene: Scene) -> float:
    """Count junctions of edges. Edges are dilated first, because Canny's edges end before a junction."""
    if not scene.edges.any():
        return 0.0
    thick = ndimage.binary_dilation(scene.edges, _EIGHT)
    skeleton = np.pad(skeletonize(thick), 1)
    inner = slice(1, -1)
    around = np.stack([np.roll(skeleton, step, (0, 1))[inner, inner] for step in RING])  # [8, w, w]
    branches = (around & ~np.roll(around, 1, axis=0)).sum(0)
    return _per_thousand_pixels(skeleton[inner, inner] & (branches >= 3), scene)


def _per_thousand_pixels(found: NDArray[np.bool_], scene: Scene) -> float:
    """Count connected components per 1000 pixels of the reduced image."""
    return 1000 * ndimage.label(found, _EIGHT)[1] / scene.reduced.size
