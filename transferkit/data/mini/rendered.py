"""What rendering a set gives, and the loop that draws one."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...core.progress import SILENT, Reporter
from ...core.seeding import generator
from .canvas import SIZE, Draw, Factors, quantised

VERSION = 2  # of the suite: a change of any byte needs a new one
SEED = 1  # of every image; not raised with VERSION, so that sets that did not change keep their bytes
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class SetPlan:
    """Which images a set has.

    Attributes:
        name: behind ``mini/``.
        classes: ``[c]`` names.
        counts: images of each class in train, val and test.
    """

    name: str
    classes: tuple[str, ...]
    counts: tuple[int, int, int]

    def rows(self) -> list[tuple[str, str, int]]:
        """``(split, class, number)`` of every image: split by split, classes taking turns."""
        return [
            (split, kind, number)
            for split, count in zip(SPLITS, self.counts, strict=True)
            for number in range(count)
            for kind in self.classes
        ]

    def ids(self) -> tuple[str, ...]:
        """``[n]`` names such as ``train/oak-0012``."""
        return tuple(f"{split}/{kind}-{number:04d}" for split, kind, number in self.rows())

    def labels(self) -> NDArray[np.int64]:
        """``[n]`` integers in ``0 … c-1``."""
        return np.tile(np.arange(len(self.classes)), sum(self.counts))

    def extent(self, split: str) -> slice:
        """The rows of ``split``."""
        at = SPLITS.index(split)
        size = len(self.classes)
        return slice(size * sum(self.counts[:at]), size * sum(self.counts[: at + 1]))

    def rng(self, *labels: str | int) -> np.random.Generator:
        """The generator of one image, or of one class."""
        return generator(SEED, "mini", self.name, *labels)


@dataclass(frozen=True, eq=False)
class Rendered:
    """The images of a plan: ``[n, 64, 64, 3]`` bytes, and factors ``[n]`` or ``[n, k]`` each."""

    images: NDArray[np.uint8]
    factors: Mapping[str, NDArray]


Picture = tuple[NDArray[np.uint8], Factors]
"""One image ``[64, 64, 3]``, and what was chosen for it."""


def drawn(plan: SetPlan, draw: Draw) -> Iterator[Picture]:
    """Draw every image of ``plan``, each with its own generator."""
    for split, kind, number in plan.rows():
        canvas, factors = draw(kind, plan.rng(split, kind, number))
        yield quantised(canvas), factors


def load_results(plan: SetPlan, pictures: Iterable[Picture], *, reporter: Reporter = SILENT) -> Rendered:
    """Stack the images of ``plan`` as they come, and their factors by name."""
    labels = plan.labels()
    images = np.empty((len(labels), SIZE, SIZE, 3), np.uint8)
    factors: list[Factors] = []
    with reporter.task(f"Drawing mini/{plan.name}", len(labels), "images") as task:
        for place, (image, chosen) in zip(images, pictures, strict=True):
            place[:] = image
            factors.append(chosen)
            task.advance()
    return Rendered(images, {name: np.array([one[name] for one in factors]) for name in factors[0]})
