"""Atomic writing of files, digests, and checks of disk space."""

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .errors import DiskSpaceError


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path, which is renamed to ``path`` only if the block ends without error.

    The temporary file is in the folder of ``path``, and is flushed to the disk before it is renamed.
    """
    with writing_to(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    os.close(descriptor)
    part = Path(name)
    try:
        with writing_to(path):
            yield part
            part.chmod(0o644)
            flush(part)
            part.replace(path)
            flush(path.parent)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def writing_to(path: Path) -> Iterator[None]:
    """Convert errors of the operating system about writing ``path`` to an error with a remedy.

    Raises: DiskSpaceError: if the disk is full or read-only, or this user has no permission.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _DISK_FULL:
            raise DiskSpaceError(
                f"The disk is full: {path} could not be written. Finished work is kept; "
                "free some space and run the same command again."
            ) from error
        if error.errno in _NO_PERMISSION and _concerns(error.filename, path):
            raise DiskSpaceError(
                f"{path} cannot be written ({error.strerror}). "
                "Choose another path for it, or another folder with --workspace."
            ) from error
        raise


def _concerns(name: object, path: Path) -> bool:
    """Return whether an error about ``name`` concerns writing ``path``: a parent folder or a temporary file."""
    failed, path = Path(str(name)).absolute(), path.absolute()
    return failed.parent == path.parent or failed in path.parents


_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NO_PERMISSION = (
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EEXIST,
)


def flush(path: Path) -> None:
    """Flush a file, or the directory entries of a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sorted_json(value: Any) -> str:
    """Return JSON that is the same for equal values: sorted keys, two-space indent, a final newline."""
    return json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` to ``path`` atomically: an interruption leaves the previous content."""
    with atomic_path(path) as part:
        part.write_text(sorted_json(value), encoding="utf-8")


def digest_of(value: Any) -> str:
    """Return the hex SHA-256 of ``sorted_json(value)``, 64 characters."""
    return hashlib.sha256(sorted_json(value).encode()).hexdigest()


def digest_file(path: Path, algorithm: str | Callable[[], Any] = "sha256") -> str:
    """Return the hex digest of a file's bytes; ``algorithm`` is a name or a constructor of hashlib."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def require_space(
    folder: Path, needed_bytes: int, *, remedy: str = "choose fewer layers, or name another --workspace"
) -> None:
    """Check the free disk space before a long run writes to ``folder``.

    Args:
        folder: folder that will be written; need not exist yet.
        needed_bytes: size of all files that will be written.
        remedy: what a user can do other than freeing disk space.

    Raises: DiskSpaceError: if fewer than ``needed_bytes`` are free on the disk of ``folder``.
    """
    existing = folder
    while not existing.exists():
        existing = existing.parent
    free = shutil.disk_usage(existing).free
    if needed_bytes > free:
        raise DiskSpaceError(
            f"{folder} needs {readable_bytes(needed_bytes)}, but only {readable_bytes(free)} are free there. "
            f"Free some space, {remedy}."
        )


def readable_bytes(count: float) -> str:
    """Return a size in bytes as text with a suitable unit.

    >>> readable_bytes(1536), readable_bytes(12)
    ('1.5 KiB', '12 B')
    """
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(count) < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"
