"""Coverage of printed intervals, and false positives of tests, in simulation.

Both are computed by the product's own functions. An interval is about the mean over other test
sets of the same size, drawn in the same way: for accuracies this is the accuracy of the population. The true
width is 2 x 1.96 standard deviations of the number over the simulated test sets. Few-shot episodes have a
table of their own, ``fewshot_coverage``.

Run: python -m tests.benchmarks intervals
"""

from collections.abc import Callable, Iterator
from itertools import product
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from tests.benchmarks.comparisons import clear_leaders, over_data_sets, seeds, several_models
from tests.benchmarks.coverage import Floats, Found, Setting, latent, lines, names, simulated, uneven
from transferkit.analysis.separation import class_separation_interval, separation
from transferkit.core.comparison import compare_outcomes
from transferkit.core.features import Features
from transferkit.core.outcomes import row_outcomes
from transferkit.core.proportions import accuracy_interval, class_mean_interval
from transferkit.core.seeding import generator
from transferkit.detection.matching import Matches
from transferkit.detection.scoring import DRAWS, image_bootstrap, mean_average_precision
from transferkit.probes import ranking
from transferkit.probes.builtin import FewshotSettings
from transferkit.probes.classification import Selection
from transferkit.probes.probe import PROBES, ProbeContext
from transferkit.probes.semantic import summary, target_scores


def top1() -> Iterator[Setting]:
    for n, p in product((50, 200, 1000), (0.5, 0.8, 0.95)):

        def rows(rng: np.random.Generator, n: int = n, p: float = p) -> Found:
            correct = rng.random(n) < p
            return correct.mean(), accuracy_interval(correct), None

        yield Setting("top-1, rows", f"{n} rows, accuracy {p}", rows, p)
    yield from grouped_rows("top-1, rows in groups", ((12, 8), (20, 5), (60, 20)))


def grouped_rows(name: str, worlds: tuple[tuple[int, int], ...]) -> Iterator[Setting]:
    """Top-1 of so many groups of so many rows."""
    for (g, size), p, alike in product(worlds, (0.6, 0.85), (0.1, 0.3, 0.5)):

        def grouped(
            rng: np.random.Generator, g: int = g, size: int = size, p: float = p, alike: float = alike
        ) -> Found:
            group = uneven(rng, g, size)
            correct = latent(rng, group, alike)[0] < norm.ppf(p)
            return correct.mean(), accuracy_interval(correct, names(group)), None

        words = f"{g} groups of {size}, accuracy {p}, correlation {alike}"
        yield Setting(name, words, grouped, p)


def per_class() -> Iterator[Setting]:
    rng = generator(0, "classes")
    for (c, rows), mean in product(((5, 10), (10, 5), (10, 40), (50, 5)), (0.6, 0.85)):
        chance = rng.beta(8 * mean, 8 * (1 - mean), size=c).clip(0.05, 0.99)
        labels = np.arange(c).repeat(rows)
        nested, crossed = np.arange(c * rows) // 5, np.tile(np.arange(rows), c)
        for name, group, alike in (("", None, 0), (" in groups", nested, 0.3), (" in groups", crossed, 0.3)):
            if group is not None and (group.max() < 9 or rows < 10):  # too few groups, of all or of a class
                continue

            def draw(
                rng: np.random.Generator,
                chance: Floats = chance,
                labels: NDArray = labels,
                group: NDArray | None = group,
                alike: float = alike,
            ) -> Found:
                own = np.arange(len(labels)) if group is None else group
                correct = latent(rng, own, alike)[0] < norm.ppf(chance)[labels]
                each = np.bincount(labels, correct) / np.bincount(labels)
                interval = class_mean_interval(correct, labels, None if group is None else names(group))
                return each.mean(), interval, None

            words = f"{c} classes of {rows}, mean {mean}" + (", several classes each" if group is crossed else "")
            yield Setting(f"mean per class, rows{name}", words, draw, float(chance.mean()))


def average_precision() -> Iterator[Setting]:
    for (n, c, prevalence), apart, size in product(((200, 5, 0.2),), (1.0, 2.0), (1, 4)):

        def draw(
            rng: np.random.Generator,
            n: int = n,
            c: int = c,
            prevalence: float = prevalence,
            apart: float = apart,
            size: int = size,
        ) -> Found:
            group = np.arange(n) // size
            shown = (rng.random((n // size, c)) < prevalence)[group]  # rows of a group show the same
            scores = apart * shown + latent(rng, group, 0.3 if size > 1 else 0, c).T
            test = Features(
                np.zeros((n, 1)), np.where(shown, 1, -1), names(np.arange(n)), tuple(names(np.arange(c))),
                groups=names(group) if size > 1 else None,
            )  # fmt: skip
            found = ranking.ranking_score(
                scores, test, Selection(), seed=int(rng.integers(2**31)), extra_metrics={}, seconds={}
            )
            return found.value, found.interval, None

        words = f"{n} rows, {c} classes of {prevalence:.0%}, scores {apart} apart"
        yield Setting("map11, rows" + (" in groups" if size > 1 else ""), words, draw, cost=5)


def differences() -> Iterator[Setting]:
    worlds = [(60, 1, 0.0), (300, 1, 0.0), (12, 8, 0.1), (12, 8, 0.4), (20, 5, 0.3), (60, 20, 0.3)]
    for (g, size, alike), p, more in product(worlds, (0.6, 0.9), (0.0, 0.05)):

        def draw(
            rng: np.random.Generator,
            g: int = g,
            size: int = size,
            alike: float = alike,
            p: float = p,
            more: float = more,
        ) -> Found:
            group = np.arange(g) if size == 1 else uneven(rng, g, size)
            chance = norm.ppf([[p + more], [p]])
            correct = latent(rng, group, alike, 2) < chance
            ids, of = names(np.arange(len(group))), None if size == 1 else names(group)
            a, b = (row_outcomes(ids, own, groups=of) for own in correct)
            found = compare_outcomes(a, b)
            return found.difference, found.interval, None if more else found.p

        kind = "rows" if size == 1 else "rows in groups"
        words = f"{g} groups of {size}, accuracy {p}, {more} apart, correlation {alike}"
        yield Setting(f"difference of two models, {kind}", words, draw, more, cost=2)


def all_way(name: str = "all-way few-shot", draws: int = 5) -> Iterator[Setting]:
    for classes, shots, spread in ((5, 1, 0.5), (10, 1, 0.5), (10, 5, 0.3)):
        settings = FewshotSettings(scheme="all-way", shots=shots, method="proto", repeats=draws)
        centres = generator(0, "centres").normal(size=(classes, 32)) * spread

        def draw(
            rng: np.random.Generator,
            centres: Floats = centres,
            settings: FewshotSettings = settings,
            classes: int = classes,
        ) -> Found:
            seed = int(rng.integers(2**31))
            shared = [rng.normal(size=(classes * rows, 32)) for rows in (200, 30)]
            scores = []
            for _ in range(2):  # two encoders of the same images, equally good
                splits = {}
                for name, common, rows in zip(("train", "test"), shared, (200, 30), strict=True):
                    labels = np.arange(classes).repeat(rows)
                    x = centres[labels] + np.sqrt(0.5) * (common + rng.normal(size=common.shape))
                    ids, of = names(np.arange(len(x))), tuple(names(np.arange(classes)))
                    splits[name] = Features(x.astype(np.float32), labels, ids, of, split=name)
                scores.append(PROBES["fewshot"].score(ProbeContext(splits, seed), settings))
            one, other = scores
            return one.value, one.interval, compare_outcomes(one.outcomes, other.outcomes).p

        yield Setting(name, f"{classes} classes, {shots} shots, {draws} draws", draw, cost=5)


def separations() -> Iterator[Setting]:
    yield from separated("class separation, rows", ((5, 20), (10, 10), (10, 50)))
    yield from separated("class separation, rows in groups", ((5, 40), (10, 80)), size=4)


def separated(name: str, worlds: tuple[tuple[int, int], ...], size: int = 1) -> Iterator[Setting]:
    """Class separation of so many classes of so many rows, in groups of ``size``."""
    for (c, rows), spread in product(worlds, (0.3, 0.5, 1.0)):
        centres = generator(0, "separate").normal(size=(c, 32)) * spread
        labels = np.arange(c).repeat(rows)

        def draw(rng: np.random.Generator, centres: Floats = centres, labels: NDArray = labels) -> Found:
            group = np.arange(len(labels)) // size
            x = centres[labels] + latent(rng, group, 0.3 if size > 1 else 0.0, 32).T
            interval = class_separation_interval(x, labels, names(group) if size > 1 else None)
            return separation(x, labels).class_separation or 0.0, interval, None

        words = f"{c} classes of {rows} rows, spread {spread}"
        yield Setting(name, words, draw, cost=4)


def detections() -> Iterator[Setting]:
    for n, sure in product((50, 200), (1.0, 2.5)):

        def draw(rng: np.random.Generator, n: int = n, sure: float = sure) -> Found:
            matches = []
            for _ in range(4):
                objects = rng.poisson(0.7, size=n)
                images = np.concatenate([np.arange(n).repeat(objects), rng.integers(n, size=n)])
                correct = np.arange(len(images)) < objects.sum()
                correct &= rng.random(len(images)) < 0.85  # some objects are not found
                scores = sure * correct + rng.normal(size=len(images))
                order = np.argsort(-scores)
                own = correct[order][None]
                matches.append(Matches(scores[order], images[order], own, np.zeros_like(own), objects))
            value = mean_average_precision(matches, "eleven") or 0.0
            return value, image_bootstrap(matches, "eleven", draws=DRAWS, rng=rng), None

        yield Setting("average precision of boxes", f"{n} images, scores {sure} apart", draw, cost=5)


def explained() -> Iterator[Setting]:
    for n, noise, size in ((100, 0.5, 1), (100, 2.0, 1), (400, 1.0, 1), (400, 1.0, 4)):
        rng = generator(0, "explained", n, noise)
        weights, x = rng.normal(size=(6, 3, 2)), rng.normal(size=(300, 6))

        def rows(
            x: Floats,
            rng: np.random.Generator,
            weights: Floats = weights,
            noise: float = noise,
            size: int = 1,
        ) -> Features:
            ids = names(np.arange(len(x)))
            group = np.arange(len(x)) // size
            targets = {
                str(k): x @ weights[:, k] + noise * latent(rng, group, 0.5 if size > 1 else 0, 2).T for k in range(3)
            }
            labels = np.zeros(len(x), dtype=np.int64)
            return Features(x, labels, ids, ("one",), targets=targets, groups=names(group) if size > 1 else None)

        fitted = rows(x, rng), rows(rng.normal(size=(100, 6)), rng)

        def draw(
            rng: np.random.Generator,
            fitted: tuple = fitted,
            n: int = n,
            size: int = size,
            rows: Callable = rows,
        ) -> Found:
            x = rng.normal(size=(n // size, 6)).repeat(size, 0)
            splits = {"train": fitted[0], "val": fitted[1], "test": rows(x, rng, size=size)}
            seed = int(rng.integers(2**31))
            found = summary(*target_scores(splits, [1.0, 100.0], seed=seed), seed=seed, seconds=0)
            return found.value, found.interval, None

        name = "explained fraction" + (", images in groups" if size > 1 else "")
        yield Setting(name, f"{n} images, noise {noise}", draw, cost=4)


def wrong_groups() -> Iterator[Setting]:
    """Yield settings in which all rows of most groups are right, and all rows of a few groups are wrong."""
    for g, share in product((30, 60), (0.05, 0.1)):

        def draw(rng: np.random.Generator, g: int = g, share: float = share) -> Found:
            group = np.repeat(np.arange(g), 10)
            correct = (rng.random(g) >= share)[group]
            return correct.mean(), accuracy_interval(correct, names(group)), None

        yield Setting("top-1, all errors in few groups", f"{g} groups, {share:.0%} wrong", draw, 1 - share)


def limits() -> Iterator[Setting]:
    """Yield settings with as few groups, draws or rows as an interval needs, and tests with fewer draws or seeds."""
    yield from grouped_rows("top-1, rows in seven or eight groups", ((7, 10), (8, 10)))
    yield from wrong_groups()
    for draws in (2, 3, 4):
        yield from all_way(f"all-way few-shot, {draws} draws", draws)
    yield from seeds("mean over two seeds", (2,))
    yield from separated("class separation, ten rows per class", ((5, 10), (10, 10)))


WORLDS: tuple[Callable[[], Iterator[Setting]], ...] = (
    top1, per_class, average_precision, differences, all_way, over_data_sets, several_models, clear_leaders,
    seeds, separations, detections, explained,
)  # fmt: skip


def main(draws: int = 1500) -> None:
    with patch.object(ranking, "BOOTSTRAP", 200):  # of 2000: the deviation of as few is known to 5 %
        for worlds in (WORLDS, (limits,)):
            settings = [setting for world in worlds for setting in world()]
            print("\n".join(lines([(setting, simulated(setting, draws)) for setting in settings])), flush=True)
