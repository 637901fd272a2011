"""The folder of all entries."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.errors import CacheError
from ..core.groups import Groups
from .entry import Entry
from .key import EntryKey
from .maintenance import FileProblem, remove_damaged, remove_entry, remove_leftovers, undisturbed, verify_folder
from .manifest import MANIFEST, Manifest, read_manifest

_DIGEST = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class Pruned:
    """What pruning did.

    Attributes:
        entries: folders of entries that are gone.
        bytes: by how much the cache is smaller.
        busy: folders of entries that were left alone because a process is filling them.
    """

    entries: tuple[Path, ...]
    bytes: int
    busy: tuple[Path, ...]


class FeatureStore:
    """Entries, one folder each, named by the digest of their key.

    Args:
        folder: need not exist yet.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def entry(self, key: EntryKey, groups: Groups = None) -> Entry:
        """The entry of ``key``, whether or not there is anything in it yet.

        Args:
            key: of the entry.
            groups: ``[n]`` of the rows of the split; the features that are read from the entry have them.
        """
        return Entry(self._folder / key.digest, key, groups)

    def entries(self) -> Iterator[Entry]:
        """Every entry whose ``entry.json`` can be read, by model, data and split; ``verify`` names others."""
        readable = [(folder, manifest) for folder in self._folders() if (manifest := _readable(folder))]
        keys = [(manifest.key, folder) for folder, manifest in readable]
        for key, folder in sorted(keys, key=lambda pair: (pair[0].model, pair[0].data, pair[0].split, pair[1])):
            yield Entry(folder, key)

    def nearest(self, key: EntryKey) -> tuple[Entry, list[tuple[str, Any, Any]]] | None:
        """The other entry that differs from ``key`` in the fewest fields, and in which; None if alone.

        The differences are ``(field, value in key, value in entry)``.
        """
        others = [(entry, key.differences(entry.key)) for entry in self.entries() if entry.key != key]
        return min(others, key=lambda pair: len(pair[1]), default=None)

    def verify(self) -> Iterator[FileProblem]:
        """Everything in the cache that is not as it was written; reads every byte."""
        for folder in self._folders():
            yield from verify_folder(folder)

    def prune(self, unwanted: Callable[[Entry], bool] | None = None, *, damaged: bool = False) -> Pruned:
        """Remove entries without a finished shard, what interrupted runs left, and what is asked for.

        Args:
            unwanted: says which entries to remove; None keeps all.
            damaged: also remove damaged files, which the next extraction makes anew; reads every byte.
        """
        before, folders = self.size_bytes, self._folders()
        busy = [folder for folder in folders if not _pruned(folder, unwanted, damaged=damaged)]
        gone = [folder for folder in folders if not folder.exists()]
        return Pruned(tuple(gone), before - self.size_bytes, tuple(busy))

    @property
    def size_bytes(self) -> int:
        """Of all files in the cache."""
        return sum(path.stat().st_size for path in self._folder.rglob("*") if path.is_file())

    def _folders(self) -> list[Path]:
        return sorted(path for path in self._folder.glob("*") if _DIGEST.fullmatch(path.name))


def _readable(folder: Path) -> Manifest | None:
    try:
        return read_manifest(folder)
    except CacheError:
        return None


def _pruned(folder: Path, unwanted: Callable[[Entry], bool] | None, *, damaged: bool) -> bool:
    """False if the entry in ``folder`` was left alone because it is being filled."""
    with undisturbed(folder) as alone:
        if not alone:
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
