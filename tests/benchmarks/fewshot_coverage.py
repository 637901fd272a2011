"""Coverage of few-shot intervals in simulation: how often they contain the accuracy of the population.

Images are Gaussian: class means, and independent noise. For each setting a pool of images is drawn many
times, and the product's own functions draw the episodes and halves, answer them, and make the interval and
the paired test. Of each pool there are two models, whose class means are the same and whose noise is
exchangeable: they are equally good in the population. The true width is 2 x 1.96 standard deviations of the
accuracy over the pools.
"""

import argparse
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from transferkit.core.comparison import compare_outcomes
from transferkit.core.half_samples import interval_over_images
from transferkit.core.outcomes import Outcomes
from transferkit.core.seeding import generator
from transferkit.core.statistics import mean_interval
from transferkit.probes.allway import Method
from transferkit.probes.builtin import FewshotSettings
from transferkit.probes.episodes import draw_episodes
from transferkit.probes.fewshot import evaluate_episodes
from transferkit.probes.halves import draw_halves

DIMENSIONS = 64
ALIKE = 0.5
"""Correlation of the noise of the two models: the same images are hard for both."""

POOLS = 100


@dataclass(frozen=True)
class Setting:
    """A simulated setting.

    Attributes:
        rows: images per class.
        classes: number of classes.
        shots: support images per class and episode.
        method: the few-shot classifier.
        spread: standard deviation of the class means; the noise has 1.
        group: images per group. Images of one group share half of the variance of their noise.
    """

    rows: int
    classes: int
    shots: int
    method: Method
    spread: float = 0.25
    group: int = 1

    def __str__(self) -> str:
        groups = f", groups of {self.group}" if self.group > 1 else ""
        return f"| {self.method}, {self.shots}-shot{groups} | {self.rows} x {self.classes} "


SETTINGS = (
    Setting(20, 5, 1, "proto"),
    Setting(20, 50, 5, "proto"),
    Setting(52, 10, 5, "proto"),
    Setting(36, 5, 20, "proto"),
    Setting(52, 10, 5, "proto", group=4),
    Setting(500, 10, 5, "proto"),
    Setting(20, 5, 5, "nn", spread=0.35),
    Setting(20, 10, 1, "nn", spread=0.35),
    Setting(52, 50, 5, "nn", spread=0.35),
    Setting(52, 5, 20, "nn", spread=0.35),
    Setting(500, 5, 1, "nn", spread=0.35),
    Setting(20, 5, 5, "lr"),
    Setting(20, 50, 1, "lr"),
    Setting(52, 10, 5, "lr"),
    Setting(52, 10, 5, "lr", spread=0.75),
    Setting(200, 10, 5, "lr"),
    Setting(52, 5, 20, "lr"),
    Setting(200, 50, 5, "lr"),
)
"""Settings of the table in the documentation: few and many images, few and many classes, 1 to 20 shots."""


@dataclass(frozen=True)
class Found:
    """Rates over some pools of one setting.

    Attributes:
        accuracy: mean over the pools.
        episode_coverage: fraction of the intervals over episodes that contain the population's accuracy.
        coverage: fraction of the intervals over images that contain it.
        width: mean width of that interval, divided by the true one.
        different: fraction of the pools in which two equally good models differ by p < 0.05.
    """

    accuracy: float
    episode_coverage: float
    coverage: float
    width: float
    different: float

    def __str__(self) -> str:
        return (
            f"| {self.accuracy:.3f} | {self.episode_coverage:.2f} | {self.coverage:.2f} | {self.width:.2f} "
            f"| {self.different:.2f} |"
        )


def simulate(setting: Setting, pools: int) -> Found:
    """Draw pools of images and compare what is reported of each with the mean over all."""
    both = [_pool_outcomes(setting, pool) for pool in range(pools)]
    outcomes = [one for pair in both for one in pair]
    values = np.array([one.accuracies.mean() for one in outcomes])  # [2 pools]
    images = setting.rows * setting.classes
    over = [interval_over_images(one.accuracies, one.half_accuracies, images=images) for one in outcomes]
    narrow = [mean_interval(one.accuracies) for one in outcomes]
    truth = values.mean()
    tests = [compare_outcomes(*pair).p for pair in both]
    return Found(
        accuracy=float(truth),
        episode_coverage=float(np.mean([one.low <= truth <= one.high for one in narrow])),
        coverage=float(np.mean([one.low <= truth <= one.high for one in over])),
        width=float(np.mean([one.high - one.low for one in over]) / (2 * 1.96 * values.std(ddof=1))),
        different=float(np.mean(np.array(tests) < 0.05)),
    )


def _pool_outcomes(setting: Setting, pool: int) -> tuple[Outcomes, Outcomes]:
    """Outcomes of both models on one pool of images."""
    labels = np.repeat(np.arange(setting.classes), setting.rows)
    names = [f"{row:06}" for row in range(len(labels))]
    groups = None if setting.group == 1 else [f"{row // setting.group:06}" for row in range(len(labels))]
    fewshot = FewshotSettings(shots=setting.shots, method=setting.method)
    draw = {"seed": pool, "groups": groups}
    episodes = draw_episodes(labels, names, fewshot.shape, **draw)
    halves = draw_halves(labels, names, fewshot.shape, **draw)
    first, second = (
        evaluate_episodes(x, "episodes", episodes.rows(names), halves, fewshot) for x in features(setting, labels, pool)
    )
    return first, second


def features(setting: Setting, labels: NDArray[np.int64], pool: int) -> tuple[Tensor, Tensor]:
    """Unit rows ``[n, d]`` of two models that are equally good in the population."""
    means = generator(0, "means", setting.classes).normal(size=(setting.classes, DIMENSIONS)) * setting.spread
    rng = generator(pool, "images")
    shared, first, second = (_noise(rng, len(labels), setting.group) for _ in range(3))
    both = [means[labels] + ALIKE**0.5 * shared + (1 - ALIKE) ** 0.5 * own for own in (first, second)]
    one, other = (torch.nn.functional.normalize(torch.from_numpy(x).float()) for x in both)
    return one, other


def _noise(rng: np.random.Generator, n: int, group: int) -> NDArray[np.float64]:
    own = rng.normal(size=(n, DIMENSIONS))
    if group == 1:
        return own
    shared = rng.normal(size=(-(-n // group), DIMENSIONS))[np.arange(n) // group]
    return (own + shared) * 0.5**0.5


def main() -> None:
    """Print the table."""
    report(SETTINGS, POOLS)


def report(chosen: Iterable[Setting], pools: int) -> None:
    """Print a row per setting, in Markdown."""
    print(f"{pools} pools of two models each; standard errors are about 0.02 of coverage and p, 0.07 of width")
    print("| episodes | images | accuracy | episodes' coverage | coverage | width / true | p < 0.05 |")
    print("|---|---|---|---|---|---|---|")
    for setting in chosen:
        print(f"{setting}{simulate(setting, pools)}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pools", type=int, default=POOLS)
    parser.add_argument("--method", choices=("proto", "nn", "lr"))
    given = parser.parse_args()
    report((one for one in SETTINGS if given.method in (None, one.method)), given.pools)
