"""Description of a published data set: its properties, its downloads, and whether a folder contains it."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from ..core.errors import DataError


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


def require_present(published: Publication, folder: Path) -> None:
    """Check that a folder contains the data set.

    Raises: DataError: If it does not; the message describes how to get the data set.
    """
    state = state_of(published, folder)
    if state != "ready":
        what = "is absent" if state == "absent" else "is incomplete"
        raise DataError(
            f"{published.name} {what}: expected is {folder} with {published.expected}. "
            f"Get it with: transferkit datasets prepare {published.name}"
        )
