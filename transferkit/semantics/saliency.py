"""Saliency: pixels whose colour differs from that of the image's border.

The border is assumed to be background, as in Wei et al. [1]. A pixel is salient if its Mahalanobis distance to
the colours of the border is above Otsu's threshold and above ``MIN_DISTANCE`` standard deviations.

[1] Wei et al., Geodesic saliency using background priors, ECCV 2012.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import threshold_otsu

BORDER = 16
"""Ratio of the side of the image and the width of the border."""

NOISE = 0.03
"""Minimum standard deviation of a background, in 0 … 1."""

MIN_DISTANCE = 2.5
SMALLEST_REGION = 0.004
"""Minimum size of a region, as a fraction of the image."""


def salient_regions(colours: NDArray[np.float32]) -> tuple[NDArray[np.bool_], int]:
    """Return the salient pixels, and the number of their connected components.

    Args:
        colours: ``[3, w, w]`` in 0 … 1.

    Returns: a mask ``[w, w]`` and the number of regions; an empty mask and 0 if all pixels are like the border.
    """
    distance = border_distance(colours)
    if distance.max() < MIN_DISTANCE:
        return np.zeros(distance.shape, bool), 0
    mask = distance > max(_otsu(distance), MIN_DISTANCE)
    labels, _ = ndimage.label(mask, np.ones((3, 3)))
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    kept = sizes >= SMALLEST_REGION * mask.size
    return kept[labels], int(kept.sum())


def _otsu(distance: NDArray[np.float32]) -> float:
    """Compute Otsu's threshold from 256 equal bins, which is much faster than a general histogram."""
    step = float(distance.max()) / 255
    counts = np.bincount((distance * (1 / step) + 0.5).astype(np.int64).ravel(), minlength=256)
    return float(threshold_otsu(hist=(counts, np.arange(256)))) * step


def border_distance(colours: NDArray[np.float32]) -> NDArray[np.float32]:
    """Compute the Mahalanobis distance ``[w, w]`` of each pixel's colour to the colours of the border."""
    side = colours.shape[1]
    width = max(1, side // BORDER)
    frame = np.ones((side, side), bool)
    frame[width:-width, width:-width] = False
    background = colours[:, frame].astype(np.float64)  # [3, pixels]
    spread = np.cov(background, bias=True) + NOISE**2 * np.eye(3)
    whitening = np.linalg.inv(np.linalg.cholesky(spread)).astype(np.float32)
    offset = colours.reshape(3, -1) - background.mean(1, keepdims=True).astype(np.float32)
    return np.sqrt(((whitening @ offset) ** 2).sum(0)).reshape(side, side)
