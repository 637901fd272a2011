"""Semantic targets by plain loops in float64, from their definitions; shares no code with the subject."""

import cmath
import colorsys
import math

import numpy as np


def luma(square):
    """``[3, s, s]`` bytes: lists of rows, 0 … 1."""
    red, green, blue = square.astype(float)
    return [
        [(0.2125 * red[i, j] + 0.7154 * green[i, j] + 0.0721 * blue[i, j]) / 255 for j in range(len(red))]
        for i in range(len(red))
    ]


def mean_and_spread(values):
    mean = sum(values) / len(values)
    return mean, math.sqrt(sum((v - mean) ** 2 for v in values) / len(values))


def pixels(square):
    return [tuple(int(v) for v in square[:, i, j]) for i in range(square.shape[1]) for j in range(square.shape[2])]


def colourfulness(square):
    rg = mean_and_spread([r - g for r, g, b in pixels(square)])
    yb = mean_and_spread([(r + g) / 2 - b for r, g, b in pixels(square)])
    return math.hypot(rg[1], yb[1]) + 0.3 * math.hypot(rg[0], yb[0])


def saturation(square):
    return sum(colorsys.rgb_to_hsv(*(v / 255 for v in p))[1] for p in pixels(square)) / len(pixels(square))


def hue_angle(square):
    """Radians, of the saturation-weighted mean of points on the circle at HSV's hues."""
    total = 0j
    for p in pixels(square):
        turns, weight, _ = colorsys.rgb_to_hsv(*(v / 255 for v in p))
        total += weight * cmath.exp(2j * math.pi * turns)
    return cmath.phase(total)


def colour_histogram(square):
    counts = np.zeros((4, 4, 4))
    for r, g, b in pixels(square):
        counts[r // 64][g // 64][b // 64] += 1
    return (counts / counts.sum()).ravel()


def scharr(square):
    """``(x to the right, y upwards)`` of every pixel that has eight neighbours, row by row."""
    g = luma(square)
    found = []
    for i in range(1, len(g) - 1):
        for j in range(1, len(g) - 1):
            x = sum(w * (g[i + d][j + 1] - g[i + d][j - 1]) for d, w in ((-1, 3), (0, 10), (1, 3))) / 32
            y = sum(w * (g[i - 1][j + d] - g[i + 1][j + d]) for d, w in ((-1, 3), (0, 10), (1, 3))) / 32
            found.append((i, j, x, y))
    return found


def orientation_degrees(square):
    """Return the direction of the edge, 0 … 180, at a right angle to the eigenvector of the larger eigenvalue."""
    tensor = np.zeros((2, 2))
    for _, _, x, y in scharr(square):
        tensor += np.outer((x, y), (x, y))
    _, vectors = np.linalg.eigh(tensor)
    return (math.degrees(math.atan2(vectors[1, 1], vectors[0, 1])) + 90) % 180


def orientation_histograms(square):
    """``[4, 8]`` magnitudes by quarter and orientation of the edge, nearest multiple of 22.5°."""
    half = 1 + (square.shape[1] - 2) // 2
    result = np.zeros((4, 8))
    for i, j, x, y in scharr(square):
        degrees = (math.degrees(math.atan2(y, x)) + 90) % 180
        nearest = min(range(9), key=lambda k: abs(degrees - 22.5 * k)) % 8
        result[2 * (i >= half) + (j >= half), nearest] += math.hypot(x, y)
    return result


def rings(square):
    """Sum and count of windowed power at each rounded radius 0 … s//2, by the definition of the transform."""
    g, side = luma(square), square.shape[1]
    hann = [0.5 - 0.5 * math.cos(2 * math.pi * (i + 0.5) / side) for i in range(side)]
    window = np.outer(hann, hann)
    values = (np.array(g) - (np.array(g) * window).sum() / window.sum()) * window
    sums, counts = [0.0] * (side // 2 + 1), [0] * (side // 2 + 1)
    for u in range(-(side // 2), side - side // 2):
        for v in range(-(side // 2), side - side // 2):
            radius = math.floor(math.hypot(u, v) + 0.5)
            if radius <= side // 2:
                wave = [[cmath.exp(-2j * math.pi * (u * i + v * j) / side) for j in range(side)] for i in range(side)]
                sums[radius] += abs((values * np.array(wave)).sum()) ** 2 / side**4 / (window**2).mean()
                counts[radius] += 1
    return np.array(sums), np.array(counts)


def frequency_slope(square):
    sums, counts = rings(square)
    floor = 1 / 255**2 / 12 / square.shape[1] ** 2
    x = [math.log(f) for f in range(2, len(sums))]
    y = [math.log(sums[f] / counts[f] + floor) for f in range(2, len(sums))]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    covariance = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    return covariance / sum((a - mean_x) ** 2 for a in x)


def sharpness(square):
    g = luma(square)
    inside = range(1, len(g) - 1)
    values = [g[i - 1][j] + g[i + 1][j] + g[i][j - 1] + g[i][j + 1] - 4 * g[i][j] for i in inside for j in inside]
    return math.log10(mean_and_spread(values)[1] ** 2 + 20 / 255**2 / 12)


def lbp(levels):
    """``[w, w]`` bytes: shares of 0 … 8 neighbours in one run that are not darker, and of the rest."""
    ring = [(-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1)]
    counts = [0] * 10
    for i in range(1, len(levels) - 1):
        for j in range(1, len(levels) - 1):
            bits = [int(levels[i + d, j + r]) >= int(levels[i, j]) for d, r in ring]
            changes = sum(bits[k] != bits[k - 1] for k in range(8))
            counts[sum(bits) if changes <= 2 else 9] += 1
    return np.array(counts) / sum(counts)


def symmetry(square):
    g = np.array(luma(square))
    return np.corrcoef(g.ravel(), g[:, ::-1].ravel())[0, 1]


def circular_correlation(a, b):
    """Fisher and Lee's coefficient by its definition: a sum over pairs."""
    pairs = [(i, j) for i in range(len(a)) for j in range(i)]
    product = sum(math.sin(a[i] - a[j]) * math.sin(b[i] - b[j]) for i, j in pairs)
    first = sum(math.sin(a[i] - a[j]) ** 2 for i, j in pairs)
    second = sum(math.sin(b[i] - b[j]) ** 2 for i, j in pairs)
    return product / math.sqrt(first * second)
