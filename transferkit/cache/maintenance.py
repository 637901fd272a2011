"""Verification of entries, and removal of damaged and unused files."""

import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import CacheError, DamagedError
from ..core.files import digest_file, writing_to
from ..core.locks import Lock
from .manifest import MANIFEST, Manifest, ShardFile, read_manifest, write_manifest

ENTRY_LOCK = "entry.lock"

_OWN = re.compile(r"entry\.(json|lock)|shard-\d{5,}(\.\d+)?\.h5|shard-\d{5,}\.lock|\.(entry|shard).*\.part")


@dataclass(frozen=True)
class FileProblem:
    """A file that differs from what was written.

    Attributes:
        path: path of the file.
        what: ``damaged``, ``absent``, or ``foreign`` for a file that the cache did not create.
    """

    path: Path
    what: str

    def __str__(self) -> str:
        return f"{self.path}: {self.what}"


def verify_folder(folder: Path) -> list[FileProblem]:
    """Return the problems of an entry, found by the SHA-256 of every file.

    Files of an interrupted run (temporary files, locks, files that are not in the manifest yet) are not problems:
    they are never read, and the next run replaces them.
    """
    foreign = [FileProblem(path, "foreign") for path in sorted(folder.iterdir()) if not _OWN.fullmatch(path.name)]
    try:
        manifest = read_manifest(folder)
    except DamagedError:
        return [FileProblem(folder / MANIFEST, "damaged"), *foreign]
    except CacheError:
        return foreign
    states = [(folder / name, _state(folder / name, manifest.files[name])) for name in sorted(manifest.files)]
    return [*(FileProblem(path, what) for path, what in states if what != "whole"), *foreign]


def _state(path: Path, file: ShardFile) -> str:
    if not path.exists():
        return "absent"
    whole = path.stat().st_size == file.bytes and digest_file(path) == file.sha256
    return "whole" if whole else "damaged"


@contextmanager
def exclusive_access(folder: Path) -> Iterator[bool]:
    """Take all locks of an entry; yield whether that succeeded, which it does not while a process is filling it."""
    with ExitStack() as stack:
        stack.enter_context(Lock(folder / ENTRY_LOCK))
        acquired = True
        for path in sorted(folder.glob("shard-*.lock")):
            lock = Lock(path)
            stack.callback(lock.release)
            acquired = acquired and lock.acquire(wait=False)
        yield acquired


def remove_damaged(folder: Path) -> None:
    """Remove the damaged files, so that the next extraction recomputes them; the caller holds the locks.

    A file is removed from the manifest before it is deleted. Without a readable manifest, the whole entry is
    removed.
    """
    problems = [problem for problem in verify_folder(folder) if problem.what != "foreign"]
    if any(problem.path.name == MANIFEST for problem in problems):
        remove_entry(folder)
    elif problems:
        manifest = read_manifest(folder)
        write_manifest(folder, manifest.without(problem.path.name for problem in problems))
        with writing_to(folder):
            for problem in problems:
                problem.path.unlink(missing_ok=True)


def remove_leftovers(folder: Path, manifest: Manifest) -> None:
    """Remove temporary files, and shard files that are not in the manifest; the caller holds the locks."""
    with writing_to(folder):
        for path in folder.iterdir():
            unlisted = path.suffix == ".h5" and path.name not in manifest.files
            if path.suffix == ".part" or unlisted:
                path.unlink()


def remove_entry(folder: Path) -> None:
    """Remove an entry, starting with its manifest; the caller holds the locks."""
    with writing_to(folder):
        (folder / MANIFEST).unlink(missing_ok=True)
        if folder.exists():
            shutil.rmtree(folder)
