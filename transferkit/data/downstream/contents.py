"""What lies in a published set's folder, however many folders an unpacker wrapped around it."""

import csv
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypeVar

from ...core.errors import DataError
from ...core.wording import counted
from ..decoding import IMAGE_EXTENSIONS
from .published import PUBLISHED, Label, Listing

L = TypeVar("L")


@dataclass(frozen=True)
class Contents:
    """Every file below a folder, without hidden ones; none has been opened.

    Attributes:
        folder: where.
        files: paths below it, with ``/``, sorted.
    """

    folder: Path
    files: tuple[str, ...]

    @classmethod
    def of(cls, folder: Path) -> "Contents":
        """Look once.

        Raises: DataError: if the folder cannot be listed, or a name is not text.
        """
        files = tuple(sorted(_walk(folder, "")))
        try:
            "\n".join(files).encode()
        except UnicodeEncodeError as error:
            raise DataError(f"{folder} has a name that is not valid UTF-8. Unpack it again.") from error
        return cls(folder, files)

    @property
    def images(self) -> Iterator[str]:
        """Paths of what is an image by its name."""
        return (path for path in self.files if PurePosixPath(path).suffix.lower() in IMAGE_EXTENSIONS)

    def file(self, *names: str) -> str:
        """The path of the only file that has one of these names, in any folder.

        Raises: DataError: if there is none, or there are several.
        """
        found = self.find(*names)
        if found is None:
            raise self.lacks(f"the file {' or '.join(names)}")
        return found

    def find(self, *names: str) -> str | None:
        """The same, or None where there is none.

        A name of several parts, ``labels/train1.txt``, is that file in that folder.
        """
        for name in names:
            found = [path for path in self.files if path == name or path.endswith(f"/{name}")]
            if len(found) > 1:
                raise DataError(
                    f"{self.folder} has {name} in {len(found)} places, such as {found[0]} and {found[1]}. Keep one."
                )
            if found:
                return found[0]
        return None

    def lacks(self, what: str) -> DataError:
        """The error that says what was looked for in vain."""
        name = self.folder.name
        command = f" with: transferkit datasets prepare {name}" if name in PUBLISHED else "."
        return DataError(
            f"{self.folder} lacks {what}: it is another data set, or was unpacked in part. "
            f"Move it away, and get the whole of it again{command}"
        )

    def table(self, *names: str, columns: Iterable[str]) -> list[dict[str, str]]:
        """Rows of a CSV file with a header line.

        Raises: DataError: if there is no such file, it cannot be read, or lacks a column.
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
        """Lines of a text file that are not empty.

        Raises: DataError: if there is no such file, or it cannot be read.
        """
        path = self.folder / self.file(name)
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeError) as error:
            raise DataError(f"{path} cannot be read: {error}. Take it from the published archive.") from error
        return [line.strip() for line in text.splitlines() if line.strip()]


def named_images(contents: Contents) -> dict[str, str]:
    """Name of an image file → its path, for sets whose names are unique.

    Raises: DataError: if a name occurs in two folders.
    """
    named: dict[str, str] = {}
    for path in contents.images:
        name = path.rpartition("/")[2]
        if name in named:
            raise _twice(contents, named[name], path)
        named[name] = path
    return named


def placed_images(contents: Contents, parts: int) -> dict[str, str]:
    """The last ``parts`` parts of an image's path → the whole path; shallower ones are left out.

    Raises: DataError: if two images have the same, as when a set lies there twice.
    """
    placed: dict[str, str] = {}
    for path in contents.images:
        pieces = path.split("/")
        if len(pieces) >= parts:
            one = "/".join(pieces[-parts:])
            if one in placed:
                raise _twice(contents, placed[one], path)
            placed[one] = path
    return placed


def class_folders(contents: Contents, *, ending: str = "") -> Listing:
    """A set that is one folder a class, without official split; ids are ``class/file``.

    Args:
        contents: where.
        ending: of the names of its images, where others may lie beside them.

    Raises: DataError: if there are no two such folders.
    """
    placed = {one: path for one, path in placed_images(contents, 2).items() if one.endswith(ending)}
    classes = tuple(sorted({one.partition("/")[0] for one in placed}))
    if len(classes) < 2:
        raise contents.lacks("class folders with images")
    number = {name: label for label, name in enumerate(classes)}
    rows = {one: number[one.partition("/")[0]] for one in sorted(placed)}
    return Listing({"all": rows}, classes, paths=placed)


def only_present(rows: Mapping[str, L], named: Mapping[str, str]) -> dict[str, L]:
    """The rows whose image is there."""
    return {one: label for one, label in rows.items() if one in named}


def left_out(parts: Mapping[str, Mapping[str, Label]], named: Iterable[str]) -> tuple[str, ...]:
    """Notes on labels without an image, and images without a label."""
    labelled = {one for rows in parts.values() for one in rows}
    images = set(named)
    notes = []
    for names, noun, what in (
        (labelled - images, "label", "of images that are not there"),
        (images - labelled, "image", "without a label"),
    ):
        if names:
            notes.append(f"{counted(len(names), noun)} left out, {what}, such as {min(names)}")
    return tuple(notes)


def require_unique(contents: Contents, ids: Iterable[str], where: str) -> None:
    """Refuse a label file that names an image twice.

    Raises: DataError: then.
    """
    if repeated := [one for one, count in Counter(ids).items() if count > 1]:
        raise DataError(
            f"{contents.folder}: {where} names {counted(len(repeated), 'image')} twice, such as {min(repeated)}. "
            "Take the file from the published archive."
        )


def _twice(contents: Contents, first: str, second: str) -> DataError:
    return DataError(
        f"{contents.folder} holds the same image twice, {first} and {second}. Keep one of the two folders."
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
