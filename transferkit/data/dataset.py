"""The contract of this room: a data set has splits, a split has rows, a row has an image.

Read this first, then any sibling.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DataError, ShapeError
from ..core.files import digest_of
from ..core.groups import grouped_fingerprint, require_disjoint_groups
from ..core.progress import SILENT, Reporter
from ..core.registry import Registry


class Reader(Protocol):
    """Decodes the rows of one split. Picklable, so that worker processes can have it."""

    def image(self, row: int) -> NDArray[np.uint8]:
        """The image of ``row``: ``[height, width, 3]``, upright RGB.

        Raises: UnreadableImageError: if the file cannot be decoded; the message is the reason.
        """


@dataclass(frozen=True, eq=False)
class Split:
    """The rows of one split, in a fixed order.

    Shapes: ``n`` rows, ``c`` classes.

    Attributes:
        dataset: the data set's canonical spec, such as ``mini/digits`` or ``folder:/data/leaves``.
        name: ``train``, ``val`` or ``test``.
        ids: ``[n]`` stable, readable, unique; for folders the path below the root, with ``/``.
        labels: ``[n]`` integers in ``0 … c-1``; or ``[n, c]`` where an image may have several, as of
            ``core.labels``.
        classes: ``[c]`` names; the same for every split of the data set.
        fingerprint: hex digest over ids, labels, class names and every image's bytes.
        reader: decodes row ``i``.
        factors: recorded ground truth of drawn images, each ``[n]`` or ``[n, k]``.
        groups: ``[n]`` name of the group of each sample, the same in every split. Samples of one group are
            not independent: they never lie in two splits, nor in the support and the queries of one episode.
            None where each sample is a group of its own.
    """

    dataset: str
    name: str
    ids: tuple[str, ...]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    fingerprint: str
    reader: Reader
    factors: Mapping[str, NDArray] = field(default_factory=dict)
    groups: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.groups is not None and len(self.groups) != len(self.ids):
            raise ShapeError(
                f"{self.dataset} {self.name} has {len(self.ids)} images and {len(self.groups)} groups: give "
                "one group per image, or none at all."
            )

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, eq=False)
class Dataset:
    """A named thing with splits.

    Attributes:
        spec: canonical; a folder's path is absolute in it.
        splits: by name, in the order ``train``, ``val``, ``test``; ``val`` may be absent.
        domain: ``natural``, ``satellite``, ``symbolic``, ``medical``, ``illustrative``, ``texture`` or empty.
        source: where the images come from, for people.
        licence: under which they may be used.

    Raises: DataError: if two splits share a group.
    """

    spec: str
    splits: Mapping[str, Split]
    domain: str = ""
    source: str = ""
    licence: str = ""

    def __post_init__(self) -> None:
        require_disjoint_groups({name: split.groups for name, split in self.splits.items()}, data=self.spec)

    @property
    def fingerprint(self) -> str:
        """Hex digest over the fingerprints and the groups of all splits."""
        return digest_of(
            {name: grouped_fingerprint(split.fingerprint, split.groups) for name, split in self.splits.items()}
        )

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return next(iter(self.splits.values())).classes

    def split(self, name: str) -> Split:
        """The split called ``name``.

        Raises: DataError: if there is none, naming those there are.
        """
        if name not in self.splits:
            raise DataError(f"{self.spec} has no split {name!r}, only {', '.join(self.splits)}.")
        return self.splits[name]


class Opener(Protocol):
    """Opens the data set that ``rest`` (what follows the registered name) stands for."""

    def __call__(self, rest: str, *, root: Path, seed: int, reporter: Reporter = SILENT) -> Dataset:
        """Open it.

        Args:
            rest: what stands behind the colon of the spec; empty for a plain name.
            root: the data folder, for sets that are kept there.
            seed: of the split, where the set has no official one.
            reporter: told how far long work, such as drawing or hashing, has come.
        """


DATASETS: Registry[Opener] = Registry("data set")
