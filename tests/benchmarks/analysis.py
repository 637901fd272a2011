"""Benchmark of the analyses: CKA of 16 layers, and each number of one layer."""

import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np

from transferkit.analysis.cka import cka
from transferkit.analysis.separation import separation
from transferkit.analysis.spectrum import effective_rank, spectrum_decay
from transferkit.analysis.transferability import SCORES

LAYERS, ROWS = 16, 10_000
N, D, CLASSES, SOURCE = 8000, 1280, 10, 1000
REPEATS = 3


def main() -> None:
    """Print the tables."""
    print(f"CKA of {LAYERS} x {LAYERS} layers of {D} features on {ROWS} rows of float16, a process each")
    for batch in (256, 512, 1000):
        script = f"from tests.benchmarks.analysis import cka_costs; cka_costs({batch})"
        done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
        print(f"batches of {batch:4} {done.stdout.strip()}")
    print(f"one layer, {N} x {D} float16, {CLASSES} classes; probabilities of {SOURCE} source classes")
    for name, work in subjects().items():
        print(f"{name:18} {statistics.median(_seconds(work) for _ in range(REPEATS)):7.2f} s")


def cka_costs(batch: int) -> None:
    """Print the seconds and the peak resident memory of this process, and what the features take of it."""
    rng = np.random.default_rng(0)
    signal = rng.normal(size=(ROWS, 64)).astype(np.float32)
    layers = {}
    for layer in range(LAYERS):
        x = signal @ rng.normal(size=(64, D)).astype(np.float32)
        layers[f"layer{layer}"] = (x + rng.standard_normal((ROWS, D), np.float32)).astype(np.float16)
    busy = time.process_time()
    seconds = _seconds(lambda: cka(layers, batch=batch, rng=rng))
    busy = time.process_time() - busy
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    held = sum(x.nbytes for x in layers.values()) / 2**30
    print(f"{seconds:7.2f} s, {busy:.2f} s of all cores, peak {peak:.2f} GiB, of which features {held:.2f} GiB")


def subjects() -> dict[str, Callable[[], object]]:
    """Return the functions that are measured on one layer."""
    rng = np.random.default_rng(0)
    y = rng.integers(CLASSES, size=N)
    spread = np.arange(1, D + 1) ** -0.5
    x = (rng.normal(size=(CLASSES, D))[y] * 0.3 + rng.normal(size=(N, D)) * spread).astype(np.float16)
    theta = rng.dirichlet(np.full(SOURCE, 0.1), size=N)
    inputs = {"features": x, "probabilities": theta}
    found: dict[str, Callable[[], object]] = {
        "separation": lambda: separation(x, y),
        "effective rank": lambda: effective_rank(x),
        "spectrum decay": lambda: spectrum_decay(x),
    }
    for name, score in SCORES.items():
        found[name] = lambda score=score: score(inputs[score.needs], y, seed=0)
    return found


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
