"""Description of a published data set: its properties, downloads, layout and reader.

All other modules of this package depend on these classes.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, Protocol

from ...core.registry import Registry
from ..dataset import Reader

Rows = dict[str, int]
"""Id → label, in the order of the split."""

Label = int | tuple[int, ...]
"""Number of a class; or one label per class ``[c]``, see ``core.labels``."""

WHOLE = "all"
"""Name of the only part of a data set without an official split."""


@dataclass(frozen=True)
class Download:
    """One downloadable file.

    Attributes:
        url: Address of the file.
        file: Name of the file on disk.
        size_bytes: Published size; None if unknown.
        digest: Digest of the file as ``sha256:…`` or ``md5:…``; if it is empty, the digest of the first download is
            recorded.
        into: Target folder of an archive, relative to the folder of the data set; empty for that folder.
    """

    url: str
    file: str
    size_bytes: int | None = None
    digest: str = ""
    into: str = ""

    @property
    def required_bytes(self) -> int | None:
        """Size that the file must have; None if a digest identifies the file."""
        return None if self.digest else self.size_bytes


class Inventory(Protocol):
    """Classes and number of images in a folder, which preparation validates."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names ``[c]``."""

    def count_images(self) -> int:
        """Count the images of all splits."""


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
class Publication:
    """A published data set of images with labels or boxes, and how to get it.

    Attributes:
        name: Name on the command line, and of the folder in the data folder.
        domain: One of the six domains of the study, or ``detection``; empty for other domains.
        n_classes: Number of classes.
        counts: Number of images per official split; ``all`` if there is no official split.
        licence: Licence of the images.
        citation: Citation of the paper.
        homepage: Address of the homepage.
        layout: Layout of the archive, in one line.
        split_rule: Definition of train, val and test, in one line.
        read: Function that lists a folder in that layout, and raises a ``DataError`` for other layouts.
        marks: Required files or folders, at most two folders deep; if some are missing the data set is ``partial``,
            if all are missing it is ``absent``. ``A|B`` means either of two.
        class_folders: Whether the first mark is a class folder next to all other class folders; with fewer folders
            than classes the data set is ``partial``.
        downloads: Files that ``prepare`` fetches; empty if the licence or a login prevents it.
        steps: Manual steps for users if there are no downloads.
        size_bytes: Approximate size of the unpacked archive; None if unknown.
    """

    name: str
    domain: str
    n_classes: int
    counts: Mapping[str, int]
    licence: str
    citation: str
    homepage: str
    layout: str
    split_rule: str
    read: Callable[[Path], Inventory]
    marks: tuple[str, ...]
    downloads: tuple[Download, ...] = ()
    steps: tuple[str, ...] = ()
    size_bytes: int | None = None
    class_folders: bool = False

    @property
    def expected(self) -> str:
        """Required files and folders, as text."""
        marks = ", ".join(mark.replace("|", " or ") for mark in self.marks)
        return f"{marks} ({self.n_classes} class folders in all)" if self.class_folders else marks


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


State = Literal["ready", "partial", "absent"]


def state_of(published: Publication, folder: Path) -> State:
    """Return the state of the data set in ``folder``, judged by the presence of a few names."""
    roots = list(_candidate_roots(folder))
    present = [_has(roots, mark) for mark in published.marks]
    if published.class_folders:
        present.append(_folders_beside(roots, published.marks[0]) >= published.n_classes)
    return "ready" if all(present) else "partial" if any(present) else "absent"


def top_of(published: Publication, folder: Path) -> Path:
    """Return the root of the data set: ``folder``, or the shallowest folder in it with the most marks."""
    return max(_candidate_roots(folder), key=lambda root: sum(_has([root], mark) for mark in published.marks))


def _has(roots: Sequence[Path], mark: str) -> bool:
    """Return whether a mark exists in one of the candidate roots."""
    names = mark.split("|")
    return any((place / name).exists() for place in roots for name in names)


def _folders_beside(roots: Sequence[Path], mark: str) -> int:
    """Count the folders next to a mark, including itself; if there are several candidates, return the maximum."""
    places = [(root / mark).parent for root in roots if (root / mark).is_dir()]
    return max((sum(map(_is_folder, os.scandir(place))) for place in places), default=0)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir() and not _hidden(entry.name)


def _candidate_roots(folder: Path, *, depth: int = 2) -> Iterator[Path]:
    """Yield the folder and its subfolders as candidate roots, shallow ones first."""
    yield folder
    if not depth:
        return
    try:
        with os.scandir(folder) as entries:
            inner = [Path(entry) for entry in entries if _is_folder(entry)]
    except OSError:
        return
    for one in sorted(inner)[:_MAX_ROOTS]:
        yield from _candidate_roots(one, depth=depth - 1)


def _hidden(name: str) -> bool:
    return name.startswith((".", "__MACOSX"))


_MAX_ROOTS = 64
