"""Listing of the folder of a published data set, with or without extra parent folders from unpacking."""

import csv
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypeVar

from ..core.errors import DataError
from ..core.wording import counted
from ..data.decoding import IMAGE_EXTENSIONS
from ..data.published import PUBLISHED, Label, Listing

LabelType = TypeVar("LabelType")


@dataclass(frozen=True)
class Contents:
    """All files below a folder except hidden ones; the files are not opened.

    Attributes:
        folder: Path of the folder.
        files: Sorted paths relative to the folder, with ``/``.
    """

    folder: Path
    files: tuple[str, ...]

    @classmethod
    def of(cls, folder: Path) -> "Contents":
        """List the files of a folder.

        Raises: DataError: If the folder cannot be listed, or a name is not valid UTF-8.
        """
        files = tuple(sorted(_walk(folder, "")))
        try:
            "\n".join(files).encode()
        except UnicodeEncodeError as error:
            raise DataError(f"{folder} has a name that is not valid UTF-8. Unpack it again.") from error
        return cls(folder, files)

    @property
    def images(self) -> Iterator[str]:
        """Paths of files with an image extension."""
        return (path for path in self.files if PurePosixPath(path).suffix.lower() in IMAGE_EXTENSIONS)

    def file(self, *names: str) -> str:
        """Return the path of the only file with one of these names, in any folder.

        Raises: DataError: If there is none, or there are several.
        """
        found = self.find(*names)
        if found is None:
            raise self.missing(f"the file {' or '.join(names)}")
        return found

    def find(self, *names: str) -> str | None:
        """Return the path of the only file with one of these names, or None if there is none.

        A name with a folder, such as ``labels/train1.txt``, matches that file in that folder.
        """
        for name in names:
            found = [path for path in self.files if path == name or path.endswith(f"/{name}")]
            if len(found) > 1:
                raise DataError(
                    f"{self.folder} has {name} in {len(found)} folders, such as {found[0]} and {found[1]}. Keep one."
                )
            if found:
                return found[0]
        return None

    def missing(self, what: str) -> DataError:
        """Make the error for a missing part of the data set."""
        name = self.folder.name
        command = f" with: transferkit datasets prepare {name}" if name in PUBLISHED else "."
        return DataError(
            f"{self.folder} lacks {what}: it is another data set, or incomplete. "
            f"Move it away, and prepare the complete data set{command}"
        )

    def table(self, *names: str, columns: Iterable[str]) -> list[dict[str, str]]:
        """Read the rows of a CSV file with a header line.

        Raises: DataError: If the file is missing, cannot be read, or lacks a column.
        """
        path = self.folder / self.file(*names)
        try:
            with path.open(newline="", encoding="utf-8-sig") as file:
                reader = csv.DictReader(file)
                missing = [column for column in columns if column not in (reader.fieldnames or ())]
                if missing:
                    raise DataError(
                        f"{path} has no column {', '.join(map(repr, missing))}, only "
                        f"{', '.join(reader.fieldnames or ())}. Needed are {', '.join(columns)}: take the file "
                        "from the published archive."
                    )
                return list(reader)
        except (OSError, UnicodeError, csv.Error) as error:
            raise DataError(f"{path} cannot be read: {error}. Take it from the published archive.") from error

    def lines(self, name: str) -> list[str]:
        """Read the non-empty lines of a text file.

        Raises: DataError: If the file is missing or cannot be read.
        """
        path = self.folder / self.file(name)
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeError) as error:
            raise DataError(f"{path} cannot be read: {error}. Take it from the published archive.") from error
        return [line.strip() for line in text.splitlines() if line.strip()]


def images_by_name(contents: Contents) -> dict[str, str]:
    """Map the names of image files to their paths, for data sets with unique names.

    Raises: DataError: If a name occurs in two folders.
    """
    named: dict[str, str] = {}
    for path in contents.images:
        name = path.rpartition("/")[2]
        if name in named:
            raise _duplicate_error(contents, named[name], path)
        named[name] = path
    return named


def images_by_path_end(contents: Contents, parts: int) -> dict[str, str]:
    """Map the last ``parts`` parts of the path of each image to the whole path; shorter paths are left out.

    Raises: DataError: If two images have the same key, such as in two copies of a data set.
    """
    placed: dict[str, str] = {}
    for path in contents.images:
        pieces = path.split("/")
        if len(pieces) >= parts:
            one = "/".join(pieces[-parts:])
            if one in placed:
                raise _duplicate_error(contents, placed[one], path)
            placed[one] = path
    return placed


def class_folders(contents: Contents, *, ending: str = "") -> Listing:
    """List a data set with one folder per class and no official split; ids are ``class/file``.

    Args:
        contents: Contents of the folder.
        ending: Extension of the images, if the folders also contain other images.

    Raises: DataError: If there are fewer than two class folders.
    """
    placed = {one: path for one, path in images_by_path_end(contents, 2).items() if one.endswith(ending)}
    classes = tuple(sorted({one.partition("/")[0] for one in placed}))
    if len(classes) < 2:
        raise contents.missing("class folders with images")
    number = {name: label for label, name in enumerate(classes)}
    rows = {one: number[one.partition("/")[0]] for one in sorted(placed)}
    return Listing({"all": rows}, classes, paths=placed)


def only_present(rows: Mapping[str, LabelType], named: Mapping[str, str]) -> dict[str, LabelType]:
    """Select the rows whose image exists."""
    return {one: label for one, label in rows.items() if one in named}


def left_out(parts: Mapping[str, Mapping[str, Label]], named: Iterable[str]) -> tuple[str, ...]:
    """Describe labels without an image, and images without a label."""
    labelled = {one for rows in parts.values() for one in rows}
    images = set(named)
    notes = []
    for names, noun, what in (
        (labelled - images, "label", "of missing images"),
        (images - labelled, "image", "without a label"),
    ):
        if names:
            notes.append(f"{counted(len(names), noun)} {what} left out, such as {min(names)}")
    return tuple(notes)


def require_unique(contents: Contents, ids: Iterable[str], where: str) -> None:
    """Check that a label file names each image once.

    Raises: DataError: If it names an image twice.
    """
    if repeated := [one for one, count in Counter(ids).items() if count > 1]:
        raise DataError(
            f"{contents.folder}: {where} names {counted(len(repeated), 'image')} twice, such as {min(repeated)}. "
            "Take the file from the published archive."
        )


def _duplicate_error(contents: Contents, first: str, second: str) -> DataError:
    return DataError(
        f"{contents.folder} contains the same image twice, {first} and {second}. Keep one of the two folders."
    )


def _walk(folder: Path, below: str) -> Iterator[str]:
    try:
        with os.scandir(folder / below) as entries:
            listed = [entry for entry in entries if not entry.name.startswith((".", "__MACOSX"))]
    except OSError as error:
        raise DataError(f"{folder / below} cannot be listed: {error.strerror}.") from error
    for entry in listed:
        if entry.is_dir():
            yield from _walk(folder, f"{below}{entry.name}/")
        elif entry.is_file():
            yield below + entry.name
