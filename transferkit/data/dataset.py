"""The data set contract: a data set has splits, a split has rows, and each row has an image.

All other modules of this package depend on these classes.
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
    """Decodes the rows of one split; it is picklable, so that worker processes can receive it."""

    def image(self, row: int) -> NDArray[np.uint8]:
        """Decode the image of ``row``: upright RGB ``[height, width, 3]``.

        Raises: UnreadableImageError: If the file cannot be decoded; the message is the reason.
        """


@dataclass(frozen=True, eq=False)
class Split:
    """The rows of one split, in a fixed order.

    Shapes: ``n`` rows, ``c`` classes.

    Attributes:
        dataset: Canonical spec of the data set, such as ``mini/digits`` or ``folder:/data/leaves``.
        name: ``train``, ``val`` or ``test``.
        ids: Stable, readable and unique image ids ``[n]``; for folders the path relative to the root, with ``/``.
        labels: Integers ``[n]`` in ``0 … c-1``; or ``[n, c]`` for images with several labels, see ``core.labels``.
        classes: Class names ``[c]``; they are the same in every split of the data set.
        fingerprint: Hex digest of ids, labels, class names and the bytes of every image.
        reader: Decoder of the rows.
        factors: Recorded generative factors of drawn images, each ``[n]`` or ``[n, k]``.
        groups: Group name of each sample ``[n]``. Samples of one group are not independent: no group occurs in two
            splits, or in both the support and the query images of one episode. None if every sample is its own
            group.
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
    """A named data set with its splits.

    Attributes:
        spec: Canonical spec, in which the path of a folder is absolute.
        splits: Splits by name, in the order ``train``, ``val``, ``test``; ``val`` may be absent.
        domain: ``natural``, ``satellite``, ``symbolic``, ``medical``, ``illustrative``, ``texture`` or empty.
        source: Origin of the images, as text.
        licence: Licence of the images.

    Raises: DataError: If two splits share a group.
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
        """Hex digest of the fingerprints and the groups of all splits."""
        return digest_of(
            {name: grouped_fingerprint(split.fingerprint, split.groups) for name, split in self.splits.items()}
        )

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the labels."""
        return next(iter(self.splits.values())).classes

    def split(self, name: str) -> Split:
        """Return the split ``name``.

        Raises: DataError: If the split does not exist; the message names the existing splits.
        """
        if name not in self.splits:
            raise DataError(f"{self.spec} has no split {name!r}. Choose from: {', '.join(self.splits)}.")
        return self.splits[name]


class Opener(Protocol):
    """Opens one kind of data set from ``rest``, the part of a spec after the registered name."""

    def __call__(self, rest: str, *, root: Path, seed: int, reporter: Reporter = SILENT) -> Dataset:
        """Open the data set.

        Args:
            rest: Part of the spec after the colon; empty for a plain name.
            root: Data folder, where prepared data sets are stored.
            seed: Seed of the split, for data sets without an official split.
            reporter: Receives the progress of long work such as drawing or hashing.
        """


DATASETS: Registry[Opener] = Registry("data set", group="transferkit.datasets")
