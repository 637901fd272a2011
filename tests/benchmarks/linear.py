"""Paths of logistic regression on real features, against a loop over scikit-learn's.

imagenet-lite0 looks at drawn pictures, once: the features are kept in the folder for temporary files.
"""

import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from tests.benchmarks.timing import median_ratio
from transferkit.cache.store import FeatureStore
from transferkit.data.arrays import from_arrays
from transferkit.data.dataset import Split
from transferkit.mini.canvas import quantised
from transferkit.mini.objects import SHAPES, draw
from transferkit.mini.rendered import SetPlan
from transferkit.models.catalog import load_encoder
from transferkit.probes.solvers.logistic import LogisticPath, logistic_path
from transferkit.protocols.dataset_catalog import open_dataset
from transferkit.protocols.extract import Extractor
from transferkit.protocols.settings import ExtractSettings

FOLDER = Path(tempfile.gettempdir()) / "transferkit-benchmarks" / "linear"
SIZE = 112
REPEATS = 2
LAYERS = ("blocks.1.1", "blocks.2.1", "blocks.5.2", "blocks.5.3", "blocks.6.0", "last")
MANY = ("mini/leaves", "mini/landuse", "mini/sketches", "mini/patterns", "mini/cartoons")


@dataclass(frozen=True, eq=False)
class Case:
    """Features ``x`` ``[n, d]``, labels ``y``, test rows ``new`` and their classes ``truth``."""

    name: str
    penalties: int
    x: NDArray[np.float32]
    y: NDArray[np.int64]
    new: NDArray[np.float32]
    truth: NDArray[np.int64]

    @property
    def grid(self) -> list[float]:
        """The penalties."""
        return np.geomspace(1e-6, 1e5, self.penalties).tolist()


def main() -> None:
    """Print the table."""
    print("against scikit-learn's LogisticRegression(C=1/penalty, max_iter=1000), penalties 1e-6 … 1e5")
    for case in cases():
        ratio = median_ratio(lambda case=case: ours(case), lambda case=case: theirs(case), repeats=REPEATS)
        n, d = case.x.shape
        print(f"{n} x {d}, {case.y.max() + 1} classes, {case.penalties} penalties  {ratio}")
        print(f"  {exactness(case)}")


def cases() -> Iterator[Case]:
    """Many rows and few classes; then fewer rows than columns and many classes."""
    yield kept("objects", 12, drawn_objects)
    yield kept("fifty", 45, fifty_classes)


def kept(name, penalties, build) -> Case:
    """The case, built if it was not before."""
    path = FOLDER / f"{name}.npz"
    if not path.exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        np.savez(path, **build())
    with np.load(path) as arrays:
        return Case(name, penalties, **{part: arrays[part] for part in ("x", "y", "new", "truth")})


def drawn_objects() -> dict[str, NDArray]:
    """800 and 100 pictures of each of ten shapes."""
    plan = SetPlan("objects", tuple(SHAPES)[:10], (800, 0, 100))
    found = {}
    for split, x, y in (("train", "x", "y"), ("test", "new", "truth")):
        rows = [row for row in plan.rows() if row[0] == split]
        images = [quantised(draw(kind, plan.rng("benchmark", s, kind, i))[0]) for s, kind, i in rows]
        found[y] = np.tile(np.arange(10), len(rows) // 10)
        found[x] = features(from_arrays(np.stack(images), found[y], name="objects", split=split))
    return {name: value[..., -1280:] if value.ndim == 2 else value for name, value in found.items()}


def fifty_classes() -> dict[str, NDArray]:
    """20 rows of each of 50 classes of several sets; 2 048 features are six layers side by side."""
    parts: dict[str, list[NDArray]] = {name: [] for name in ("x", "y", "new", "truth")}
    first = 0
    for spec in MANY:
        splits = open_dataset(spec, root=FOLDER / "data").splits
        train, test = (features(splits[name]) for name in ("train", "test"))
        for k in range(min(len(splits["train"].classes), 50 - first)):
            rows, new = train[splits["train"].labels == k][:20], test[splits["test"].labels == k]
            for name, value in (("x", rows), ("new", new)):
                parts[name].append(value)
            parts["y"].append(np.full(len(rows), first + k))
            parts["truth"].append(np.full(len(new), first + k))
        first += k + 1
    return {name: np.concatenate(values) for name, values in parts.items()}


def features(split: Split) -> NDArray[np.float32]:
    """``[n, 2048]``; the last 1 280 are the last layer's."""
    settings = ExtractSettings(layers=LAYERS, size=SIZE)
    extractor = Extractor(load_encoder("imagenet-lite0"), settings, store=FeatureStore(FOLDER))
    entry = extractor.open(split).run()
    return np.concatenate([np.asarray(entry.features(layer).x, np.float32) for layer in LAYERS], 1)


def ours(case: Case) -> LogisticPath:
    """The whole path."""
    return logistic_path(torch.from_numpy(case.x), torch.from_numpy(case.y), case.grid, int(case.y.max()) + 1)


def theirs(case: Case) -> list[LogisticRegression]:
    """Fit scikit-learn's classifier to one penalty after another."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return [LogisticRegression(C=1 / p, max_iter=1000).fit(case.x, case.y) for p in case.grid]


def exactness(case: Case) -> str:
    """Compare the fits by their objective and by their accuracy on new rows."""
    path, models = ours(case), theirs(case)
    excess, correct = [], []
    for i, (penalty, model) in enumerate(zip(case.grid, models, strict=True)):
        found = objective(case, path.weights[i].numpy(), path.biases[i].numpy(), penalty)
        excess.append(found / objective(case, model.coef_.T, model.intercept_, penalty) - 1)
        correct.append((answers(case, path, i) == case.truth).mean())
    best = int(np.argmax(correct))
    ended = LogisticRegression(C=1 / case.grid[best], max_iter=100_000, tol=1e-8).fit(case.x, case.y)
    agree, agree_at_the_end = (
        (answers(case, path, best) == model.predict(case.new)).mean() for model in (models[best], ended)
    )
    return (
        f"objective over theirs less 1: at most {max(excess):+.1e}, median {np.median(excess):+.1e}; "
        f"largest gradient {float(path.gradients.max()):.1e} a row, {int((~path.converged).sum())} "
        f"unconverged; at penalty {case.grid[best]:.1e} {agree:.2%} of test predictions are theirs, "
        f"{agree_at_the_end:.2%} those of scikit-learn with tol=1e-8"
    )


def objective(case: Case, weights: NDArray, biases: NDArray, penalty: float) -> float:
    """Compute the objective in float64."""
    logits = torch.from_numpy(case.x.astype(np.float64) @ weights.astype(np.float64) + biases)
    nll = torch.nn.functional.cross_entropy(logits, torch.from_numpy(case.y), reduction="sum")
    return float(nll) + penalty / 2 * float((weights.astype(np.float64) ** 2).sum())


def answers(case: Case, path: LogisticPath, i: int) -> NDArray[np.int64]:
    """Classes of the test rows, by the fit ``i``."""
    return (case.new @ path.weights[i].numpy() + path.biases[i].numpy()).argmax(axis=1)


if __name__ == "__main__":
    main()
