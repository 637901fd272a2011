"""RoIAlign of one box on one map, sample by sample [1], with pixel centres at half-integers.

[1] He et al., Mask R-CNN, ICCV 2017.
"""

import math

import numpy as np


def bilinear(plane, y, x):
    """The value of ``plane`` ``[h, w]`` at a place; the edge value up to a pixel outside, 0 beyond."""
    h, w = plane.shape
    if not (-1 <= y <= h and -1 <= x <= w):
        return 0.0
    y, x = min(max(y, 0.0), h - 1), min(max(x, 0.0), w - 1)
    top, left = math.floor(y), math.floor(x)
    bottom, right = min(top + 1, h - 1), min(left + 1, w - 1)
    upper = plane[top, left] * (1 - (x - left)) + plane[top, right] * (x - left)
    lower = plane[bottom, left] * (1 - (x - left)) + plane[bottom, right] * (x - left)
    return upper * (1 - (y - top)) + lower * (y - top)


def roi_align(plane, box, *, stride, bins):
    """``[bins, bins]``: each the mean over as many samples per axis as it is map pixels long, rounded up."""
    x1, y1, x2, y2 = (side / stride - 0.5 for side in box)
    wide, high = (x2 - x1) / bins, (y2 - y1) / bins
    across, down = math.ceil(wide), math.ceil(high)
    out = np.zeros((bins, bins))
    for row in range(bins):
        for column in range(bins):
            ys = [y1 + high * (row + (i + 0.5) / down) for i in range(down)]
            xs = [x1 + wide * (column + (i + 0.5) / across) for i in range(across)]
            out[row, column] = np.mean([bilinear(plane, y, x) for y in ys for x in xs])
    return out
