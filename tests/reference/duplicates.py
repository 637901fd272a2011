"""Near duplicates the slow way: a cosine transform by its formula, and every pair of hashes."""

import math

import numpy as np
from PIL import Image


def hash_bits(image):
    """The 64 bits, lowest frequencies first, from ``[h, w, 3]``."""
    grey = np.asarray(Image.fromarray(image).convert("L").resize((32, 32), Image.Resampling.BILINEAR))
    grey = grey.astype(np.float64)
    frequencies = sorted(((u, v) for u in range(32) for v in range(32)), key=lambda f: (sum(f), f))[1:65]
    values = []
    for u, v in frequencies:
        total = 0.0
        for x in range(32):
            for y in range(32):
                total += (
                    grey[x, y] * math.cos(math.pi * (2 * x + 1) * u / 64) * math.cos(math.pi * (2 * y + 1) * v / 64)
                )
        values.append(total * (math.sqrt(0.5) if u == 0 else 1) * (math.sqrt(0.5) if v == 0 else 1))
    median = sorted(values)[31:33]
    return [value > sum(median) / 2 for value in values]


def close_pairs(queries, bank, most_bits):
    """Every pair of row numbers whose integers differ in at most so many bits."""
    return {
        (i, j)
        for i, query in enumerate(queries)
        for j, other in enumerate(bank)
        if bin(int(query) ^ int(other)).count("1") <= most_bits
    }
