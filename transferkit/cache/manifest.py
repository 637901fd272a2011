"""What ``entry.json`` says: the key in readable form, and the finished files with their digests."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from itertools import chain, count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import CacheError, DamagedError
from ..core.files import digest_of, sorted_json, write_json
from .format import REMEDY, Block
from .key import FORMAT, EntryKey

MANIFEST = "entry.json"


@dataclass(frozen=True)
class ShardFile:
    """A finished file; it is never changed.

    Attributes:
        name: ``shard-00017.h5``, or ``shard-00017.2.h5`` for layers that were asked for later.
        shard: 17.
        layers: name → ``d``, of the layers it holds for all rows of the shard.
        skipped: how many of these rows could not be read.
        bytes, sha256: of the whole file.
        index: where its index lies.
        poolings: layer → its pooling, where it is not that of the key.
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
class Manifest:
    """The state of an entry.

    Attributes:
        key: what the entry is.
        rows: how many the split has.
        shard_rows: how many a shard has; the last one may have fewer.
        batch: images a forward pass, kept so that a resumed run repeats the batches, and so their bits.
        classes: names.
        row_digest: digest of all ids and labels.
        files: the finished ones, by name.
        versions: of the libraries that computed its features, or computed some again and found them alike;
            a line of text for each set of versions.
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
        """How many shards the rows make."""
        return -(-self.rows // self.shard_rows)

    @property
    def dims(self) -> dict[str, int]:
        """``d`` of every layer that at least one shard has."""
        return {layer: dim for file in self.files.values() for layer, dim in file.layers.items()}

    def shard(self, shard: int) -> NDArray[np.int64]:
        """The rows of a shard."""
        start = shard * self.shard_rows
        return np.arange(start, min(start + self.shard_rows, self.rows))

    def holding(self, layer: str) -> dict[int, ShardFile]:
        """Shard → the file that has this layer of it."""
        return {file.shard: file for file in self.files.values() if layer in file.layers}

    def missing(self, layers: Iterable[str], shard: int) -> tuple[str, ...]:
        """Those of ``layers`` that no file has of this shard."""
        there = {layer for file in self.files.values() if file.shard == shard for layer in file.layers}
        return tuple(layer for layer in layers if layer not in there)

    def next_name(self, shard: int) -> str:
        """What the next file of this shard is called."""
        later = (f"shard-{shard:05}.{number}.h5" for number in count(2))
        return next(name for name in chain([f"shard-{shard:05}.h5"], later) if name not in self.files)

    def adding(self, file: ShardFile) -> "Manifest":
        """The state once ``file`` is finished."""
        return replace(self, files={**self.files, file.name: file})

    def without(self, names: Iterable[str]) -> "Manifest":
        """The state once the files called ``names`` are gone."""
        gone = set(names)
        return replace(self, files={name: file for name, file in self.files.items() if name not in gone})

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        files = {name: {k: v for k, v in asdict(f).items() if k != "name"} for name, f in self.files.items()}
        return {**asdict(replace(self, files={})), "files": files}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Manifest":
        """The manifest that ``to_json`` wrote."""
        files = {
            name: ShardFile(**{**file, "name": name, "index": Block.from_json(file["index"])})
            for name, file in value["files"].items()
        }
        key, classes = EntryKey.from_json(value["key"]), tuple(value["classes"])
        versions = tuple(value.get("versions", ()))
        return cls(**{**value, "key": key, "classes": classes, "files": files, "versions": versions})


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Replace the manifest of the entry in ``folder``; only under the entry's lock.

    It ends up holding the digest of its own text, taken while the digest was still empty.
    """
    plain = manifest.to_json()
    digest = _sha256(sorted_json({**plain, "digest": ""}).encode())
    write_json(folder / MANIFEST, {**plain, "digest": digest})


def read_manifest(folder: Path) -> Manifest:
    """The manifest of the entry in ``folder``.

    Raises:
        CacheError: if there is none, or if it is of another format version.
        DamagedError: if a byte of it is not the one that was written.
    """
    path = folder / MANIFEST
    try:
        text = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise CacheError(f"{folder} holds no cache entry. Fill one with `transferkit extract`.") from error
    plain = _checked(text)
    if plain is None or digest_of(plain["key"]) != folder.name:
        raise DamagedError(f"{path} is damaged. {REMEDY}")
    if plain["key"]["format"] != FORMAT:
        raise CacheError(
            f"{folder} is of cache format {plain['key']['format']}, this transferkit reads {FORMAT}. "
            "Read it with the version that wrote it."
        )
    return Manifest.from_json(plain)


def _checked(text: bytes) -> dict[str, Any] | None:
    """The values in ``text`` without their digest; None if a byte was changed."""
    try:
        plain = json.loads(text)
        digest = plain.pop("digest")
        return plain if _sha256(text.replace(digest.encode(), b"", 1)) == digest else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _sha256(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()
