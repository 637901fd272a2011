"""Angles as points on the unit circle."""

import numpy as np
from numpy.typing import NDArray


def direction(x: float, y: float, weight: float) -> NDArray[np.float32]:
    """The direction of the sum ``(x, y)`` of vectors: ``[2]``, of length 1.

    Args:
        x: of the sum.
        y: of the sum.
        weight: the sum of their lengths. Where the vectors cancel, to less than a ten-thousandth of it,
            there is no direction: (0, 0).
    """
    length = float(np.hypot(x, y))
    if length <= 1e-4 * weight or length < 1e-12:
        return np.zeros(2, np.float32)
    return np.array([x / length, y / length], np.float32)
