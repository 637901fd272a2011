"""What a shard holds: one pass over a tar file, remembered beside the other indexes of the data folder."""

import hashlib
import json
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from ..core.errors import DataError, DiskSpaceError
from ..core.files import digest_of, write_json

IMAGES = ("jpg", "jpeg", "png", "webp")
"""Extensions of images, the preferred first."""

LABELS = ("cls", "json")
_FORMAT = 1  # of the file that remembers


@dataclass(frozen=True)
class ShardIndex:
    """The samples of one shard that have an image, in their order.

    Attributes:
        keys: ``[n]`` names of the samples, folders and all.
        offsets: ``[n]`` first byte of each image.
        sizes: ``[n]`` bytes of each image.
        labels: ``[n]`` number or name; None where the sample has none.
        contents: ``[n]`` hex digests of the images' bytes.
        imageless: keys of samples without an image.
    """

    keys: list[str]
    offsets: list[int]
    sizes: list[int]
    labels: list[int | str | None]
    contents: list[str]
    imageless: list[str]


def shard_index(path: Path, *, memory: Path) -> ShardIndex:
    """The index of the shard ``path``; made by reading it once, then remembered in the folder ``memory``.

    A file that changed is read again. A damaged memory is made anew, and one that cannot be written costs
    only time.

    Raises: DataError: if the file is missing or no tar, is compressed, or a sample cannot be meant.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise DataError(f"The shard {path} cannot be read: {error.strerror}.") from error
    stamp = [_FORMAT, str(path), status.st_size, status.st_mtime_ns]
    memo = memory / f"wds-{digest_of(str(path))[:32]}.json"
    remembered = _remembered(memo, stamp)
    if remembered is None:
        remembered = _read(path)
        with suppress(DiskSpaceError):
            write_json(memo, {"stamp": stamp, "index": asdict(remembered)})
    return remembered


def _remembered(memo: Path, stamp: list[Any]) -> ShardIndex | None:
    try:
        value = json.loads(memo.read_bytes())
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
    try:
        with tarfile.open(path, "r:") as archive:
            for key, members in _samples(archive):
                if key in seen:
                    raise DataError(f"{path} has the sample {key!r} twice: keys must be unique in a shard.")
                seen.add(key)
                _add(index, key, members, archive, path)
            _require_end(archive, path)
    except (tarfile.TarError, OSError, EOFError) as error:
        raise DataError(
            f"{path} is no whole tar file ({error}). If it is compressed, unpack it to .tar: samples are "
            "read where they lie. If it is a part of a download, fetch it again."
        ) from error
    return index


def _require_end(archive: tarfile.TarFile, path: Path) -> None:
    """A tar file ends with a block of zeros; one that was cut at the edge of a sample does not."""
    assert archive.fileobj is not None
    archive.fileobj.seek(archive.offset)
    if archive.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise DataError(f"{path} ends without the mark that ends a tar file: fetch it again.")


def _samples(archive: tarfile.TarFile) -> Iterator[tuple[str, dict[str, tarfile.TarInfo]]]:
    """Key and members by extension, of each run of files that share a key: the name up to its first dot."""
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
    index.contents.append(hashlib.blake2b(_content(archive, image), digest_size=16).hexdigest())
    told = next((kind for kind in LABELS if kind in members), None)
    label = None if told is None else _label(told, _content(archive, members[told]), f"{path}: {key}.{told}")
    index.labels.append(label)


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    assert file is not None  # as of every regular file
    content = file.read()
    if len(content) < member.size:
        raise EOFError(f"it ends within {member.name}")
    return content


def _label(kind: str, content: bytes, where: str) -> int | str | None:
    """The number in ``.cls``, or what ``.json`` has under ``label`` or ``cls``."""
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
        raise DataError(f"{where} has the label {value!r}: a label is a whole number or a name.")
    return value
