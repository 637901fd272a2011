"""Index of the samples of a shard, made by one pass over the tar file and cached in the data folder."""

import json
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from ..core.errors import DataError, DiskSpaceError
from ..core.files import digest_of, write_json
from .fingerprints import bytes_digest
from .tar_files import opened_tar

IMAGES = ("jpg", "jpeg", "png", "webp")
"""Extensions of images, in order of preference."""

LABELS = ("cls", "json")
_FORMAT_VERSION = 1  # version of the cache file


@dataclass(frozen=True)
class ShardIndex:
    """The samples of one shard that have an image, in the order of the shard.

    Attributes:
        keys: Names of the samples with their folders ``[n]``.
        offsets: Offset of the first byte of each image ``[n]``.
        sizes: Size of each image in bytes ``[n]``.
        labels: Number or name ``[n]``; None if the sample has no label.
        contents: Hex digests of the bytes of the images ``[n]``.
        imageless: Keys of samples without an image.
    """

    keys: list[str]
    offsets: list[int]
    sizes: list[int]
    labels: list[int | str | None]
    contents: list[str]
    imageless: list[str]


def shard_index(path: Path, *, cache_dir: Path) -> ShardIndex:
    """Return the index of the shard ``path``; it is made by reading the shard once, and cached in ``cache_dir``.

    A shard that changed is read again. A damaged cache file is replaced, and a cache file that cannot be written
    only costs time.

    Raises: DataError: If the file is missing, compressed or not a tar file, or a sample is invalid.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise DataError(f"The shard {path} cannot be read: {error.strerror}.") from error
    stamp = [_FORMAT_VERSION, str(path), status.st_size, status.st_mtime_ns]
    cache_file = cache_dir / f"wds-{digest_of(str(path))[:32]}.json"
    index = _read_cache(cache_file, stamp)
    if index is None:
        index = _read(path)
        with suppress(DiskSpaceError):
            write_json(cache_file, {"stamp": stamp, "index": asdict(index)})
    return index


def _read_cache(cache_file: Path, stamp: list[Any]) -> ShardIndex | None:
    try:
        value = json.loads(cache_file.read_bytes())
        if value["stamp"] != stamp:
            return None
        index = ShardIndex(**{field.name: value["index"][field.name] for field in fields(ShardIndex)})
    except (OSError, ValueError, KeyError, TypeError):
        return None
    columns = (index.offsets, index.sizes, index.labels, index.contents)
    return index if all(len(column) == len(index.keys) for column in columns) else None


def _read(path: Path) -> ShardIndex:
    index = ShardIndex([], [], [], [], [], [])
    seen: set[str] = set()
    with opened_tar(path) as archive:
        for key, members in _samples(archive):
            if key in seen:
                raise DataError(f"{path} has the sample {key!r} twice. Keys must be unique in a shard.")
            seen.add(key)
            _add(index, key, members, archive, path)
    return index


def _samples(archive: tarfile.TarFile) -> Iterator[tuple[str, dict[str, tarfile.TarInfo]]]:
    """Group consecutive files by key, the name up to its first dot; yield the key and the members by extension."""
    current, members = "", dict[str, tarfile.TarInfo]()
    for member in archive:
        folder, slash, name = member.name.removeprefix("./").rpartition("/")
        stem, dot, extension = name.partition(".")
        if not (member.isfile() and stem and dot) or name.startswith("."):
            continue
        key = folder + slash + stem
        if key != current and members:
            yield current, members
            members = {}
        current = key
        members[extension.lower()] = member
    if members:
        yield current, members


def _add(
    index: ShardIndex, key: str, members: dict[str, tarfile.TarInfo], archive: tarfile.TarFile, path: Path
) -> None:
    kind = next((kind for kind in IMAGES if kind in members), None)
    if kind is None:
        index.imageless.append(key)
        return
    image = members[kind]
    index.keys.append(key)
    index.offsets.append(image.offset_data)
    index.sizes.append(image.size)
    index.contents.append(bytes_digest(_content(archive, image)))
    extension = next((kind for kind in LABELS if kind in members), None)
    label = (
        None
        if extension is None
        else _label(extension, _content(archive, members[extension]), f"{path}: {key}.{extension}")
    )
    index.labels.append(label)


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    assert file is not None  # extractfile returns None only for special files
    content = file.read()
    if len(content) < member.size:
        raise EOFError(f"it ends within {member.name}")
    return content


def _label(kind: str, content: bytes, where: str) -> int | str | None:
    """Parse the number in ``.cls``, or the value of ``label`` or ``cls`` in ``.json``."""
    try:
        if kind == "cls":
            return int(content)
        value = json.loads(content)
    except ValueError as error:
        what = "a whole number" if kind == "cls" else "JSON"
        raise DataError(f"{where} is not {what}, but begins with {content[:20]!r}.") from error
    if isinstance(value, dict):
        value = value.get("label", value.get("cls"))
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | str)):
        raise DataError(f"{where} has the label {value!r}. Use a whole number or a name.")
    return value
