"""The manifest ``entry.json`` of an entry: its key, and the finished files with their digests."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain, count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import CacheError, DamagedError
from ..core.files import digest_of, sorted_json, write_json
from ..core.json_dataclass import JsonDataclass
from .format import REMEDY, Block
from .key import FORMAT, EntryKey

MANIFEST = "entry.json"


@dataclass(frozen=True)
class ShardFile(JsonDataclass):
    """A finished file, which is never changed.

    Attributes:
        name: ``shard-00017.h5``, or ``shard-00017.2.h5`` for layers that were requested later.
        shard: number of the shard, such as 17.
        layers: layer → its number of features ``d``; the file has these layers for all rows of the shard.
        skipped: number of unreadable rows.
        bytes, sha256: size and digest of the whole file.
        index: location of the index in the file.
        poolings: layer → its pooling, if it differs from that of the key.
    """

    name: str
    shard: int
    layers: Mapping[str, int]
    skipped: int
    bytes: int
    sha256: str
    index: Block
    poolings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Manifest(JsonDataclass):
    """The state of an entry.

    Attributes:
        key: key of the entry.
        rows: number of rows of the split.
        shard_rows: number of rows per shard; the last shard may have fewer.
        batch: number of images per forward pass; a resumed run uses the same batches and so computes the same bits.
        classes: names of the classes.
        row_digest: digest of all ids and labels.
        files: name → finished file.
        versions: versions of the libraries that computed the features, or recomputed some with equal results;
            one line of text per set of versions.
    """

    key: EntryKey
    rows: int
    shard_rows: int
    batch: int
    classes: tuple[str, ...]
    row_digest: str
    files: Mapping[str, ShardFile]
    versions: tuple[str, ...] = ()

    @property
    def shards(self) -> int:
        """Number of shards."""
        return -(-self.rows // self.shard_rows)

    @property
    def dims(self) -> dict[str, int]:
        """Layers that at least one shard has, and their number of features ``d``."""
        return {layer: dim for file in self.files.values() for layer, dim in file.layers.items()}

    def shard(self, shard: int) -> NDArray[np.int64]:
        """Return the row numbers of a shard."""
        start = shard * self.shard_rows
        return np.arange(start, min(start + self.shard_rows, self.rows))

    def holding(self, layer: str) -> dict[int, ShardFile]:
        """Return shard → its file that has this layer."""
        return {file.shard: file for file in self.files.values() if layer in file.layers}

    def missing(self, layers: Iterable[str], shard: int) -> tuple[str, ...]:
        """Return the layers of ``layers`` that no file of this shard has."""
        present = {layer for file in self.files.values() if file.shard == shard for layer in file.layers}
        return tuple(layer for layer in layers if layer not in present)

    def next_name(self, shard: int) -> str:
        """Return the name of the next file of this shard."""
        later = (f"shard-{shard:05}.{number}.h5" for number in count(2))
        return next(name for name in chain([f"shard-{shard:05}.h5"], later) if name not in self.files)

    def adding(self, file: ShardFile) -> "Manifest":
        """Return the manifest with ``file`` added."""
        return replace(self, files={**self.files, file.name: file})

    def without(self, names: Iterable[str]) -> "Manifest":
        """Return the manifest without the files called ``names``."""
        removed = set(names)
        return replace(self, files={name: file for name, file in self.files.items() if name not in removed})

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        plain = super().to_json()
        for file in plain["files"].values():
            del file["name"]
        return plain

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Manifest":
        """Return the manifest that ``to_json`` converted."""
        files = {name: ShardFile.from_json({**file, "name": name}) for name, file in value["files"].items()}
        return super().from_json({**value, "files": files})


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Replace the manifest of the entry in ``folder``; the caller holds the entry's lock.

    The file contains the digest of its own text with an empty digest.
    """
    plain = manifest.to_json()
    digest = _sha256(sorted_json({**plain, "digest": ""}).encode())
    write_json(folder / MANIFEST, {**plain, "digest": digest})


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of the entry in ``folder``.

    Raises:
        CacheError: if there is none, or if it has another format version.
        DamagedError: if a byte differs from what was written.
    """
    path = folder / MANIFEST
    try:
        text = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise CacheError(f"{folder} contains no cache entry. Create one with `transferkit extract`.") from error
    plain = _checked(text)
    if plain is None or digest_of(plain["key"]) != folder.name:
        raise DamagedError(f"{path} is damaged. {REMEDY}")
    if plain["key"]["format"] != FORMAT:
        raise CacheError(
            f"{folder} has cache format {plain['key']['format']}, but this transferkit reads {FORMAT}. "
            "Read it with the version that wrote it."
        )
    return Manifest.from_json(plain)


def _checked(text: bytes) -> dict[str, Any] | None:
    """Return the values in ``text`` without their digest; None if a byte was changed."""
    try:
        plain = json.loads(text)
        digest = plain.pop("digest")
        return plain if _sha256(text.replace(digest.encode(), b"", 1)) == digest else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _sha256(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()
