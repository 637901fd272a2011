"""Content digests, which change exactly if an image, a name or a label changes.

The bytes of each file are hashed once, and the digest is cached with the size and the times of the file, so that
opening a folder again reads only the file status.
"""

import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DiskSpaceError
from ..core.files import atomic_path, digest_file
from ..core.progress import SILENT, Reporter

UNREADABLE = "unreadable"
"""Digest of a file that cannot be read."""

_SETTLED_NS = 2 * 10**9  # a more recent change may be followed by another within the resolution of the clock
_THREADS = 4
_FILES_PER_TASK = 64
_blake2b = partial(hashlib.blake2b, digest_size=16)


class Stamp(NamedTuple):
    """Status of a file, which is known without opening it; times are in nanoseconds."""

    size_bytes: int
    modified_ns: int
    changed_ns: int


def fingerprint_of(
    ids: Sequence[str], labels: NDArray[np.integer], classes: Sequence[str], contents: Sequence[str]
) -> str:
    """Compute the fingerprint of a split: 64 hex characters.

    Args:
        ids: Image ids ``[n]``.
        labels: Labels ``[n]`` or ``[n, c]``.
        classes: Class names ``[c]``.
        contents: Digests of the images ``[n]``.
    """
    value = [list(ids), labels.tolist(), list(classes), list(contents)]
    return hashlib.sha256(json.dumps(value, separators=(",", ":")).encode()).hexdigest()


def pixels_digest(image: NDArray) -> str:
    """Compute a hex digest of the shape, type and values of an array: 32 characters."""
    digest = _blake2b(f"{image.shape} {image.dtype.str} ".encode())
    digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()


def file_digest(path: Path) -> str:
    """Compute a hex digest of the bytes of a file: 32 characters, or ``UNREADABLE``."""
    try:
        return digest_file(path, _blake2b)
    except OSError:
        return UNREADABLE


def bytes_digest(content: bytes) -> str:
    """Compute the digest that ``file_digest`` has for a file with this content."""
    return _blake2b(content).hexdigest()


def content_digests(
    folder: Path, stamps: Mapping[str, Stamp | None], *, cache_file: Path, reporter: Reporter = SILENT
) -> dict[str, str]:
    """Compute the digest of each file; files whose status is as in ``cache_file`` are not opened.

    If it is interrupted, the digests so far are cached. A damaged cache file is replaced, and a cache file that
    cannot be written only costs time.

    Args:
        folder: Folder that the names are relative to.
        stamps: Name → stamp; None for a file without status.
        cache_file: File of the cached digests.
        reporter: Receives the progress of hashing.

    Returns: Name → digest, or ``UNREADABLE``.
    """
    cached = _read_cache(cache_file)
    keys = {name: _key(name, stamp) for name, stamp in stamps.items() if stamp}
    digests = {name: cached[key] for name, key in keys.items() if key in cached}
    missing = [name for name in stamps if name not in digests]
    settled_ns = time.time_ns() - _SETTLED_NS
    try:
        if missing:
            with reporter.task(f"Hashing {folder}", len(missing), "images") as task:
                for hashed in _hash_files(folder, missing):
                    digests |= hashed
                    task.advance(len(hashed))
    finally:
        updated = {
            key: digests[name]
            for name, key in keys.items()
            if name in digests and (key in cached or _can_be_cached(digests[name], stamps[name], settled_ns))
        }
        if updated != cached:
            _write_cache(cache_file, folder, updated, reporter)
    return digests


def _key(name: str, stamp: Stamp) -> str:
    return f"{stamp.size_bytes} {stamp.modified_ns} {stamp.changed_ns} {name}"


def _can_be_cached(digest: str, stamp: Stamp | None, settled_ns: int) -> bool:
    settled = stamp is not None and max(stamp.modified_ns, stamp.changed_ns) < settled_ns
    return settled and digest != UNREADABLE


def _hash_files(folder: Path, names: Sequence[str]) -> Iterator[dict[str, str]]:
    """Yield name → digest, for a few files at a time."""

    def digests(start: int) -> dict[str, str]:
        return {name: file_digest(folder / name) for name in names[start : start + _FILES_PER_TASK]}

    with ThreadPoolExecutor(_THREADS) as pool:
        yield from pool.map(digests, range(0, len(names), _FILES_PER_TASK))  # an interrupt cancels the remaining tasks


def _read_cache(path: Path) -> dict[str, str]:
    try:
        files = json.loads(path.read_bytes())["files"]
        return dict(files) if all(isinstance(digest, str) for digest in files.values()) else {}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return {}


def _write_cache(path: Path, folder: Path, files: Mapping[str, str], reporter: Reporter) -> None:
    try:
        with atomic_path(path) as part:
            part.write_text(json.dumps({"folder": str(folder), "files": files}), encoding="ascii")
    except (DiskSpaceError, OSError) as error:
        reporter.note(f"The digests of {folder} are not cached, and will be computed again: {error}")
