"""A linear path on a cache larger than the memory that it is given, in a process of its own."""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from tests.benchmarks.timing import peak_gib
from transferkit.cache.entry import Entry
from transferkit.cache.key import EntryKey
from transferkit.cache.store import FeatureStore
from transferkit.core.features import Features
from transferkit.probes import PROBES
from transferkit.probes.builtin import LinearSettings
from transferkit.probes.probe import ProbeContext

ROWS, TEST_ROWS, DIM, CLASSES = 1_000_000, 20_000, 512, 10
SETTINGS = LinearSettings(penalties=10)


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        for split, rows in (("train", ROWS), ("val", TEST_ROWS), ("test", TEST_ROWS)):
            write(entry(Path(folder), split), rows, split)
        found = measured(Path(folder))
    print(f"linear path of {SETTINGS.penalties} penalties, {ROWS} x {DIM} float16, {CLASSES} classes, streamed")
    print(
        f"peak {found['peak_gib']:.2f} GiB, of which {found['before_gib']:.2f} GiB before; "
        f"{found['seconds']:.0f} s; top1 {found['top1']:.4f}, {found['unconverged']} unconverged"
    )


def entry(folder: Path, split: str) -> Entry:
    """Return the cache entry of one split."""
    return FeatureStore(folder).entry(EntryKey("model", "weights", "net", "data", "print", split, {}, "avg"))


def write(target: Entry, rows: int, split: str) -> None:
    """Rows around class means on axes of very different lengths, shard by shard."""
    labels = np.arange(rows) % CLASSES
    ids = [f"{split}-{row:07}" for row in range(rows)]
    target.begin(ids, labels, [str(c) for c in range(CLASSES)], shard_rows=8192, batch=32)
    scale = np.geomspace(2, 0.02, DIM, dtype=np.float32)
    means = np.random.default_rng(0).standard_normal((CLASSES, DIM), np.float32) * 0.1
    for shard, claim in enumerate(target.claim(["layer"])):
        with claim:
            rng = np.random.default_rng([len(split), ord(split[0]), shard])
            noise = rng.standard_normal((len(claim.rows), DIM), np.float32)
            claim.write({}, {"layer": ((means[labels[claim.rows]] + noise) * scale).astype(np.float16)})


def measured(folder: Path) -> dict[str, float]:
    """Return the report of a process that only probes."""
    command = [sys.executable, "-m", "tests.benchmarks.memory", str(folder)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def probed(folder: Path) -> dict[str, float]:
    """Probe the streamed features, and return the time, the memory and the accuracy."""
    before = peak_gib()
    started = time.perf_counter()
    splits: dict[str, Features] = {
        split: entry(folder, split).features("layer", memory_bytes=0) for split in ("train", "val", "test")
    }
    score = PROBES["linear"].score(ProbeContext(splits), SETTINGS)
    return {
        "before_gib": before,
        "peak_gib": peak_gib(),
        "seconds": time.perf_counter() - started,
        "top1": score.value,
        "unconverged": score.extra_metrics["unconverged"],
    }


if __name__ == "__main__":
    if sys.argv[1:]:
        print(json.dumps(probed(Path(sys.argv[1]))))
    else:
        main()
