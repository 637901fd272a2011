"""Plans of data sets, and the rendering of their images."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..core.progress import SILENT, Reporter
from ..core.seeding import generator
from .canvas import SIZE, Draw, Factors, quantised

VERSION = 2  # version of the suite, which increases with any change of a byte
SEED = 1  # seed of all images; independent of VERSION, so that unchanged data sets keep their bytes
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class SetPlan:
    """Classes and numbers of images of a data set.

    Attributes:
        name: Name after ``mini/``.
        classes: Class names ``[c]``.
        counts: Number of images per class in train, val and test.
    """

    name: str
    classes: tuple[str, ...]
    counts: tuple[int, int, int]

    def rows(self) -> list[tuple[str, str, int]]:
        """List ``(split, class, number)`` of every image: split by split, with alternating classes."""
        return [
            (split, kind, number)
            for split, count in zip(SPLITS, self.counts, strict=True)
            for number in range(count)
            for kind in self.classes
        ]

    def ids(self) -> tuple[str, ...]:
        """Return the image ids ``[n]``, such as ``train/oak-0012``."""
        return tuple(f"{split}/{kind}-{number:04d}" for split, kind, number in self.rows())

    def labels(self) -> NDArray[np.int64]:
        """Return the labels ``[n]`` in ``0 … c-1``."""
        return np.tile(np.arange(len(self.classes)), sum(self.counts))

    def extent(self, split: str) -> slice:
        """Return the range of the rows of ``split``."""
        at = SPLITS.index(split)
        size = len(self.classes)
        return slice(size * sum(self.counts[:at]), size * sum(self.counts[: at + 1]))

    def rng(self, *labels: str | int) -> np.random.Generator:
        """Return the random generator of one image or of one class."""
        return generator(SEED, "mini", self.name, *labels)


@dataclass(frozen=True, eq=False)
class Rendered:
    """Images of a plan, uint8 ``[n, 64, 64, 3]``, and their factors, each ``[n]`` or ``[n, k]``."""

    images: NDArray[np.uint8]
    factors: Mapping[str, NDArray]


Picture = tuple[NDArray[np.uint8], Factors]
"""One image ``[64, 64, 3]`` and its factors."""


def drawn(plan: SetPlan, draw: Draw) -> Iterator[Picture]:
    """Draw every image of ``plan``, each with its own random generator."""
    for split, kind, number in plan.rows():
        canvas, factors = draw(kind, plan.rng(split, kind, number))
        yield quantised(canvas), factors


def stack_pictures(plan: SetPlan, pictures: Iterable[Picture], *, reporter: Reporter = SILENT) -> Rendered:
    """Stack the images of ``plan``, and their factors by name."""
    labels = plan.labels()
    images = np.empty((len(labels), SIZE, SIZE, 3), np.uint8)
    factors: list[Factors] = []
    with reporter.task(f"Drawing mini/{plan.name}", len(labels), "images") as task:
        for place, (image, chosen) in zip(images, pictures, strict=True):
            place[:] = image
            factors.append(chosen)
            task.advance()
    return Rendered(images, {name: np.array([one[name] for one in factors]) for name in factors[0]})
