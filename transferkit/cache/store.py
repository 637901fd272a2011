"""The feature store, the folder of all cache entries."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.errors import CacheError
from ..core.groups import Groups
from .entry import Entry
from .key import EntryKey
from .maintenance import FileProblem, exclusive_access, remove_damaged, remove_entry, remove_leftovers, verify_folder
from .manifest import MANIFEST, Manifest, read_manifest

_DIGEST = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class Pruned:
    """The outcome of pruning.

    Attributes:
        entries: folders of removed entries.
        bytes: number of freed bytes.
        busy: folders of entries that were kept because a process is filling them.
    """

    entries: tuple[Path, ...]
    bytes: int
    busy: tuple[Path, ...]


class FeatureStore:
    """A folder with one folder per entry, whose name is the digest of the entry's key.

    Args:
        folder: folder of the store; need not exist yet.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def entry(self, key: EntryKey, groups: Groups = None) -> Entry:
        """Return the entry of ``key``, which need not exist on the disk yet.

        Args:
            key: key of the entry.
            groups: ``[n]`` groups of the rows of the split, which features that are read from the entry get.
        """
        return Entry(self._folder / key.digest, key, groups)

    def entries(self) -> Iterator[Entry]:
        """Yield each entry with a readable ``entry.json``, sorted by model, data and split; see also ``verify``."""
        readable = [(folder, manifest) for folder in self._folders() if (manifest := _readable(folder))]
        keys = [(manifest.key, folder) for folder, manifest in readable]
        for key, folder in sorted(keys, key=lambda pair: (pair[0].model, pair[0].data, pair[0].split, pair[1])):
            yield Entry(folder, key)

    def nearest(self, key: EntryKey) -> tuple[Entry, list[tuple[str, Any, Any]]] | None:
        """Return the other entry that differs from ``key`` in the fewest fields, and the differences.

        Returns: the entry and ``(field, value in key, value in entry)`` for each difference; None without others.
        """
        others = [(entry, key.differences(entry.key)) for entry in self.entries() if entry.key != key]
        return min(others, key=lambda pair: len(pair[1]), default=None)

    def verify(self) -> Iterator[FileProblem]:
        """Yield each file of the cache that differs from what was written; this reads every byte."""
        for folder in self._folders():
            yield from verify_folder(folder)

    def prune(self, unwanted: Callable[[Entry], bool] | None = None, *, damaged: bool = False) -> Pruned:
        """Remove entries without a finished shard, temporary files of interrupted runs, and unwanted entries.

        Args:
            unwanted: predicate of the entries to remove; None removes no finished entry.
            damaged: also remove damaged files, which the next extraction recomputes; this reads every byte.
        """
        before, folders = self.size_bytes, self._folders()
        busy = [folder for folder in folders if not _prune_entry(folder, unwanted, damaged=damaged)]
        gone = [folder for folder in folders if not folder.exists()]
        return Pruned(tuple(gone), before - self.size_bytes, tuple(busy))

    @property
    def size_bytes(self) -> int:
        """Total size of all files in the cache."""
        return sum(path.stat().st_size for path in self._folder.rglob("*") if path.is_file())

    def _folders(self) -> list[Path]:
        return sorted(path for path in self._folder.glob("*") if _DIGEST.fullmatch(path.name))


def _readable(folder: Path) -> Manifest | None:
    try:
        return read_manifest(folder)
    except CacheError:
        return None


def _prune_entry(folder: Path, unwanted: Callable[[Entry], bool] | None, *, damaged: bool) -> bool:
    """Prune the entry in ``folder``; return False if it was kept because a process is filling it."""
    with exclusive_access(folder) as acquired:
        if not acquired:
            return False
        if damaged:
            remove_damaged(folder)
        manifest = _readable(folder)
        if manifest is None:
            if not (folder / MANIFEST).exists():
                remove_entry(folder)
        elif not manifest.files or (unwanted and unwanted(Entry(folder, manifest.key))):
            remove_entry(folder)
        else:
            remove_leftovers(folder, manifest)
    return True
