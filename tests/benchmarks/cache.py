"""Reading a layer back from the cache, every byte checked, against ``numpy.load`` of the same array."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import h5py
import numpy as np

from tests.benchmarks.timing import median_ratio
from transferkit.cache.entry import Entry
from transferkit.cache.key import EntryKey
from transferkit.cache.store import FeatureStore

SIZES = ((8000, 2048), (50_000, 512), (2000, 512))
REPEATS = 25


@dataclass(frozen=True)
class Copies:
    """The same features, in the cache and as a plain array."""

    entry: Entry
    array: Path


def main() -> None:
    """Print the table."""
    print("against numpy.load; page cache warm, float16")
    for n, d in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            copies = written(Path(folder), n, d)
            load = partial(np.load, copies.array)
            for name, subject in subjects(copies).items():
                ratio = median_ratio(subject, load, repeats=REPEATS)
                print(f"{n:6} x {d:4} {name:28} {ratio}")


def subjects(copies: Copies) -> dict[str, Callable[[], object]]:
    """Ways to read the layer."""
    return {
        "features": lambda: copies.entry.features("layer"),
        "features, entry opened anew": lambda: anew(copies).features("layer"),
        "read": lambda: copies.entry.read("layer"),
        "h5py": lambda: by_h5py(copies),
    }


def written(folder: Path, n: int, d: int) -> Copies:
    """Random features, stored twice."""
    x = np.random.default_rng(0).standard_normal((n, d)).astype("float16")
    np.save(folder / "x.npy", x)
    key = EntryKey("model", "weights", "net", "data", "print", "train", {}, "avg")
    entry = FeatureStore(folder / "features").entry(key)
    ids = [f"{row:040}" for row in range(n)]
    entry.begin(ids, np.zeros(n, np.int64), ["only"], shard_rows=2048, batch=32)
    for claim in entry.claim(["layer"]):
        with claim:
            claim.write({}, {"layer": x[claim.rows]})
    return Copies(entry, folder / "x.npy")


def anew(copies: Copies) -> Entry:
    """The entry as a process finds it that has not read it yet."""
    return Entry(copies.entry.folder, copies.entry.key)


def by_h5py(copies: Copies) -> np.ndarray:
    """Read the same files through HDF5's own filter pipeline."""
    parts = []
    for path in sorted(copies.entry.folder.glob("shard-*.h5")):
        with h5py.File(path) as file:
            parts.append(file["layers/layer"][:])
    return np.concatenate(parts)


if __name__ == "__main__":
    main()
