"""Angles as points on the unit circle."""

import numpy as np
from numpy.typing import NDArray


def direction(x: float, y: float, weight: float) -> NDArray[np.float32]:
    """Return the direction ``[2]`` of the sum ``(x, y)`` of vectors, as a vector of length 1.

    Args:
        x: x component of the sum.
        y: y component of the sum.
        weight: sum of the lengths of the vectors. If the length of ``(x, y)`` is at most a ten-thousandth of it,
            there is no direction, and the result is (0, 0).
    """
    length = float(np.hypot(x, y))
    if length <= 1e-4 * weight or length < 1e-12:
        return np.zeros(2, np.float32)
    return np.array([x / length, y / length], np.float32)
