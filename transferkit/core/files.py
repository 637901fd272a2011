"""Files that appear only when finished, digests, and room on the disk."""

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .errors import DiskSpaceError


@contextmanager
def appearing(path: Path) -> Iterator[Path]:
    """Yield a scratch path; it becomes ``path`` only if the block ends without error.

    The scratch file lies beside ``path``, and is flushed to the disk before it is renamed.
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
    """Turn a disk that will not take ``path`` into an error fit for a user.

    Raises: DiskSpaceError: if the disk is full, read-only, or closed to this user.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise DiskSpaceError(
                f"The disk is full: {path} could not be written. What was finished is kept; "
                "free some room and run the same command again."
            ) from error
        if error.errno in _NO_PERMISSION and _beside(error.filename, path):
            raise DiskSpaceError(
                f"{path} cannot be written ({error.strerror}). "
                "Name another place for it, or another folder with --workspace."
            ) from error
        raise


def _beside(name: object, path: Path) -> bool:
    """Whether an error about ``name`` is about writing ``path``: its folder or its scratch file."""
    place, path = Path(str(name)).absolute(), path.absolute()
    return place.parent == path.parent or place in path.parents


_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
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
    """Force a file, or a folder's list of names, out to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sorted_json(value: Any) -> str:
    """One spelling for equal values: sorted keys, two-space indent, a final newline."""
    return json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` so that ``path`` holds either all of it or what it held before."""
    with appearing(path) as part:
        part.write_text(sorted_json(value), encoding="utf-8")


def digest_of(value: Any) -> str:
    """Hex SHA-256 of a JSON-able value's one spelling, 64 characters."""
    return hashlib.sha256(sorted_json(value).encode()).hexdigest()


def digest_file(path: Path) -> str:
    """Hex SHA-256 of a file's bytes, 64 characters."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def require_space(
    folder: Path, needed_bytes: int, *, remedy: str = "choose fewer layers, or name another --workspace"
) -> None:
    """Refuse at the start what would not fit at the end.

    Args:
        folder: where it will lie.
        needed_bytes: how much.
        remedy: what a user can do other than free some room.

    Raises: DiskSpaceError: if fewer than ``needed_bytes`` are free where ``folder`` is, or will be.
    """
    place = folder
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if needed_bytes > free:
        raise DiskSpaceError(
            f"{folder} needs {readable_bytes(needed_bytes)}, but only {readable_bytes(free)} are free there. "
            f"Free some room, {remedy}."
        )


def readable_bytes(count: float) -> str:
    """A size as a person reads it.

    >>> readable_bytes(1536), readable_bytes(12)
    ('1.5 KiB', '12 B')
    """
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(count) < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"
