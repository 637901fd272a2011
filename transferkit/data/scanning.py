"""Scanning of an image folder: its splits, its classes, and files that belong to neither."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ..core.errors import DataError
from .decoding import IMAGE_EXTENSIONS
from .fingerprints import Stamp

SPLIT_FOLDERS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
"""Folder name → split, in the order of the splits."""

WHOLE = "all"
"""Name of the only split of a folder without split folders."""

UNLABELLED = "unlabelled"
"""Name of the only class of a folder that has images and no class folders."""

_NON_IMAGE_EXTENSIONS = frozenset(
    (".csv", ".db", ".html", ".ini", ".json", ".md", ".tsv", ".txt", ".xml", ".yaml", ".yml")
)

ClassImages = dict[str, list[str]]
"""Class → ids of its images: paths relative to the root, with ``/``."""


@dataclass(frozen=True)
class Scan:
    """Contents of a folder.

    Attributes:
        parts: Split → class → ids; the only split is ``all`` if the folder has no split folders.
        stamps: Id → stamp of every image; None if the file has no status, such as a broken link.
        unclassified: Images outside of class folders.
        non_images: Files without an image extension, except common types such as ``.txt``.
    """

    parts: dict[str, ClassImages] = field(default_factory=dict)
    stamps: dict[str, Stamp | None] = field(default_factory=dict)
    unclassified: list[str] = field(default_factory=list)
    non_images: list[str] = field(default_factory=list)


def scan(folder: Path) -> Scan:
    """Scan every file below ``folder`` once, without opening any.

    ``folder`` has split folders if ``folder/train`` contains folders; otherwise ``train`` is a class. If ``folder``
    contains images and no folders, all images are ``train`` and unlabelled.

    Raises: DataError: If the folder cannot be listed, or has another layout.
    """
    names = [entry.name for entry in _listed(folder) if entry.is_dir()]
    found = Scan()
    if "train" in names and any(entry.is_dir() for entry in _listed(folder / "train")):
        for split, name in _split_folders(folder, names).items():
            found.parts[split] = _part(folder, f"{name}/", found)
    elif names and SPLIT_FOLDERS.keys() >= set(names):
        raise DataError(
            f"{folder} has {', '.join(names)}, but no class folders in {folder / 'train'}. {expected(folder)}"
        )
    elif names:
        found.parts[WHOLE] = _part(folder, "", found)
    else:
        found.parts["train"] = {UNLABELLED: _images(folder, "", found)}
    _require_text(folder, found)
    return found


def expected(folder: Path) -> str:
    """Describe the supported layouts in a sentence."""
    return (
        f"Expected are {folder}/cat/1.jpg and {folder}/dog/2.jpg, "
        f"or {folder}/train/cat/1.jpg and {folder}/test/cat/2.jpg."
    )


def _split_folders(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """Map each split to its folder name."""
    found: dict[str, str] = {}
    for name, split in SPLIT_FOLDERS.items():
        if name in names:
            if split in found:
                raise DataError(f"{folder} has both {found[split]} and {name}: keep one of them.")
            found[split] = name
    return found


def _part(folder: Path, below: str, found: Scan) -> ClassImages:
    part = {}
    for entry in _listed(folder / below):
        if entry.is_dir():
            part[entry.name] = _images(folder, f"{below}{entry.name}/", found)
        elif _extension(entry.name) in IMAGE_EXTENSIONS:
            found.unclassified.append(below + entry.name)
    return part


def _images(folder: Path, below: str, found: Scan) -> list[str]:
    ids = []
    for entry in _listed(folder / below):
        name = below + entry.name
        extension = _extension(entry.name)
        if entry.is_dir():
            _refuse_images_in(folder, below, entry)
        elif extension in IMAGE_EXTENSIONS and _may_be_read(entry):
            found.stamps[name] = _stamp(entry)
            ids.append(name)
        elif extension not in _NON_IMAGE_EXTENSIONS:
            found.non_images.append(name)
    return ids


def _refuse_images_in(folder: Path, below: str, inner: os.DirEntry[str]) -> None:
    for parent, _, files in os.walk(inner):
        for file in files:
            if _extension(file) in IMAGE_EXTENSIONS:
                outer = folder / below
                raise DataError(
                    f"The class folder {outer} holds folders with images, such as {Path(parent, file)}. "
                    f"{expected(folder)} If {outer} is the data set itself, name folder:{outer}."
                )


def _listed(folder: Path) -> list[os.DirEntry[str]]:
    """List the entries of a folder, without hidden ones."""
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not entry.name.startswith((".", "__MACOSX"))]
    except FileNotFoundError as error:
        raise DataError(f"There is no folder {folder}.") from error
    except NotADirectoryError as error:
        raise DataError(f"{folder} is a file: name the folder that holds the class folders.") from error
    except OSError as error:
        raise DataError(f"{folder} cannot be listed: {error.strerror}.") from error


def _extension(name: str) -> str:
    stem, dot, extension = name.rpartition(".")
    return dot + extension.lower() if stem else ""


def _may_be_read(entry: os.DirEntry[str]) -> bool:
    """Return whether an entry is a file or a broken link; reading a pipe or device could block forever."""
    return entry.is_file() or (entry.is_symlink() and not Path(entry).exists())


def _stamp(entry: os.DirEntry[str]) -> Stamp | None:
    try:
        status = entry.stat()
    except OSError:
        return None
    return Stamp(status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _require_text(folder: Path, found: Scan) -> None:
    """Raise a DataError for names that are not valid UTF-8, because records could not store them."""
    names = [*found.stamps, *(name for part in found.parts.values() for name in part)]
    try:
        "\n".join(names).encode()
    except UnicodeEncodeError as error:
        bad = next(name for name in names if not _is_text(name))
        raise DataError(f"{folder}: the name {bad!a} is not valid UTF-8. Rename it.") from error


def _is_text(name: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in name)
