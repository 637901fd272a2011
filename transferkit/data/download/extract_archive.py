"""Unpacking archives of strangers: nothing is written outside the folder, and no more than was announced.

Links are never made. A link to a file of the same archive becomes that file under a second name; every other
link, and whatever is neither file nor folder, is refused.
"""

import errno
import filecmp
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

from ...core.errors import DataError
from ...core.files import readable_bytes, require_space, writing_to
from ...core.progress import SILENT, Reporter
from .fetching import ROOM
from .progress import Meter, metered

TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
ENDINGS = (".zip", *TARS)
"""Of file names that are taken for archives."""

UNSUPPORTED = (".rar", ".7z", ".zst", ".gz")
"""Of archives that a person has to unpack."""

_BLOCK = 2**20
_LONGEST_LINK = 4096
_LONGEST_REMARK = 2**20
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_FLOOR_BYTES = 2**28  # below which no ratio is suspicious
_DEEPEST = 3  # archives in archives


@dataclass(frozen=True)
class ArchiveLimits:
    """What an honest archive stays under.

    Attributes:
        bytes: of all that is unpacked.
        files: that are unpacked.
        ratio: of unpacked bytes to those of the archive, beyond the first 256 MiB.
    """

    bytes: int = 2**40
    files: int = 5_000_000
    ratio: int = 100

    def __str__(self) -> str:
        return f"{readable_bytes(self.bytes)}, {self.files} files and {self.ratio} times the archive's size"


@dataclass
class Unpacked:
    """What has been written so far, by one archive or several.

    Attributes:
        folder: all of it lies below.
        limits: as announced.
        bytes: written.
        files: path of each file below the folder, with ``/``, by its spelling on a disk that folds case.
    """

    folder: Path
    limits: ArchiveLimits = field(default_factory=ArchiveLimits)
    bytes: int = 0
    files: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Entry:
    """One thing in an archive.

    Attributes:
        name: as the archive spells it.
        kind: what it is.
        target: of a link, as a path from the archive's top.
    """

    name: str
    kind: Literal["file", "folder", "link", "other"]
    target: str = ""


def is_archive(path: Path | str) -> bool:
    """Whether a file is taken for an archive, by its name."""
    return str(path).lower().endswith(ENDINGS)


def stem(name: str) -> str:
    """The name of an archive without what says that it is one."""
    ending = next(ending for ending in sorted(ENDINGS, key=len, reverse=True) if name.lower().endswith(ending))
    return name[: -len(ending)]


def unpack(archive: Path, done: Unpacked, *, into: str = "", reporter: Reporter = SILENT) -> None:
    """Unpack an archive below ``done.folder``, and the archives in it, each into a folder of its name.

    Args:
        archive: a zip or a tar, as its bytes say.
        done: what earlier archives wrote there; this one is added.
        into: folder below it, with ``/``.
        reporter: told how far it has come.

    Raises:
        DataError: if it is no archive, is damaged or encrypted; or has an entry that would lie elsewhere, a
            link that leads elsewhere, a device, two files of one name, or more than the limits.
        DiskSpaceError: if there is not enough room.
    """
    packed_bytes = archive.stat().st_size
    most = min(done.limits.bytes, done.bytes + max(_FLOOR_BYTES, done.limits.ratio * packed_bytes))
    require_space(done.folder, min(most, _declared_bytes(archive)), remedy=ROOM)
    earlier = set(done.files)
    _unpack(_Writer(archive, done, into, most), archive, reporter)
    for _ in range(_DEEPEST - 1):
        inner = [key for key in done.files if key not in earlier and is_archive(key)]
        earlier = set(done.files)
        for key in inner:
            place = done.folder / done.files[key]
            if _opens(place):
                _unpack(_Writer(archive, done, stem(done.files.pop(key)), most), place, reporter)
                place.unlink()


def _unpack(writer: "_Writer", archive: Path, reporter: Reporter) -> None:
    """Write what one archive holds, links last."""
    links = []
    try:
        with metered(reporter, f"Unpacking {archive.name}", archive.stat().st_size) as meter:
            for entry, content in _entries(archive, meter):
                if entry.kind == "link":
                    links.append(entry)
                elif not _is_litter(entry.name):
                    writer.write(entry, content)
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError) as error:
        raise DataError(f"{archive} is damaged ({error}). Get it again.") from error
    except (RuntimeError, NotImplementedError) as error:  # zipfile: a password, a method that it lacks
        raise DataError(f"{archive} cannot be unpacked: {error}. Unpack it by hand and give the folder.") from error
    for link in links:
        writer.link(link)


@dataclass(frozen=True)
class _Writer:
    """Writes entries below a folder.

    Attributes:
        archive: named in errors.
        done: what was written so far.
        into: folder below, for all entries.
        most_bytes: that may have been written at the end.
    """

    archive: Path
    done: Unpacked
    into: str
    most_bytes: int

    def write(self, entry: _Entry, content: IO[bytes] | None) -> None:
        """A file or a folder.

        Raises: DataError: if it is neither, or would lie elsewhere, or is too much.
        """
        path = self._place(entry.name)
        if entry.kind == "other":
            raise DataError(f"{self.archive} holds {entry.name!r}, which is neither file nor folder. {_HAND}")
        with writing_to(self.done.folder / path), self._naming(entry.name):
            if content is None:
                (self.done.folder / path).mkdir(parents=True, exist_ok=True)
                return
            (self.done.folder / path).parent.mkdir(parents=True, exist_ok=True)
            if self._known(path):
                self._compare(path, content)
                return
            with (self.done.folder / path).open("xb") as file:
                self._pour(content, file)
        self._add(path)

    def link(self, entry: _Entry) -> None:
        """A second name of a file that was written.

        Raises: DataError: if the link leads to anything else.
        """
        if _is_litter(entry.name):
            return
        path, target = self._place(entry.name), self._place(entry.target)
        if not self._known(target):
            raise DataError(
                f"{self.archive} holds {entry.name!r}, a link to {entry.target!r}, "
                f"which is no file of the archive. {_HAND}"
            )
        if not self._known(path):
            with writing_to(self.done.folder / path), self._naming(entry.name):
                (self.done.folder / path).parent.mkdir(parents=True, exist_ok=True)
                os.link(self.done.folder / target, self.done.folder / path)
            self._add(path)

    def _place(self, name: str) -> str:
        """Where an entry lies below the folder.

        Raises: DataError: if it would lie elsewhere, or cannot be a name.
        """
        spelled = name.replace("\\", "/")
        parts = [part for part in spelled.split("/") if part not in ("", ".")]
        if spelled.startswith("/") or ".." in parts or re.match("[A-Za-z]:", spelled):
            raise DataError(f"{self.archive} holds {name!r}, which would lie outside its folder. {_HAND}")
        if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in name):
            raise DataError(f"{self.archive} holds the unprintable name {name!r}. {_HAND}")
        return "/".join([*filter(None, self.into.split("/")), *parts])

    def _known(self, path: str) -> bool:
        """Whether there is a file of that name; one whose name differs by case only is refused."""
        spelled = self.done.files.get(_folded(path), path)
        if spelled != path:
            raise DataError(f"{self.archive} holds {path!r} and {spelled!r}, which are one file on many disks. {_HAND}")
        return _folded(path) in self.done.files

    def _compare(self, path: str, content: IO[bytes]) -> None:
        """Accept the same file again, as when every archive of a set has its licence."""
        again = self.done.folder / f"{path}.again"
        try:
            with again.open("xb") as file:
                self._pour(content, file)
            if not filecmp.cmp(again, self.done.folder / path, shallow=False):
                raise DataError(f"{self.archive} holds a second, other file named {path!r}. {_HAND}")
        finally:
            again.unlink(missing_ok=True)

    def _pour(self, content: IO[bytes], file: IO[bytes]) -> None:
        while block := content.read(_BLOCK):
            self.done.bytes += len(block)
            if self.done.bytes > self.most_bytes:
                raise DataError(
                    f"{self.archive} holds more than {readable_bytes(self.most_bytes)}, the most that an "
                    f"honest archive of its size does. {_HAND}"
                )
            file.write(block)

    def _add(self, path: str) -> None:
        self.done.files[_folded(path)] = path
        if len(self.done.files) > self.done.limits.files:
            raise DataError(f"{self.archive} holds more than {self.done.limits.files} files. {_HAND}")

    @contextmanager
    def _naming(self, name: str) -> Iterator[None]:
        """Turn a name that the disk cannot have into an error fit for a user."""
        try:
            yield
        except OSError as error:
            if error.errno not in _NAMES:
                raise
            why = f"which this disk refuses ({error.strerror})"
            raise DataError(f"{self.archive} holds {_short(name)}, {why}. {_HAND}") from error


_HAND = "If you trust it, unpack it by hand and give the folder with --from."
_NAMES = (errno.ENAMETOOLONG, errno.EINVAL, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.EILSEQ)


def _short(name: str) -> str:
    return repr(name if len(name) <= 60 else f"{name[:57]}…")


def _folded(path: str) -> str:
    return unicodedata.normalize("NFC", path).casefold()


def _is_litter(name: str) -> bool:
    """What macOS leaves in archives."""
    parts = name.split("/")
    return "__MACOSX" in parts or parts[-1] == ".DS_Store" or parts[-1].startswith("._")


def _opens(path: Path) -> bool:
    """Whether it is an archive by its bytes."""
    return _is_zip(path) or tarfile.is_tarfile(path)


def _is_zip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) in _ZIP


def _declared_bytes(archive: Path) -> int:
    """Of all that is in it, as a zip says; of a tar at least its own."""
    if not _is_zip(archive):
        return archive.stat().st_size
    try:
        with zipfile.ZipFile(archive) as opened:
            return sum(info.file_size for info in opened.infolist())
    except zipfile.BadZipFile:
        return 0  # said when it is unpacked


def _entries(archive: Path, meter: Meter) -> Iterator[tuple[_Entry, IO[bytes] | None]]:
    """What an archive holds, in its order; the content of a file can be read until the next is asked for."""
    if _is_zip(archive):
        yield from _zip_entries(archive, meter)
        return
    with _Counted(archive, meter) as raw, io.BufferedReader(raw, _BLOCK) as file:
        try:
            tar = tarfile.open(fileobj=file, mode="r:*", tarinfo=_Header)  # noqa: SIM115  (closed below)
        except tarfile.ReadError as error:
            raise DataError(
                f"{archive} is neither a zip nor a tar, or is cut off at its start. Get it again; "
                "if it is of another kind, unpack it by hand and give the folder."
            ) from error
        with tar:
            for member in tar:
                yield _tar_entry(member), tar.extractfile(member) if member.isfile() else None


class _Header(tarfile.TarInfo):
    """An entry of a tar whose name and remarks, which are read into memory whole, are of an honest size."""

    def _proc_member(self, archive: tarfile.TarFile) -> Any:
        if self.type in _REMARKS and self.size > _LONGEST_REMARK:
            raise RuntimeError(f"it has {readable_bytes(self.size)} of remarks on one file")
        return super()._proc_member(archive)  # type: ignore[misc]


_PAX = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)
_REMARKS = (*_PAX, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)


def _tar_entry(member: tarfile.TarInfo) -> _Entry:
    name = _text(member.name)
    if member.issym():
        return _Entry(name, "link", posixpath.normpath(posixpath.join(posixpath.dirname(name), member.linkname)))
    if member.islnk():
        return _Entry(name, "link", posixpath.normpath(_text(member.linkname)))
    return _Entry(name, "file" if member.isfile() else "folder" if member.isdir() else "other")


def _target(name: str, target: str) -> str:
    """Of a symbolic link, from the archive's top."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(name), target))


def _text(name: str) -> str:
    """A name of a tar; what is not UTF-8 is taken for Latin-1, as old archives have it."""
    data = name.encode("utf-8", "surrogateescape")
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _zip_entries(archive: Path, meter: Meter) -> Iterator[tuple[_Entry, IO[bytes] | None]]:
    with zipfile.ZipFile(archive) as opened:
        for info in opened.infolist():
            mode = info.external_attr >> 16
            name = info.filename
            if info.is_dir():
                yield _Entry(name, "folder"), None
            elif stat.S_ISLNK(mode):
                with opened.open(info) as content:
                    target = _text(content.read(_LONGEST_LINK).decode("utf-8", "surrogateescape"))
                yield _Entry(name, "link", _target(name, target)), None
            elif stat.S_IFMT(mode) not in (0, stat.S_IFREG):
                yield _Entry(name, "other"), None
            else:
                with opened.open(info) as content:
                    yield _Entry(name, "file"), content
            meter.advance(info.compress_size)


class _Counted(io.FileIO):
    """A file that tells a meter what is read of it."""

    def __init__(self, path: Path, meter: Meter) -> None:
        super().__init__(path)
        self._meter = meter

    def readinto(self, buffer: Any) -> int:
        count = super().readinto(buffer) or 0
        self._meter.advance(count)
        return count
