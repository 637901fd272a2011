"""The k-NN protocol against scikit-learn and a bare FAISS search; inverted lists; a bank beyond memory.

Features are those of imagenet-lite0 on mini/objects, 512 of its 1280: pairs of images of a class, mixed, with
some noise, make as many rows as are wanted.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from sklearn.neighbors import KNeighborsClassifier

import transferkit
from tests.benchmarks.timing import median_ratio, peak_gib
from transferkit.core.faiss_library import load_faiss
from transferkit.core.features import Features
from transferkit.core.out_of_core import Blocks
from transferkit.probes.builtin import KnnProtocol, KnnSettings
from transferkit.probes.probe import ProbeContext
from transferkit.probes.solvers.neighbours import approximate_neighbours, neighbours

ROWS, QUERIES, WIDTH = 50_000, 10_000, 512
NEIGHBOURS = 200
NOISE = 0.1  # of a column's deviation
REPEATS = 3
LISTED = (100_000, 400_000, 1_000_000)
BEYOND = 1_000_000
SMALL = 8192  # rows of a piece of the bank beyond memory


def main() -> None:
    """Print the tables."""
    seen = seen_features()
    bank, test = grown(seen, ROWS, 0), grown(seen, QUERIES, 1)
    print(f"cosine, bank {ROWS} x {WIDTH}, {QUERIES} queries, k = {NEIGHBOURS}, whole protocol")
    for dtype in (np.float32, np.float16):  # the cache keeps the latter
        table(*(replace(part, x=part.x.astype(dtype)) for part in (bank, test)))
    print(f"inverted lists, built and searched once, against the exact search; {QUERIES} queries, k = 20")
    for n in LISTED:
        print(listed(grown(seen, n, 0), test))
    print(f"a bank of {BEYOND} x {WIDTH} float16 that is read piece by piece; {QUERIES} queries, k = 20")
    subprocess.run([sys.executable, "-m", "tests.benchmarks.knn"], check=True)


def table(bank: Features, test: Features) -> None:
    """Print the first table for features of one type."""
    probe = partial(scored, bank, test)
    others = {
        "scikit-learn, brute": by_scikit_learn,
        "FAISS, search alone": by_faiss,
        "itself without bfloat16": without_bf16,
    }
    for name, other in others.items():
        ratio = median_ratio(probe, partial(other, bank, test), repeats=REPEATS)
        print(f"{bank.x.dtype} {'against ' + name:30} {ratio}")
    share = (by_scikit_learn(bank, test) == probe()).mean()
    print(f"rows right, or wrong, with scikit-learn too: {share:.2%}")


def seen_features() -> Features:
    """Return features of real images, which are extracted once and kept in the temporary folder."""
    workspace = Path(tempfile.gettempdir()) / "transferkit-benchmarks"
    layers = transferkit.extract("imagenet-lite0", "mini/objects", workspace=workspace, size=64, quiet=True)
    return next(iter(layers.values()))["train"]


def grown(seen: Features, n: int, seed: int) -> Features:
    """``n`` rows from those of ``seen``, float16."""
    rng = np.random.default_rng(seed)
    real = np.asarray(seen.x)[:, :WIDTH].astype(np.float32)
    order = np.argsort(seen.labels, kind="stable")
    first = np.searchsorted(seen.labels[order], np.arange(len(seen.classes) + 1))
    labels = rng.integers(len(seen.classes), size=n)
    spread, x = NOISE * real.std(axis=0), np.empty((n, WIDTH), np.float16)
    for rows in np.array_split(np.arange(n), -(-n // ROWS)):
        low, high = first[labels[rows]], first[labels[rows] + 1]
        one, other = (order[rng.integers(low, high)] for _ in range(2))
        share = rng.uniform(0, 0.5, (len(rows), 1)).astype(np.float32)
        noise = spread * rng.standard_normal((len(rows), WIDTH), dtype=np.float32)
        x[rows] = (1 - share) * real[one] + share * real[other] + noise
    return Features(x, labels, [str(row) for row in range(n)], seen.classes)


def scored(bank: Features, test: Features) -> np.ndarray:
    """The whole of ours, from features to a score: which rows are right."""
    score = KnnProtocol().score(ProbeContext({"train": bank, "test": test}), KnnSettings(k=(NEIGHBOURS,)))
    assert score.outcomes is not None
    return np.array(score.outcomes.correct, dtype=bool)


def by_scikit_learn(bank: Features, test: Features) -> np.ndarray:
    """Return which rows scikit-learn's classifier predicts correctly with the same votes."""
    votes = KNeighborsClassifier(
        NEIGHBOURS, algorithm="brute", metric="cosine", weights=lambda far: np.exp((1 - far) / 0.07)
    )
    return votes.fit(bank.x, bank.labels).predict(test.x) == test.labels


def without_bf16(bank: Features, test: Features) -> np.ndarray:
    """Score as ours does on a processor that does not multiply bfloat16: the ratio is what that search saves."""
    with patch("transferkit.probes.solvers.neighbours._multiplies_bf16", return_value=False):
        return scored(bank, test)


def by_faiss(bank: Features, test: Features) -> None:
    """Run only the search, on rows of unit length, with the kernels for this processor."""
    index = load_faiss().IndexFlatIP(WIDTH)
    index.add(_unit(bank))
    index.search(_unit(test), NEIGHBOURS)


_UNIT: dict[int, tuple[Features, np.ndarray]] = {}


def _unit(rows: Features) -> np.ndarray:
    """Return rows of unit length, normalised once before the timed runs."""
    if id(rows) not in _UNIT:
        x = np.asarray(rows.x, dtype=np.float32)
        _UNIT[id(rows)] = (rows, x / np.linalg.norm(x, axis=1, keepdims=True))  # kept, so that its id is
    return _UNIT[id(rows)][1]


def listed(bank: Features, test: Features) -> str:
    """Return a row of the second table: seconds of both, their ratio, number of probed lists, and recall."""
    exact, _ = _seconds(lambda: neighbours(test.x, bank.x, k=20, metric="cosine"))
    seconds, found = _seconds(lambda: approximate_neighbours(test.x, bank.x, k=20, metric="cosine"))
    return (
        f"{len(bank):8} rows {exact:7.1f} s exactly {seconds:7.1f} s by lists {exact / seconds:5.2f}x  "
        f"nprobe {found.nprobe}, recall {found.recall:.4f}"
    )


def _seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    done = work()
    return time.perf_counter() - started, done


def beyond_memory(queries: int = QUERIES) -> None:
    """Print the last table; in a process of its own, whose peak is that of the search."""
    with tempfile.NamedTemporaryFile() as file:
        rng = np.random.default_rng(0)
        for _ in range(-(-BEYOND // SMALL)):
            file.write(rng.standard_normal((SMALL, WIDTH), dtype=np.float32).astype(np.float16).tobytes())
        file.flush()

        def pieces():
            for start in range(0, BEYOND, SMALL):
                count = min(SMALL, BEYOND - start) * WIDTH
                offset = start * WIDTH * 2
                yield np.fromfile(file.name, np.float16, count, offset=offset).reshape(-1, WIDTH)

        bank = Blocks((BEYOND, WIDTH), np.dtype(np.float16), pieces)
        asked = rng.standard_normal((queries, WIDTH), dtype=np.float32)
        started = time.perf_counter()
        neighbours(asked, bank, k=20, metric="cosine")
        seconds = time.perf_counter() - started
    print(f"{seconds:.0f} s, peak {peak_gib():.2f} GiB resident")


if __name__ == "__main__":
    beyond_memory(int(sys.argv[1]) if len(sys.argv) > 1 else QUERIES)
