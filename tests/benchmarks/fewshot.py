"""600 episodes of logistic regression on real features, against scikit-learn's in a plain loop.

Features are imagenet-lite0's of mini/digits, extracted once into ``$TRANSFERKIT_BENCHMARK_FEATURES``, or a
folder of the system's for temporary files. Episodes are drawn before; what is timed is what a probe pays for
them: products, solutions, predictions. scikit-learn runs on one thread, where problems this small are fastest.
"""

import os
import tempfile
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits
from torch import Tensor

from tests.benchmarks.timing import median_ratio
from transferkit.api import extract
from transferkit.core.features import Features
from transferkit.probes import episode_predictions as answering
from transferkit.probes.builtin import FewshotSettings
from transferkit.probes.episodes import Shape, draw_episodes
from transferkit.probes.probe import PROBES, ProbeContext

DEEP = ("last", "blocks.5.0", "blocks.5.1", "blocks.5.2", "blocks.5.3")  # 2 048 features in all
TASKS = ((("last",), 5), (DEEP, 20))
REPEATS = 3


def main() -> None:
    """Print the table."""
    for layers, shots in TASKS:
        x, labels, names = unit_rows(layers)
        episodes = draw_episodes(labels, names, Shape(5, shots, 15, 600), seed=0)
        support, query = episodes.rows(names)
        print(f"600 episodes, 5-way {shots}-shot, 15 queries, d = {x.shape[1]}, {len(x)} rows")
        subject = partial(answering.count_correct, x, support, query, method="lr", penalty=1.0)
        kept = answering.MOST_SHARED
        for name, answering.MOST_SHARED in (("products shared", kept), ("products an episode", 0)):
            ratio = median_ratio(subject, partial(plain_loop, x, support, query), repeats=REPEATS)
            print(f"{name:22} {ratio}")
        answering.MOST_SHARED = kept
        ours = predictions(x, support, query)
        for tolerance in (1e-4, 1e-8):
            theirs = plain_loop(x, support, query, tolerance=tolerance)
            print(f"same predictions as at tol={tolerance:g}: {(ours == theirs).mean():.3%}")

        seconds = [probe_seconds(layers[0], shots) for _ in range(REPEATS)]
        print(f"whole probe of layer {layers[0]} with its interval over images: {np.median(seconds):.2f} s")


def probe_seconds(layer: str, shots: int) -> float:
    """Return the seconds of 600 episodes with the episodes of the halves, the interval and the outcomes."""
    features = cached_features(layer)
    started = time.perf_counter()
    PROBES["fewshot"].score(ProbeContext(features), FewshotSettings(shots=shots))
    return time.perf_counter() - started


def cached_features(layer: str) -> Mapping[str, Features]:
    """Return split → features of one layer."""
    folder = os.environ.get("TRANSFERKIT_BENCHMARK_FEATURES", Path(tempfile.gettempdir(), "bench-features"))
    return extract("imagenet-lite0", "mini/digits", "all", workspace=Path(folder, "ws"), quiet=True)[layer]


def unit_rows(layers: tuple[str, ...]) -> tuple[Tensor, NDArray[np.int64], list[str]]:
    """Rows of unit length over all these layers, their labels and names."""
    parts = [cached_features(layer) for layer in layers]
    x = np.concatenate([np.concatenate([part[s].x for part in parts], 1) for s in parts[0]])
    labels = np.concatenate([split.labels for split in parts[0].values()])
    names = [f"{name}:{row}" for name, split in parts[0].items() for row in split.ids]
    return torch.nn.functional.normalize(torch.from_numpy(x).float()), labels, names


def plain_loop(
    x: Tensor, support: NDArray[np.int64], query: NDArray[np.int64], tolerance: float = 1e-4
) -> NDArray[np.int64]:
    """Predict the class of each query by scikit-learn, episode by episode, ``[e, ways * queries]``."""
    rows, y = x.numpy(), np.repeat(np.arange(support.shape[1]), support.shape[2])
    found = []
    with threadpool_limits(1):
        for s, q in zip(support, query, strict=True):
            model = LogisticRegression(C=1, max_iter=1000, tol=tolerance).fit(rows[s.ravel()], y)
            found.append(model.predict(rows[q.ravel()]))
    return np.array(found)


def predictions(x: Tensor, support: NDArray[np.int64], query: NDArray[np.int64]) -> NDArray[np.int64]:
    """Predict the class of each query by the product, ``[e, ways * queries]``."""
    s, q = torch.from_numpy(support).flatten(1), torch.from_numpy(query).flatten(1)
    products = answering._products_of(x, s, q)
    parts = torch.arange(len(s)).split(100)
    scores = [answering.lr_scores(*products(part), shots=support.shape[2], penalty=1.0) for part in parts]
    return torch.cat(scores).argmax(2).numpy()


if __name__ == "__main__":
    main()
