"""Preparation of a published data set from downloads, or from archives and folders of the user.

Archives are unpacked into ``<data folder>/.preparing/<name>``, which is renamed to ``<data folder>/<name>`` after the
reader of the data set has validated it. An incomplete folder therefore never appears under the final name.
"""

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn
from urllib.parse import unquote, urlsplit

from ..core.errors import DataError, DiskSpaceError, UsageError
from ..core.files import digest_file, require_space, write_json, writing_to
from ..core.locks import hold_lock
from ..core.progress import SILENT, Reporter
from ..core.wording import counted
from .extract_archive import UNSUPPORTED, ArchiveLimits, Unpacked, is_archive, unpack
from .fetching import DATA_FOLDER_REMEDY, RetryPolicy, fetch
from .publication import Download, Publication, state_of


def record_digests(name: str, files: Mapping[str, Path], root: Path, *, reporter: Reporter = SILENT) -> None:
    """Record the SHA-256 of files in ``<root>/digests/<name>.json``, and report it.

    A file that differs from its first download is reported; the recorded checksum does not change.

    Args:
        name: Name of the data set.
        files: File name → path.
        root: Data folder.
        reporter: Receives the notes.
    """
    record = root / "digests" / f"{name}.json"
    recorded = _read_record(record)
    for file, path in files.items():
        found = digest_file(path)
        first = recorded.setdefault(file, found)
        if first == found:
            reporter.note(
                f"{file} has no published checksum. Its SHA-256 is {found}; it is recorded in {record} and "
                "compared when the file is fetched again."
            )
        else:
            reporter.note(
                f"{file} differs from the first download: its SHA-256 is {found}, and was {first}. Either its "
                "publisher changed it, or one of the two is damaged. Check with transferkit datasets verify "
                f"{name}. Remove {record} to accept the new file."
            )
    with suppress(DiskSpaceError):
        write_json(record, recorded)


def _read_record(record: Path) -> dict[str, str]:
    """Read the recorded checksums; the result is empty if there are none or they cannot be read."""
    try:
        kept = json.loads(record.read_bytes())
    except (OSError, ValueError):
        return {}
    return {str(file): str(digest) for file, digest in kept.items()} if isinstance(kept, dict) else {}


MIRROR = "TRANSFERKIT_MIRROR"
"""Environment variable with the base address of ``<name>/<file>``."""


@dataclass(frozen=True)
class Request:
    """Options of a preparation.

    Attributes:
        sources: Local archives or folders; empty to fetch the data set.
        urls: Addresses of archives, or of folders of archives if they end in ``/``.
        copy: Copy a folder instead of linking to it.
        keep_archives: Keep fetched archives after they are unpacked.
        retry_policy: Timeouts and number of attempts.
    """

    sources: tuple[Path, ...] = ()
    urls: tuple[str, ...] = ()
    copy: bool = False
    keep_archives: bool = False
    retry_policy: RetryPolicy = field(default_factory=RetryPolicy)


@dataclass(frozen=True)
class Prepared:
    """A prepared data set.

    Attributes:
        name: Name of the data set.
        how: ``ready`` if it existed before; else ``linked``, ``copied``, ``unpacked`` or ``drawn``.
        folder: Folder of the data set.
        images: Number of images that its reader lists; None if it existed before.
        published: Published number of images.
        classes: Number of classes that its reader lists; None if it existed before.
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
    """Prepare a data set in ``<root>/<name>``, unless it already exists.

    Args:
        published: Publication of the data set.
        root: Data folder.
        request: Sources and options.
        reporter: Receives the progress.

    Raises:
        UsageError: If an address is invalid.
        DataError: If the data set cannot be fetched; the message describes the manual steps. If the source is
            another data set, damaged or unsafe. If the folder exists but is incomplete.
        DiskSpaceError: If the data folder is full, or cannot be written.
    """
    request = request or Request()
    folder = root / published.name
    if state_of(published, folder) == "ready":
        return _prepared(published, folder, "ready")
    if not request.sources:
        downloads = _requested_downloads(published, request.urls)
        if not downloads:
            raise DataError(by_hand(published, folder))
    with _lock(root, published.name):
        if state_of(published, folder) == "ready":
            return _prepared(published, folder, "ready")
        _require_free(published, folder)
        if request.sources:
            return _from_sources(published, folder, request, reporter)
        return _from_downloads(published, folder, request, reporter)


def by_hand(published: Publication, folder: Path) -> str:
    """Describe the manual steps for a data set that cannot be fetched automatically."""
    steps = published.steps or (f"Get it from {published.homepage}.",)
    numbered = "\n".join(f"  {number}. {step}" for number, step in enumerate(steps, start=1))
    return (
        f"{published.name} cannot be fetched by a program (its licence, a login, or dead links). By hand:\n"
        f"{numbered}\n"
        f"Or unpack it to {folder} yourself, so that this folder has {published.expected}.\n"
        f"Licence: {published.licence}. More: {published.homepage}"
    )


def _from_sources(published: Publication, folder: Path, request: Request, reporter: Reporter) -> Prepared:
    """Prepare from local archives and folders, which are not changed."""
    sources = [Path(os.path.abspath(source.expanduser())) for source in request.sources]  # noqa: PTH100  (keeps links)
    for source in sources:
        if not source.exists():
            raise DataError(f"{source} does not exist. Give an archive or a folder with --from.")
    if len(sources) == 1 and sources[0].is_dir() and state_of(published, sources[0]) == "ready":
        return _link_or_copy(published, folder, sources[0], request, reporter)
    files = [file for source in sources for file in _files_of(published, source)]
    into = {download.file: download.into for download in published.downloads}
    return _unpack_all(published, folder, [(file, into.get(file.name, "")) for file in files], reporter)


def _from_downloads(published: Publication, folder: Path, request: Request, reporter: Reporter) -> Prepared:
    """Fetch and unpack the archives, and remove them unless they are to be kept."""
    download_folder = folder.parent / "downloads" / published.name
    downloads = _requested_downloads(published, request.urls)
    total_bytes = sum(one.size_bytes or 0 for one, _ in downloads)
    missing_bytes = total_bytes - _bytes_below(download_folder)
    require_space(folder.parent, missing_bytes + (published.size_bytes or total_bytes), remedy=DATA_FOLDER_REMEDY)
    fetched = [
        (fetch(one, download_folder, urls=urls, retry_policy=request.retry_policy, reporter=reporter), one.into)
        for one, urls in downloads
    ]
    try:
        prepared = _unpack_all(published, folder, fetched, reporter)
    except DataError:
        for one, _ in downloads:
            if not one.digest:  # without a digest, only unpacking detects a wrong file
                (download_folder / one.file).unlink(missing_ok=True)
        raise
    unverified = {one.file: download_folder / one.file for one, _ in downloads if not one.digest}
    record_digests(published.name, unverified, folder.parent, reporter=reporter)
    if not request.keep_archives:
        shutil.rmtree(download_folder, ignore_errors=True)
    return prepared


def _requested_downloads(published: Publication, urls: Sequence[str]) -> list[tuple[Download, list[str]]]:
    """Return the downloads, each with its addresses in the order in which they are tried.

    Raises: UsageError: If the file of an address is ambiguous.
    """
    if not published.downloads:
        return [(Download(url, _name_in(url)), [url]) for url in urls]
    downloads = [(download, _urls(published, download, urls)) for download in published.downloads]
    known_urls = {url for _, places in downloads for url in places}
    if unknown_urls := [url for url in urls if url not in known_urls and not url.endswith("/")]:
        files = ", ".join(download.file for download in published.downloads)
        raise UsageError(
            f"{unknown_urls[0]} is not one of the files of {published.name}: {files}. "
            "Give the address of one of them, or of their folder with a final /."
        )
    return downloads


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
    """Return the file name at the end of an address.

    Raises: UsageError: If there is none.
    """
    name = unquote(urlsplit(url).path).rpartition("/")[2]
    if not name or name in (".", ".."):
        raise UsageError(f"{url} ends in no file name. Give the address of an archive.")
    return name


def _files_of(published: Publication, source: Path) -> list[Path]:
    """Return the archives and single files of the data set, in a folder or as given.

    Archives with unpublished names are accepted if they are unambiguous: a single archive, or all archives of a
    data set whose archives have no published names.

    Raises: DataError: If a folder contains no archive, or several archives with unknown names.
    """
    if source.is_file():
        if source.name.lower().endswith(UNSUPPORTED) and not is_archive(source):
            raise DataError(f"{source} is not a zip or tar archive. Unpack it by hand and give the folder.")
        return [source]
    archives = [download.file for download in published.downloads]
    names = {*archives, *(name for mark in published.marks for name in mark.split("|"))}
    found = [path for path in sorted(source.iterdir()) if path.is_file()]
    files = [path for path in found if path.name in names]
    complete = bool(archives) and {path.name for path in files} >= set(archives)
    if not complete and not any(map(is_archive, files)):
        other_archives = [path for path in found if is_archive(path)]
        if archives and len(other_archives) > 1:
            raise DataError(
                f"{source} has no {_some(archives)}, but {_some([path.name for path in other_archives])}. "
                f"Give only those of {published.name}, as --from A --from B."
            )
        files += other_archives
    if not files:
        raise DataError(f"{source} is not {published.name} and contains no archives. {_expected(published)}")
    return files


def _unpack_all(
    published: Publication, folder: Path, files: Sequence[tuple[Path, str]], reporter: Reporter
) -> Prepared:
    """Unpack archives and copy single files, each into its target folder."""
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
        found = _validate(published, scratch, names, reporter)
        _move_into_place(scratch, folder)
    finally:
        _remove(scratch)
    return _prepared(published, folder, "unpacked", found)


def _link_or_copy(published: Publication, folder: Path, source: Path, request: Request, reporter: Reporter) -> Prepared:
    """Link to or copy a folder that already contains the data set."""
    if folder.parent.resolve().is_relative_to(source.resolve()):
        raise DataError(f"{source} contains the data folder itself. Give only the folder of {published.name}.")
    found = _validate(published, source, str(source), reporter)
    scratch = folder.parent / ".preparing" / published.name
    try:
        with writing_to(folder):
            _remove(scratch)
            scratch.parent.mkdir(parents=True, exist_ok=True)
        if request.copy:
            require_space(folder.parent, _bytes_below(source), remedy=DATA_FOLDER_REMEDY)
            with writing_to(folder):
                shutil.copytree(source, scratch)
        else:
            with writing_to(folder):
                scratch.symlink_to(source, target_is_directory=True)
        _move_into_place(scratch, folder)
    finally:
        _remove(scratch)
    return _prepared(published, folder, "copied" if request.copy else "linked", found)


def _validate(published: Publication, folder: Path, names: str, reporter: Reporter) -> tuple[int, int]:
    """Count the images and classes that the reader finds; fewer classes than published are reported.

    Raises: DataError: If it is another data set, incomplete, or has more classes than published.
    """
    if state_of(published, folder) != "ready":
        found = sorted(path.name for path in folder.iterdir())[:5]
        raise DataError(
            f"{names}: this is not {published.name}, or it is incomplete; "
            f"found: {', '.join(found) or 'no files'}. {_expected(published)}"
        )
    try:
        inventory = published.read(folder)
        images, classes = inventory.count_images(), len(inventory.classes)
    except DataError as error:
        message = str(error)
        if names != str(folder):  # report unpacked paths as in the archive
            message = message.replace(f"{folder}/", "").replace(str(folder), names)
        raise DataError(f"{names}: this is not {published.name}: {message}") from error
    if classes > published.n_classes:
        raise DataError(
            f"{names}: this is not {published.name}: it has {classes} classes instead of the published "
            f"{published.n_classes}. Remove files of other data sets."
        )
    if classes < published.n_classes:
        reporter.note(f"{published.name}: {classes} classes instead of the published {published.n_classes}.")
    return images, classes


def _expected(published: Publication) -> str:
    return (
        f"Expected is {published.layout}, with {published.expected}; several archives are given as --from A --from B."
    )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (" …" if len(names) > 3 else "")


def _require_free(published: Publication, folder: Path) -> None:
    """Check that the target does not exist; an empty folder and a broken link are removed.

    Raises: DataError: If it exists.
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
            f"{folder} exists, but {published.name} in it is incomplete; it is not changed. "
            f"{_expected(published)} Move or remove the folder, then run this again."
        ) from error


def _move_into_place(scratch: Path, folder: Path) -> None:
    with writing_to(folder):
        scratch.rename(folder)


def _remove(scratch: Path) -> None:
    """Remove a folder or a link, if it exists."""
    if scratch.is_symlink() or scratch.is_file():
        scratch.unlink()
    elif scratch.exists():
        shutil.rmtree(scratch)


def _prepared(published: Publication, folder: Path, how: str, found: tuple[int, int] | None = None) -> Prepared:
    images, classes = found or (None, None)
    return Prepared(published.name, how, str(folder), images, sum(published.counts.values()), classes)


def _bytes_below(folder: Path) -> int:
    if not folder.is_dir():
        return 0
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@contextmanager
def _lock(root: Path, name: str) -> Iterator[None]:
    """Hold the lock that prevents two processes from preparing the same data set.

    Raises: DataError: If another process holds it.
    """

    def refuse() -> NoReturn:
        raise DataError(f"{name} is being prepared by another process. Wait for it.")

    with hold_lock(root / ".preparing" / f"{name}.lock", busy=refuse):
        yield
