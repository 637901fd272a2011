"""Resizing written out: a separable filter, pixel by pixel, in float64."""

import numpy as np


def area(image, height, width):
    """``[h, w, c]`` → ``[height, width, c]``, both divisors: the mean of each block."""
    down, right = image.shape[0] // height, image.shape[1] // width
    result = np.zeros((height, width, image.shape[2]))
    for y in range(height):
        for x in range(width):
            block = image[y * down : (y + 1) * down, x * right : (x + 1) * right].astype(np.float64)
            result[y, x] = block.mean(axis=(0, 1))
    return result


def triangle(t):
    return max(0.0, 1 - abs(t))


def cubic(t):
    """Keys' kernel with a = -1/2."""
    t = abs(t)
    if t < 1:
        return 1.5 * t**3 - 2.5 * t**2 + 1
    return -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2 if t < 2 else 0.0


def weights(source, target, kernel):
    """``[target, source]``: each row is the kernel around the pixel's centre, widened when shrinking."""
    scale = source / target
    widened = max(scale, 1.0)
    matrix = np.zeros((target, source))
    for i in range(target):
        for j in range(source):
            matrix[i, j] = kernel((j + 0.5 - (i + 0.5) * scale) / widened)
        matrix[i] /= matrix[i].sum()
    return matrix


def resized(image, height, width, kernel):
    """``[h, w, c]`` → ``[height, width, c]``, clipped to 0 … 255."""
    down, right = weights(image.shape[0], height, kernel), weights(image.shape[1], width, kernel)
    return np.einsum("ij,jkc,lk->ilc", down, image.astype(np.float64), right).clip(0, 255)
