"""From a published name to a folder that is whole: fetched, or from archives and folders that a user has.

All that is unpacked goes to ``<data folder>/.preparing/<name>`` and becomes ``<data folder>/<name>`` in one
step, once the reader of the set has understood it. So that folder is never there in part.
"""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn
from urllib.parse import unquote, urlsplit

from ...core.errors import DataError, UsageError
from ...core.files import require_space, writing_to
from ...core.progress import SILENT, Reporter
from ...core.wording import counted
from ..downstream.published import Download, Publication, state_of
from .checksums import remember_digests
from .extract_archive import UNSUPPORTED, ArchiveLimits, Unpacked, is_archive, unpack
from .fetching import ROOM, RetryPolicy, fetch
from .file_lock import holding

MIRROR = "TRANSFERKIT_MIRROR"
"""Environment variable: an address below which ``<name>/<file>`` lies."""


@dataclass(frozen=True)
class Request:
    """What a user asks for.

    Attributes:
        sources: archives or folders that a user has; none to fetch.
        urls: addresses of archives, or of folders of them where they end in ``/``.
        copy: whether a folder is copied instead of linked to.
        keep_archives: whether what was fetched is kept after it was unpacked.
        patience: how long servers are waited for.
    """

    sources: tuple[Path, ...] = ()
    urls: tuple[str, ...] = ()
    copy: bool = False
    keep_archives: bool = False
    patience: RetryPolicy = field(default_factory=RetryPolicy)


@dataclass(frozen=True)
class Prepared:
    """A data set that is there.

    Attributes:
        name: of the set.
        how: ``ready`` if it was there before; else ``linked``, ``copied`` or ``unpacked``.
        folder: where.
        images: that its reader lists; None where it was there before.
        published: images, as its authors say.
        classes: that its reader lists; None where it was there before.
    """

    name: str
    how: str
    folder: str
    images: int | None
    published: int
    classes: int | None


def prepare(
    published: Publication, root: Path, request: Request | None = None, *, reporter: Reporter = SILENT
) -> Prepared:
    """Have a set in ``<root>/<name>``; nothing is done where it is.

    Args:
        published: which.
        root: the data folder.
        request: where it comes from.
        reporter: told how far it has come.

    Raises:
        UsageError: if an address cannot be meant.
        DataError: if it cannot be fetched; what a person does then is in the message. If what was given or
            fetched is another set, or damaged, or could write elsewhere. If the folder is there in part.
        DiskSpaceError: if the data folder is full, or cannot be written.
    """
    request = request or Request()
    folder = root / published.name
    if state_of(published, folder) == "ready":
        return _prepared(published, folder, "ready")
    if not request.sources:
        wanted = _wanted(published, request.urls)
        if not wanted:
            raise DataError(by_hand(published, folder))
    with _alone(root, published.name):
        if state_of(published, folder) == "ready":
            return _prepared(published, folder, "ready")
        _require_free(published, folder)
        if request.sources:
            return _from_sources(published, folder, request, reporter)
        return _from_the_web(published, folder, request, reporter)


def by_hand(published: Publication, folder: Path) -> str:
    """What a person does for a set that no program may fetch."""
    steps = published.steps or (f"Get it from {published.homepage}.",)
    numbered = "\n".join(f"  {number}. {step}" for number, step in enumerate(steps, start=1))
    return (
        f"{published.name} cannot be fetched by a program (its licence, a login, or dead links). By hand:\n"
        f"{numbered}\n"
        f"Or unpack it to {folder} yourself, so that this folder has {published.expected}.\n"
        f"Licence: {published.licence}. More: {published.homepage}"
    )


def _from_sources(published: Publication, folder: Path, request: Request, reporter: Reporter) -> Prepared:
    """From archives and folders that are there; they stay as they are."""
    sources = [Path(os.path.abspath(source.expanduser())) for source in request.sources]  # noqa: PTH100  (keeps links)
    for source in sources:
        if not source.exists():
            raise DataError(f"{source} is not there. Give an archive or a folder with --from.")
    if len(sources) == 1 and sources[0].is_dir() and state_of(published, sources[0]) == "ready":
        return _adopted(published, folder, sources[0], request, reporter)
    files = [file for source in sources for file in _files_of(published, source)]
    into = {download.file: download.into for download in published.downloads}
    return _unpacked(published, folder, [(file, into.get(file.name, "")) for file in files], reporter)


def _from_the_web(published: Publication, folder: Path, request: Request, reporter: Reporter) -> Prepared:
    """Fetched, unpacked, and the archives removed unless they shall be kept."""
    place = folder.parent / "downloads" / published.name
    wanted = _wanted(published, request.urls)
    known = sum(one.size_bytes or 0 for one, _ in wanted)
    missing = known - _bytes_below(place)
    require_space(folder.parent, missing + (published.size_bytes or known), remedy=ROOM)
    fetched = [
        (fetch(one, place, urls=urls, patience=request.patience, reporter=reporter), one.into) for one, urls in wanted
    ]
    try:
        prepared = _unpacked(published, folder, fetched, reporter)
    except DataError:
        for one, _ in wanted:
            if not one.digest:  # nothing else says that the file is not the right one
                (place / one.file).unlink(missing_ok=True)
        raise
    bare = {one.file: place / one.file for one, _ in wanted if not one.digest}
    remember_digests(published.name, bare, folder.parent, reporter=reporter)
    if not request.keep_archives:
        shutil.rmtree(place, ignore_errors=True)
    return prepared


def _wanted(published: Publication, urls: Sequence[str]) -> list[tuple[Download, list[str]]]:
    """What is fetched, each with its addresses in the order in which they are asked.

    Raises: UsageError: if it is not clear which file an address is.
    """
    if not published.downloads:
        return [(Download(url, _name_in(url)), [url]) for url in urls]
    wanted = [(download, _urls(published, download, urls)) for download in published.downloads]
    meant = {url for _, places in wanted for url in places}
    if stray := [url for url in urls if url not in meant and not url.endswith("/")]:
        files = ", ".join(download.file for download in published.downloads)
        raise UsageError(
            f"{stray[0]} is none of the files of {published.name}: {files}. "
            "Name one of them, or a folder that holds them and ends in /."
        )
    return wanted


def _urls(published: Publication, download: Download, urls: Sequence[str]) -> list[str]:
    alone = len(published.downloads) == 1
    given = [
        f"{url}{download.file}" if url.endswith("/") else url
        for url in urls
        if url.endswith("/") or alone or _name_in(url) == download.file
    ]
    mirror = os.environ.get(MIRROR, "").rstrip("/")
    mirrored = [f"{mirror}/{published.name}/{download.file}"] if mirror else []
    return [*given, *mirrored, download.url]


def _name_in(url: str) -> str:
    """The file's name at the end of an address.

    Raises: UsageError: if there is none.
    """
    name = unquote(urlsplit(url).path).rpartition("/")[2]
    if not name or name in (".", ".."):
        raise UsageError(f"{url} ends in no file name. Give the address of an archive.")
    return name


def _files_of(published: Publication, source: Path) -> list[Path]:
    """The archives and single files of the set, in a folder or as given.

    Archives under other names than the published are taken where they can be meant: one alone, or all of them
    for a set whose archives have no published names.

    Raises: DataError: if a folder holds none, or several of which it is not clear what they are.
    """
    if source.is_file():
        if source.name.lower().endswith(UNSUPPORTED) and not is_archive(source):
            raise DataError(f"{source} is no zip or tar. Unpack it by hand, and give the folder.")
        return [source]
    archives = [download.file for download in published.downloads]
    names = {*archives, *(name for mark in published.marks for name in mark.split("|"))}
    found = [path for path in sorted(source.iterdir()) if path.is_file()]
    files = [path for path in found if path.name in names]
    whole = bool(archives) and {path.name for path in files} >= set(archives)
    if not whole and not any(map(is_archive, files)):
        others = [path for path in found if is_archive(path)]
        if archives and len(others) > 1:
            raise DataError(
                f"{source} has no {_some(archives)}, but {_some([path.name for path in others])}. "
                f"Name those of {published.name} alone, as --from A --from B."
            )
        files += others
    if not files:
        raise DataError(f"{source} is not {published.name}, nor has it archives. {_expected(published)}")
    return files


def _unpacked(published: Publication, folder: Path, files: Sequence[tuple[Path, str]], reporter: Reporter) -> Prepared:
    """Archives unpacked and single files copied, below the folder that each belongs into."""
    scratch = folder.parent / ".preparing" / published.name
    limits = ArchiveLimits(bytes=max(2**34, 4 * (published.size_bytes or 0)))
    reporter.note(f"{published.name}: unpacking {counted(len(files), 'file')}, to at most {limits}.")
    try:
        with writing_to(folder):
            _remove(scratch)
            scratch.mkdir(parents=True)
        done = Unpacked(scratch, limits)
        for file, into in files:
            if is_archive(file):
                unpack(file, done, into=into, reporter=reporter)
            else:
                with writing_to(folder):
                    (scratch / into).mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(file, scratch / into / file.name)
        names = _some([file.name for file, _ in files])
        found = _understood(published, scratch, names, reporter)
        _appear(scratch, folder)
    finally:
        _remove(scratch)
    return _prepared(published, folder, "unpacked", found)


def _adopted(published: Publication, folder: Path, source: Path, request: Request, reporter: Reporter) -> Prepared:
    """A folder that is the set already: linked to, or copied."""
    if folder.parent.resolve().is_relative_to(source.resolve()):
        raise DataError(f"{source} holds the data folder itself. Give the folder of {published.name} alone.")
    found = _understood(published, source, str(source), reporter)
    scratch = folder.parent / ".preparing" / published.name
    try:
        with writing_to(folder):
            _remove(scratch)
            scratch.parent.mkdir(parents=True, exist_ok=True)
        if request.copy:
            require_space(folder.parent, _bytes_below(source), remedy=ROOM)
            with writing_to(folder):
                shutil.copytree(source, scratch)
        else:
            with writing_to(folder):
                scratch.symlink_to(source, target_is_directory=True)
        _appear(scratch, folder)
    finally:
        _remove(scratch)
    return _prepared(published, folder, "copied" if request.copy else "linked", found)


def _understood(published: Publication, place: Path, names: str, reporter: Reporter) -> tuple[int, int]:
    """How many images and classes the reader of the set finds there; fewer classes than published are told.

    Raises: DataError: if it is another set, only a part, or has more classes than were published.
    """
    if state_of(published, place) != "ready":
        found = sorted(path.name for path in place.iterdir())[:5]
        raise DataError(
            f"{names}: this is not {published.name}, or not all of it; "
            f"found were {', '.join(found) or 'no files'}. {_expected(published)}"
        )
    try:
        inventory = published.read(place)
        images, classes = inventory.count_images(), len(inventory.classes)
    except DataError as error:
        told = str(error)
        if names != str(place):  # what was unpacked is named as the archive names it
            told = told.replace(f"{place}/", "").replace(str(place), names)
        raise DataError(f"{names}: this is not {published.name}: {told}") from error
    if classes > published.n_classes:
        raise DataError(
            f"{names}: this is not {published.name} alone: it has {classes} classes, published are "
            f"{published.n_classes}. Leave out what does not belong to it."
        )
    if classes < published.n_classes:
        reporter.note(f"{published.name}: {classes} classes, published are {published.n_classes}.")
    return images, classes


def _expected(published: Publication) -> str:
    return (
        f"Expected is {published.layout}, with {published.expected}; several archives are given as --from A --from B."
    )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (" …" if len(names) > 3 else "")


def _require_free(published: Publication, folder: Path) -> None:
    """Refuse to touch what a user has; an empty folder and a dead link are nothing.

    Raises: DataError: then.
    """
    if folder.is_symlink() and not folder.exists():
        with writing_to(folder):
            folder.unlink()
    if not folder.exists():
        return
    try:
        folder.rmdir()
    except OSError as error:
        raise DataError(
            f"{folder} is there, but is not the whole of {published.name}, and is left alone. "
            f"{_expected(published)} Move or remove the folder, then run this again."
        ) from error


def _appear(scratch: Path, folder: Path) -> None:
    with writing_to(folder):
        scratch.rename(folder)


def _remove(scratch: Path) -> None:
    """A folder or a link, if it is there."""
    if scratch.is_symlink() or scratch.is_file():
        scratch.unlink()
    elif scratch.exists():
        shutil.rmtree(scratch)


def _prepared(published: Publication, folder: Path, how: str, found: tuple[int, int] | None = None) -> Prepared:
    images, classes = found or (None, None)
    return Prepared(published.name, how, str(folder), images, sum(published.counts.values()), classes)


def _bytes_below(place: Path) -> int:
    if not place.is_dir():
        return 0
    return sum(path.stat().st_size for path in place.rglob("*") if path.is_file())


@contextmanager
def _alone(root: Path, name: str) -> Iterator[None]:
    """Hold what keeps a second process from preparing the same set.

    Raises: DataError: if another holds it.
    """

    def refuse() -> NoReturn:
        raise DataError(f"{name} is being prepared by another process. Wait for it.")

    with holding(root / ".preparing" / f"{name}.lock", busy=refuse):
        yield
