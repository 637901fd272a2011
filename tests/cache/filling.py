"""A small entry with features that anybody can compute, and a process that fills it.

Run as ``python -m tests.cache.filling FOLDER LAYERS SECONDS LOG``: fills like an extraction would, takes
SECONDS for every shard, and writes the number of each shard it computes into LOG.
"""

import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from transferkit.cache.entry import Entry
from transferkit.cache.key import EntryKey
from transferkit.cache.store import FeatureStore

ROWS, SHARD_ROWS = 70, 16
DIMS = {"stem": 6, "layer1": 16, "blocks.11": 31}
UNREADABLE = {3: "cut short", 40: "not an image"}
KEY = EntryKey(
    model="random:tiny",
    weights="ab" * 32,
    architecture="tiny",
    data="folder:/photos",
    fingerprint="cd" * 32,
    split="train",
    transform={"resize": 256, "crop": 224, "mean": [0.5, 0.5, 0.5]},
    pooling="avg",
)
IDS = tuple(f"class {i % 7}/image-{i}.jpg" for i in range(ROWS))
LABELS = np.arange(ROWS) % 7
CLASSES = tuple(f"class {i}" for i in range(7))
READ = np.array([row not in UNREADABLE for row in range(ROWS)])


def truth(layer, dtype="float16"):
    """``[n, d]`` of every row, also the unreadable ones."""
    rng = np.random.default_rng(sorted(DIMS).index(layer))
    return rng.standard_normal((ROWS, DIMS[layer])).astype(dtype)


def begun(folder, key=KEY, *, batch=8, shard_rows=SHARD_ROWS):
    entry = FeatureStore(folder).entry(key)
    entry.begin(IDS, LABELS, CLASSES, shard_rows=shard_rows, batch=batch)
    return entry


def write(claim, reasons=UNREADABLE, dtype="float16"):
    claim.write(reasons, {layer: truth(layer, dtype)[claim.rows] for layer in claim.layers})


def fill(entry: Entry, layers, *, reasons=UNREADABLE, seconds=0.0, log=None):
    """Fill the entry as an extraction does, until nothing is missing."""
    while entry.missing(layers):
        for claim in entry.claim(layers):
            with claim:
                if log:
                    with log.open("a") as file:
                        file.write(f"{claim.rows[0] // SHARD_ROWS}\n")
                time.sleep(seconds)
                write(claim, reasons, entry.key.dtype)
        entry.wait()
    return entry


def filled(folder, layers=tuple(DIMS), *, dtype="float16", reasons=UNREADABLE):
    return fill(begun(folder, replace(KEY, dtype=dtype)), layers, reasons=reasons)


def contents(folder):
    """Every file below ``folder`` with its bytes, but for locks."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix != ".lock")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


if __name__ == "__main__":
    _, place, names, pause, logged = sys.argv
    fill(begun(Path(place)), names.split(","), seconds=float(pause), log=Path(logged))
