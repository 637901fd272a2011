"""What stands out: pixels whose colour the image's border does not have.

The border is taken for the background, as in Wei et al. [1]. Each pixel's Mahalanobis distance from the
colours of the border is split in two by Otsu's threshold; what lies above it, and beyond ``LEAST`` standard
deviations of the border, is salient.

[1] Wei et al., Geodesic saliency using background priors, ECCV 2012.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import threshold_otsu

BORDER = 16
"""The border is this fraction of the side wide: 1 / 16."""

NOISE = 0.03
"""Standard deviation, in 0 … 1, that every background is allowed."""

LEAST = 2.5
SMALLEST_REGION = 0.004
"""As a fraction of the image; smaller ones are specks."""


def salient_regions(colours: NDArray[np.float32]) -> tuple[NDArray[np.bool_], int]:
    """The salient pixels, and the number of regions of touching pixels that they form.

    Args:
        colours: ``[3, w, w]`` in 0 … 1.

    Returns: ``[w, w]`` and the count; nothing and 0 if all is like the border.
    """
    distance = border_distance(colours)
    if distance.max() < LEAST:
        return np.zeros(distance.shape, bool), 0
    mask = distance > max(_otsu(distance), LEAST)
    labels, _ = ndimage.label(mask, np.ones((3, 3)))
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    kept = sizes >= SMALLEST_REGION * mask.size
    return kept[labels], int(kept.sum())


def _otsu(distance: NDArray[np.float32]) -> float:
    """Otsu's threshold, from 256 equal bins; much faster than a general histogram."""
    step = float(distance.max()) / 255
    counts = np.bincount((distance * (1 / step) + 0.5).astype(np.int64).ravel(), minlength=256)
    return float(threshold_otsu(hist=(counts, np.arange(256)))) * step


def border_distance(colours: NDArray[np.float32]) -> NDArray[np.float32]:
    """How many standard deviations each pixel's colour lies from those of the border: ``[w, w]``."""
    side = colours.shape[1]
    width = max(1, side // BORDER)
    frame = np.ones((side, side), bool)
    frame[width:-width, width:-width] = False
    background = colours[:, frame].astype(np.float64)  # [3, pixels]
    spread = np.cov(background, bias=True) + NOISE**2 * np.eye(3)
    whitening = np.linalg.inv(np.linalg.cholesky(spread)).astype(np.float32)
    offset = colours.reshape(3, -1) - background.mean(1, keepdims=True).astype(np.float32)
    return np.sqrt(((whitening @ offset) ** 2).sum(0)).reshape(side, side)
