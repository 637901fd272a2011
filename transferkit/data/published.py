"""Published data sets of images with one or several labels, and what a folder in their layout contains."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..core.registry import Registry
from ..download.publication import Publication
from .dataset import Reader

Rows = dict[str, int]
"""Id → label, in the order of the split."""

Label = int | tuple[int, ...]
"""Number of a class; or one label per class ``[c]``, see ``core.labels``."""

WHOLE = "all"
"""Name of the only part of a data set without an official split."""


@dataclass(frozen=True, eq=False)
class Listing:
    """Contents of a folder in the layout of the archive; images are not decoded.

    Attributes:
        parts: Official split → id → label, in the order of the split; the only part is ``all`` if there is no official
            split.
        classes: Class names ``[c]``.
        notes: Notes for users on omitted images and labels.
        paths: Id → path relative to the folder, for images whose id is not that path.
        reader: Function that makes the reader of given ids, for images that are not files; None for image files.
        files: Files whose bytes determine the fingerprint; by default the images.
    """

    parts: Mapping[str, Mapping[str, Label]]
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()
    paths: Mapping[str, str] = field(default_factory=dict)
    reader: Callable[[Sequence[str]], Reader] | None = None
    files: tuple[str, ...] = ()

    def count_images(self) -> int:
        """Count the rows of all parts."""
        return sum(map(len, self.parts.values()))


@dataclass(frozen=True)
class Option:
    """An option of a data set, which follows the colon of its spec.

    Attributes:
        read: Function that lists the folder with this option.
        n_classes: Number of classes with this option; None if unchanged.
        counts: Number of images per split with this option; None if unchanged.
    """

    read: Callable[[Path], Listing]
    n_classes: int | None = None
    counts: Mapping[str, int] | None = None


@dataclass(frozen=True)
class Published(Publication):
    """A published data set of images with one or several labels.

    Attributes:
        metric: Metric of this data set in Kornblith et al.: ``top1``, ``mean_per_class`` or ``map11``.
        options: Option name after the colon of the spec → option.
        group: Group of the data set in the catalog.
    """

    read: Callable[[Path], Listing]
    metric: str = "top1"
    options: Mapping[str, Option] = field(default_factory=dict)
    group: str = "paper12"

    def reading(self, option: str) -> "Published":
        """Return the publication with an option; without an option, return it unchanged."""
        if not option:
            return self
        other = self.options[option]
        return replace(
            self,
            read=other.read,
            n_classes=self.n_classes if other.n_classes is None else other.n_classes,
            counts=self.counts if other.counts is None else other.counts,
        )


PUBLISHED: Registry[Published] = Registry("published data set")
