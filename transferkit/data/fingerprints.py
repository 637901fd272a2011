"""Digests of content: what changes when any image, name or label changes, and at no other time.

Every file's bytes are hashed once and remembered with its size and times, so that opening a folder again
only asks the disk for those.
"""

import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DiskSpaceError
from ..core.files import appearing
from ..core.progress import SILENT, Reporter

UNREADABLE = "unreadable"
"""Stands for the content of a file that cannot be read."""

_SETTLED_NS = 2 * 10**9  # a file changed so lately may change again within the clock's step
_THREADS = 4
_FILES_A_TASK = 64
_BLOCK_BYTES = 2**20


class Stamp(NamedTuple):
    """What the disk says of a file without opening it; times in nanoseconds."""

    size_bytes: int
    modified_ns: int
    changed_ns: int


def fingerprint_of(
    ids: Sequence[str], labels: NDArray[np.integer], classes: Sequence[str], contents: Sequence[str]
) -> str:
    """The fingerprint of a split: hex, 64 characters.

    Args:
        ids: ``[n]``.
        labels: ``[n]``.
        classes: ``[c]`` names.
        contents: ``[n]`` digests of the images.
    """
    value = [list(ids), labels.tolist(), list(classes), list(contents)]
    return hashlib.sha256(json.dumps(value, separators=(",", ":")).encode()).hexdigest()


def pixels_digest(image: NDArray) -> str:
    """Hex digest of an array's shape, type and values, 32 characters."""
    digest = hashlib.blake2b(f"{image.shape} {image.dtype.str} ".encode(), digest_size=16)
    digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()


def file_digest(path: Path) -> str:
    """Hex digest of a file's bytes, 32 characters, or ``UNREADABLE``."""
    digest = hashlib.blake2b(digest_size=16)
    try:
        with path.open("rb", buffering=0) as file:
            while block := file.read(_BLOCK_BYTES):
                digest.update(block)
    except OSError:
        return UNREADABLE
    return digest.hexdigest()


def content_digests(
    folder: Path, stamps: Mapping[str, Stamp | None], *, memo: Path, reporter: Reporter = SILENT
) -> dict[str, str]:
    """The digest of every file's bytes; files that ``memo`` knows as they are now are not opened.

    Interrupted, it remembers what was hashed so far. A damaged memo is made anew, and one that cannot be
    written costs only time.

    Args:
        folder: what the names are relative to.
        stamps: name → stamp; None for a file the disk says nothing of.
        memo: the file that remembers.
        reporter: told how far hashing has come.

    Returns: name → digest, or ``UNREADABLE``.
    """
    known = _read_memo(memo)
    keys = {name: _key(name, stamp) for name, stamp in stamps.items() if stamp}
    digests = {name: known[key] for name, key in keys.items() if key in known}
    unknown = [name for name in stamps if name not in digests]
    settled_ns = time.time_ns() - _SETTLED_NS
    try:
        if unknown:
            with reporter.task(f"Hashing {folder}", len(unknown), "images") as task:
                for hashed in _hashed(folder, unknown):
                    digests |= hashed
                    task.advance(len(hashed))
    finally:
        remembered = {
            key: digests[name]
            for name, key in keys.items()
            if name in digests and (key in known or _worth_keeping(digests[name], stamps[name], settled_ns))
        }
        if remembered != known:
            _write_memo(memo, folder, remembered, reporter)
    return digests


def _key(name: str, stamp: Stamp) -> str:
    return f"{stamp.size_bytes} {stamp.modified_ns} {stamp.changed_ns} {name}"


def _worth_keeping(digest: str, stamp: Stamp | None, settled_ns: int) -> bool:
    settled = stamp is not None and max(stamp.modified_ns, stamp.changed_ns) < settled_ns
    return settled and digest != UNREADABLE


def _hashed(folder: Path, names: Sequence[str]) -> Iterator[dict[str, str]]:
    """Name → digest, a few files at a time."""

    def digests(start: int) -> dict[str, str]:
        return {name: file_digest(folder / name) for name in names[start : start + _FILES_A_TASK]}

    with ThreadPoolExecutor(_THREADS) as pool:
        yield from pool.map(digests, range(0, len(names), _FILES_A_TASK))  # interrupted, it cancels the rest


def _read_memo(path: Path) -> dict[str, str]:
    try:
        files = json.loads(path.read_bytes())["files"]
        return dict(files) if all(isinstance(digest, str) for digest in files.values()) else {}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return {}


def _write_memo(path: Path, folder: Path, files: Mapping[str, str], reporter: Reporter) -> None:
    try:
        with appearing(path) as part:
            part.write_text(json.dumps({"folder": str(folder), "files": files}), encoding="ascii")
    except (DiskSpaceError, OSError) as error:
        reporter.note(f"The digests of {folder} are not remembered, and will be computed again: {error}")
