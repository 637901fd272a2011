"""The contract of this room: a published data set states what it is, and reads its archive's layout as it is.

Read this first, then any sibling.
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
"""The number of a class; or what an image says of each class, ``[c]`` as of ``core.labels``."""

WHOLE = "all"
"""The only part of a set without an official split."""


@dataclass(frozen=True)
class Download:
    """One file that the publisher offers.

    Attributes:
        url: where it lies.
        file: its name on the disk.
        size_bytes: as published; None where that is not stated.
        digest: ``sha256:…`` or ``md5:…``, of exactly this file; empty where nobody states one, and then what
            was fetched first is remembered.
        into: folder below the set's own that an archive is unpacked into; empty for the set's folder.
    """

    url: str
    file: str
    size_bytes: int | None = None
    digest: str = ""
    into: str = ""

    @property
    def required_bytes(self) -> int | None:
        """The size that a file must have where no digest says whether it is the right one."""
        return None if self.digest else self.size_bytes


class Inventory(Protocol):
    """What a folder in the archive's layout holds, as far as preparing it asks."""

    @property
    def classes(self) -> tuple[str, ...]:
        """``[c]`` names."""

    def count_images(self) -> int:
        """How many images there are, in all splits."""


@dataclass(frozen=True, eq=False)
class Listing:
    """What a folder in the archive's layout holds; no image has been decoded.

    Attributes:
        parts: official split → id → label, in the order of the split; the only part is ``all`` where there is
            no official split.
        classes: ``[c]`` names.
        notes: what was left out, and why; for people.
        paths: id → path below the folder, of images whose id is not that path.
        reader: makes the reader of some ids, for images that are not files; None for files below the folder.
        files: files whose bytes make the fingerprint; the images themselves unless given.
    """

    parts: Mapping[str, Mapping[str, Label]]
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()
    paths: Mapping[str, str] = field(default_factory=dict)
    reader: Callable[[Sequence[str]], Reader] | None = None
    files: tuple[str, ...] = ()

    def count_images(self) -> int:
        """How many rows all parts have."""
        return sum(map(len, self.parts.values()))


@dataclass(frozen=True)
class Publication:
    """What authors published, and how it is got; of images with a label or with boxes.

    Attributes:
        name: on the command line, and of its folder in the data folder.
        domain: of the study's six, or ``detection``; empty where none fits.
        n_classes: how many.
        counts: images in each official split; ``all`` where there is none.
        licence: under which the images may be used.
        citation: of the paper.
        homepage: where people find it.
        layout: the archive's, in one line.
        split_rule: which rows are train, val and test, in one line.
        read: lists a folder in that layout; ``DataError`` where it is another.
        marks: files or folders that must be there, at most two folders deep; with some of them the set is
            partial, with none absent. ``A|B`` is either of two.
        class_folders: whether the first mark is the folder of a class, and those of all others lie beside it;
            with fewer of them than classes the set is partial.
        downloads: what ``prepare`` may fetch; empty where the licence or a login forbids it.
        steps: what a person does by hand where there are no downloads.
        size_bytes: of the unpacked archive, about; None where nobody says.
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
        """What must be there, for people."""
        marks = ", ".join(mark.replace("|", " or ") for mark in self.marks)
        return f"{marks} ({self.n_classes} class folders in all)" if self.class_folders else marks


@dataclass(frozen=True)
class Option:
    """Another reading of a set: what stands behind the colon of its spec.

    Attributes:
        read: lists the folder so.
        n_classes: of this reading; None where it has those of the set.
        counts: images of this reading; None where it has those of the set.
    """

    read: Callable[[Path], Listing]
    n_classes: int | None = None
    counts: Mapping[str, int] | None = None


@dataclass(frozen=True)
class Published(Publication):
    """A data set of images with a label each, or several, as its authors published it.

    Attributes:
        metric: ``top1``, ``mean_per_class`` or ``map11``, as Kornblith et al. report this set.
        options: what may stand behind the colon of the spec → that reading of the set.
        group: of the catalog, that the set belongs to.
    """

    read: Callable[[Path], Listing]
    metric: str = "top1"
    options: Mapping[str, Option] = field(default_factory=dict)
    group: str = "paper12"

    def reading(self, option: str) -> "Published":
        """The set as ``NAME:OPTION`` reads it, with what is published of that; itself without an option."""
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
    """Whether ``folder`` holds the set, as far as the presence of a few names tells."""
    tops = list(_tops(folder))
    present = [_has(tops, mark) for mark in published.marks]
    if published.class_folders:
        present.append(_folders_beside(tops, published.marks[0]) >= published.n_classes)
    return "ready" if all(present) else "partial" if any(present) else "absent"


def top_of(published: Publication, folder: Path) -> Path:
    """The folder, or one that an unpacker made in it: the shallowest that has most of the set's marks."""
    return max(_tops(folder), key=lambda top: sum(_has([top], mark) for mark in published.marks))


def _has(tops: Sequence[Path], mark: str) -> bool:
    """Whether ``mark`` lies in the folder, or in one or two folders that an unpacker made around it."""
    names = mark.split("|")
    return any((place / name).exists() for place in tops for name in names)


def _folders_beside(tops: Sequence[Path], mark: str) -> int:
    """How many folders lie where ``mark`` is, itself among them; the most, where it is in several places."""
    places = [(top / mark).parent for top in tops if (top / mark).is_dir()]
    return max((sum(map(_is_folder, os.scandir(place))) for place in places), default=0)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir() and not _hidden(entry.name)


def _tops(folder: Path, *, depth: int = 2) -> Iterator[Path]:
    """The folder and those in it, the shallow ones first; as many as a wrapped archive can have."""
    yield folder
    if not depth:
        return
    try:
        with os.scandir(folder) as entries:
            inner = [Path(entry) for entry in entries if _is_folder(entry)]
    except OSError:
        return
    for one in sorted(inner)[:_MOST_TOPS]:
        yield from _tops(one, depth=depth - 1)


def _hidden(name: str) -> bool:
    return name.startswith((".", "__MACOSX"))


_MOST_TOPS = 64
