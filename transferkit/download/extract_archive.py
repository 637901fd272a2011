"""Safe extraction of untrusted archives: it writes only inside the folder, and at most the allowed size.

No symbolic links are created. A link to a file of the same archive becomes a hard link to that file; every other
link, and every entry that is neither a file nor a folder, is rejected.
"""

import errno
import io
import lzma
import os
import posixpath
import re
import stat
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal

from ..core.errors import DataError
from ..core.files import readable_bytes, require_space, writing_to
from ..core.progress import SILENT, Reporter
from .fetching import DATA_FOLDER_REMEDY
from .progress import ByteCounter, byte_progress

TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
ENDINGS = (".zip", *TARS)
"""Extensions of supported archives."""

UNSUPPORTED = (".rar", ".7z", ".zst", ".gz")
"""Extensions of archives that users have to unpack."""

_BLOCK = 2**20
_MAX_LINK_LENGTH = 4096
_MAX_METADATA_BYTES = 2**20
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_FLOOR_BYTES = 2**28  # extracted size below which the compression ratio is not checked
_MAX_DEPTH = 3  # nesting depth of archives in archives


@dataclass(frozen=True)
class ArchiveLimits:
    """Limits that protect against malicious archives.

    Attributes:
        bytes: Maximum total size of the extracted files.
        files: Maximum number of extracted files.
        ratio: Maximum ratio of the extracted size to the size of the archive, if more than 256 MiB are extracted.
    """

    bytes: int = 2**40
    files: int = 5_000_000
    ratio: int = 100

    def __str__(self) -> str:
        return f"{readable_bytes(self.bytes)}, {self.files} files and {self.ratio} times the archive's size"


@dataclass
class Unpacked:
    """Files that one or several archives have written so far.

    Attributes:
        folder: Folder of all files.
        limits: Limits of all archives together.
        bytes: Number of bytes written.
        files: Case-folded path of each file → its path relative to the folder, with ``/``.
    """

    folder: Path
    limits: ArchiveLimits = field(default_factory=ArchiveLimits)
    bytes: int = 0
    files: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Entry:
    """One entry of an archive.

    Attributes:
        name: Name in the archive.
        kind: Type of the entry.
        target: Target of a link, relative to the root of the archive.
    """

    name: str
    kind: Literal["file", "folder", "link", "other"]
    target: str = ""


def is_archive(path: Path | str) -> bool:
    """Return whether a file name has the extension of an archive."""
    return str(path).lower().endswith(ENDINGS)


def stem(name: str) -> str:
    """Return the name of an archive without its extension."""
    ending = next(ending for ending in sorted(ENDINGS, key=len, reverse=True) if name.lower().endswith(ending))
    return name[: -len(ending)]


def unpack(archive: Path, done: Unpacked, *, into: str = "", reporter: Reporter = SILENT) -> None:
    """Unpack an archive into ``done.folder``, and its inner archives into folders of their names.

    Args:
        archive: Path of a zip or tar archive; the content determines its type.
        done: Files of earlier archives, to which the files of this archive are added.
        into: Target folder relative to ``done.folder``, with ``/``.
        reporter: Receives the progress.

    Raises:
        DataError: If the file is not an archive, is damaged or encrypted; or contains an entry or a link outside of
            the folder, a device, or two different files of one name; or exceeds the limits.
        DiskSpaceError: If the disk has too little free space.
    """
    packed_bytes = archive.stat().st_size
    max_bytes = min(done.limits.bytes, done.bytes + max(_FLOOR_BYTES, done.limits.ratio * packed_bytes))
    require_space(done.folder, min(max_bytes, _declared_bytes(archive)), remedy=DATA_FOLDER_REMEDY)
    earlier = set(done.files)
    _unpack(_Writer(archive, done, into, max_bytes), archive, reporter)
    for _ in range(_MAX_DEPTH - 1):
        inner = [key for key in done.files if key not in earlier and is_archive(key)]
        earlier = set(done.files)
        for key in inner:
            place = done.folder / done.files[key]
            if _has_archive_content(place):
                _unpack(_Writer(archive, done, stem(done.files.pop(key)), max_bytes), place, reporter)
                place.unlink()


def _unpack(writer: "_Writer", archive: Path, reporter: Reporter) -> None:
    """Write the entries of one archive, links last."""
    links = []
    try:
        with byte_progress(reporter, f"Unpacking {archive.name}", archive.stat().st_size) as counter:
            for entry, content in _entries(archive, counter):
                if entry.kind == "link":
                    links.append(entry)
                elif not _is_macos_metadata(entry.name):
                    writer.write(entry, content)
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError) as error:
        raise DataError(f"{archive} is damaged ({error}). Download it again.") from error
    except (RuntimeError, NotImplementedError) as error:  # zipfile raises these for passwords and unsupported methods
        raise DataError(f"{archive} cannot be unpacked: {error}. Unpack it by hand and give the folder.") from error
    for link in links:
        writer.link(link)


@dataclass(frozen=True)
class _Writer:
    """Writes the entries of an archive.

    Attributes:
        archive: Path of the archive, for error messages.
        done: Files written so far.
        into: Target folder relative to ``done.folder``.
        max_bytes: Maximum total number of written bytes.
    """

    archive: Path
    done: Unpacked
    into: str
    max_bytes: int

    def write(self, entry: _Entry, content: IO[bytes] | None) -> None:
        """Write a file or a folder.

        Raises: DataError: If the entry is neither, is outside of the folder, or exceeds the limits.
        """
        path = self._target_path(entry.name)
        if entry.kind == "other":
            raise DataError(
                f"{self.archive} contains {entry.name!r}, which is neither a file nor a folder. {_MANUAL_REMEDY}"
            )
        with writing_to(self.done.folder / path), self._name_errors(entry.name):
            if content is None:
                (self.done.folder / path).mkdir(parents=True, exist_ok=True)
                return
            (self.done.folder / path).parent.mkdir(parents=True, exist_ok=True)
            if self._known(path):
                self._require_identical(path, content)
                return
            with (self.done.folder / path).open("xb") as file:
                file.writelines(self._blocks(content))
        self._add(path)

    def link(self, entry: _Entry) -> None:
        """Write a link as a second name of a written file.

        Raises: DataError: If the link has another target.
        """
        if _is_macos_metadata(entry.name):
            return
        path, target = self._target_path(entry.name), self._target_path(entry.target)
        if not self._known(target):
            raise DataError(
                f"{self.archive} contains {entry.name!r}, a link to {entry.target!r}, "
                f"which is not a file of the archive. {_MANUAL_REMEDY}"
            )
        if not self._known(path):
            with writing_to(self.done.folder / path), self._name_errors(entry.name):
                (self.done.folder / path).parent.mkdir(parents=True, exist_ok=True)
                os.link(self.done.folder / target, self.done.folder / path)
            self._add(path)

    def _target_path(self, name: str) -> str:
        """Return the path of an entry relative to the folder.

        Raises: DataError: If the path is outside of the folder, or the name is invalid.
        """
        spelled = name.replace("\\", "/")
        parts = [part for part in spelled.split("/") if part not in ("", ".")]
        if spelled.startswith("/") or ".." in parts or re.match("[A-Za-z]:", spelled):
            raise DataError(f"{self.archive} contains {name!r}, which is outside of its folder. {_MANUAL_REMEDY}")
        if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in name):
            raise DataError(f"{self.archive} contains the unprintable name {name!r}. {_MANUAL_REMEDY}")
        return "/".join([*filter(None, self.into.split("/")), *parts])

    def _known(self, path: str) -> bool:
        """Return whether the file exists; a name that differs only in case raises a DataError."""
        spelled = self.done.files.get(_folded(path), path)
        if spelled != path:
            raise DataError(
                f"{self.archive} contains {path!r} and {spelled!r}, which are one file on case-insensitive disks. "
                f"{_MANUAL_REMEDY}"
            )
        return _folded(path) in self.done.files

    def _require_identical(self, path: str, content: IO[bytes]) -> None:
        """Accept an identical second file, such as the licence in every archive of a data set."""
        with (self.done.folder / path).open("rb") as first:
            same = all(first.read(len(block)) == block for block in self._blocks(content)) and not first.read(1)
        if not same:
            raise DataError(f"{self.archive} contains two different files named {path!r}. {_MANUAL_REMEDY}")

    def _blocks(self, content: IO[bytes]) -> Iterator[bytes]:
        """Yield the content of a file; the blocks of all files are counted for the limit."""
        while block := content.read(_BLOCK):
            self.done.bytes += len(block)
            if self.done.bytes > self.max_bytes:
                raise DataError(
                    f"{self.archive} contains more than {readable_bytes(self.max_bytes)}, the limit for an "
                    f"archive of its size. {_MANUAL_REMEDY}"
                )
            yield block

    def _add(self, path: str) -> None:
        self.done.files[_folded(path)] = path
        if len(self.done.files) > self.done.limits.files:
            raise DataError(f"{self.archive} contains more than {self.done.limits.files} files. {_MANUAL_REMEDY}")

    @contextmanager
    def _name_errors(self, name: str) -> Iterator[None]:
        """Raise a DataError for a name that the disk does not support."""
        try:
            yield
        except OSError as error:
            if error.errno not in _NAME_ERRNOS:
                raise
            why = f"which this disk refuses ({error.strerror})"
            raise DataError(f"{self.archive} contains {_short(name)}, {why}. {_MANUAL_REMEDY}") from error


_MANUAL_REMEDY = "If you trust it, unpack it by hand and give the folder with --from."
_NAME_ERRNOS = (errno.ENAMETOOLONG, errno.EINVAL, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.EILSEQ)


def _short(name: str) -> str:
    return repr(name if len(name) <= 60 else f"{name[:57]}…")


def _folded(path: str) -> str:
    return unicodedata.normalize("NFC", path).casefold()


def _is_macos_metadata(name: str) -> bool:
    """Return whether a name is metadata that macOS adds to archives."""
    parts = name.split("/")
    return "__MACOSX" in parts or parts[-1] == ".DS_Store" or parts[-1].startswith("._")


def _has_archive_content(path: Path) -> bool:
    """Return whether the content of a file is an archive."""
    return _is_zip(path) or tarfile.is_tarfile(path)


def _is_zip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) in _ZIP


def _declared_bytes(archive: Path) -> int:
    """Return the total size that a zip declares; for a tar its own size, which is a lower bound."""
    if not _is_zip(archive):
        return archive.stat().st_size
    try:
        with zipfile.ZipFile(archive) as opened:
            return sum(info.file_size for info in opened.infolist())
    except zipfile.BadZipFile:
        return 0  # reported when it is unpacked


def _entries(archive: Path, counter: ByteCounter) -> Iterator[tuple[_Entry, IO[bytes] | None]]:
    """Yield the entries of an archive; the content of a file can be read until the next entry is requested."""
    if _is_zip(archive):
        yield from _zip_entries(archive, counter)
        return
    with _CountedFile(archive, counter) as raw, io.BufferedReader(raw, _BLOCK) as file:
        try:
            tar = tarfile.open(fileobj=file, mode="r:*", tarinfo=_LimitedTarInfo)  # noqa: SIM115  (closed below)
        except tarfile.ReadError as error:
            raise DataError(
                f"{archive} is neither a zip nor a tar, or is truncated at its start. Download it again; "
                "if it is of another type, unpack it by hand and give the folder."
            ) from error
        with tar:
            for member in tar:
                yield _tar_entry(member), tar.extractfile(member) if member.isfile() else None


class _LimitedTarInfo(tarfile.TarInfo):
    """A tar entry with a limited size of its metadata, which tarfile reads into memory as a whole."""

    def _proc_member(self, archive: tarfile.TarFile) -> Any:
        if self.type in _METADATA_TYPES and self.size > _MAX_METADATA_BYTES:
            raise RuntimeError(f"it has {readable_bytes(self.size)} of metadata for one file")
        return super()._proc_member(archive)  # type: ignore[misc]


_PAX = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)
_METADATA_TYPES = (*_PAX, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)


def _tar_entry(member: tarfile.TarInfo) -> _Entry:
    name = _text(member.name)
    if member.issym():
        return _Entry(name, "link", _target(name, _text(member.linkname)))
    if member.islnk():
        return _Entry(name, "link", posixpath.normpath(_text(member.linkname)))
    return _Entry(name, "file" if member.isfile() else "folder" if member.isdir() else "other")


def _target(name: str, target: str) -> str:
    """Return the target of a symbolic link relative to the root of the archive."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(name), target))


def _text(name: str) -> str:
    """Decode a name of a tar; names that are not UTF-8 are decoded as Latin-1, as in old archives."""
    data = name.encode("utf-8", "surrogateescape")
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _zip_entries(archive: Path, counter: ByteCounter) -> Iterator[tuple[_Entry, IO[bytes] | None]]:
    with zipfile.ZipFile(archive) as opened:
        for info in opened.infolist():
            mode = info.external_attr >> 16
            name = info.filename
            if info.is_dir():
                yield _Entry(name, "folder"), None
            elif stat.S_ISLNK(mode):
                with opened.open(info) as content:
                    target = _text(content.read(_MAX_LINK_LENGTH).decode("utf-8", "surrogateescape"))
                yield _Entry(name, "link", _target(name, target)), None
            elif stat.S_IFMT(mode) not in (0, stat.S_IFREG):
                yield _Entry(name, "other"), None
            else:
                with opened.open(info) as content:
                    yield _Entry(name, "file"), content
            counter.advance(info.compress_size)


class _CountedFile(io.FileIO):
    """A file that counts the bytes read from it."""

    def __init__(self, path: Path, counter: ByteCounter) -> None:
        super().__init__(path)
        self._counter = counter

    def readinto(self, buffer: Any) -> int:
        count = super().readinto(buffer) or 0
        self._counter.advance(count)
        return count
