"""Small features for tests of probes: class means in a few directions, with noise."""

import numpy as np

from transferkit.core.features import Features
from transferkit.core.seeding import generator


def features(n, split, *, classes=3, d=8, spread=0.5, dtype=np.float32):
    """``n`` rows, classes in turn; splits of one size and name are the same rows."""
    means = generator(0, "means", classes, d).normal(size=(classes, d))
    labels = np.arange(n) % classes
    x = means[labels] + spread * generator(0, split, n, d).normal(size=(n, d))
    ids = [f"{split}/{i}" for i in range(n)]
    return Features(x.astype(dtype), labels, ids, tuple(f"class {c}" for c in range(classes)), split=split)
