"""Area scaling in exact fractions, pixel by pixel."""

from fractions import Fraction
from math import floor

import numpy as np


def area_mean(patch, size):
    """The square ``patch`` ``[s, s, 3]`` at ``size`` pixels: the mean over each area, halves rounded up."""
    side = len(patch)
    result = np.zeros((size, size, 3), np.uint8)
    for i in range(size):
        for j in range(size):
            for channel in range(3):
                total = Fraction(0)
                for y, height in _shares(i, side, size):
                    for x, width in _shares(j, side, size):
                        total += int(patch[y, x, channel]) * height * width
                result[i, j, channel] = floor(total + Fraction(1, 2))
    return result


def _shares(index, side, size):
    """Source pixels under new pixel ``index``, and the share of it that each covers."""
    start, stop = Fraction(index * side, size), Fraction((index + 1) * side, size)
    for pixel in range(side):
        share = min(stop, Fraction(pixel + 1)) - max(start, Fraction(pixel))
        if share > 0:
            yield pixel, share / (stop - start)
