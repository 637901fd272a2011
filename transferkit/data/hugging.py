"""``hf:NAME`` and ``hf:PATH``: a data set of the Hugging Face hub, or a folder that ``save_to_disk`` wrote.

``hf:NAME#SPLIT`` takes one of its splits alone, and ``hf:NAME:CONFIG`` one of its configurations. Its
``validation`` is our val. Splits that are missing are cut from train, as for ``wds:``.

Needs the package ``datasets``, which the extra ``hf`` brings. Scripts that come with data sets are not run.
"""

import hashlib
import itertools
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DataError, DiskSpaceError, MissingExtraError, UnreadableImageError, UsageError
from ..core.files import digest_of, write_json
from ..core.progress import SILENT, Reporter
from .dataset import DATASETS, Dataset, Split
from .decoding import decode
from .fingerprints import UNREADABLE, file_digest, fingerprint_of
from .folder import absolute
from .scanning import SPLIT_FOLDERS, UNLABELLED
from .splits import divided


@dataclass(frozen=True)
class Source:
    """What a spec names.

    Attributes:
        name: on the hub, or the folder's absolute path.
        config: of the hub's data set; empty for its only one.
        split: the one that is taken; empty for all.
        local: whether ``name`` is a folder.
    """

    name: str
    config: str
    split: str
    local: bool

    @property
    def spec(self) -> str:
        """Canonical."""
        config, split = self.config and f":{self.config}", self.split and f"#{self.split}"
        return f"hf:{self.name}{config}{split}"


def parse_source(rest: str) -> Source:
    """What stands behind ``hf:``.

    >>> parse_source("beans#train").spec, parse_source("user/birds:small").config
    ('hf:beans#train', 'small')

    Raises: UsageError: if nothing stands there.
    """
    name, _, split = rest.partition("#")
    if not name:
        raise UsageError("hf: stands before a name or a path, as in hf:beans or hf:/data/saved.")
    folder = absolute(name)
    if folder.is_dir():
        return Source(str(folder), "", split, True)
    if name.startswith(("/", "~", ".")):
        raise UsageError(f"hf:{name}: there is no folder {folder}.")
    name, _, config = name.partition(":")
    return Source(name, config, split, False)


@dataclass(frozen=True, eq=False)
class HuggingReader:
    """Decodes the rows of a table whose images are not decoded.

    Attributes:
        table: of ``datasets``; its rows hold the bytes of an image, or its path.
        column: that holds the images.
    """

    table: Any
    column: str

    def image(self, row: int) -> NDArray[np.uint8]:
        """As ``Reader.image``."""
        return decode(_source_of(self.table[row][self.column]))


def _source_of(cell: Mapping[str, Any] | None) -> Path | bytes:
    if cell is not None and cell.get("bytes") is not None:
        return bytes(cell["bytes"])
    if cell is not None and cell.get("path"):
        return Path(cell["path"])
    raise UnreadableImageError("the row has no image")


@DATASETS.register("hf")
def open_hugging(rest: str, *, root: Path, seed: int, reporter: Reporter = SILENT) -> Dataset:
    """The data set that ``rest`` names.

    Raises:
        UsageError: if nothing is named, or a folder that does not exist.
        MissingExtraError: if ``datasets`` is not installed.
        DataError: if the set cannot be had, has no column of images, or labels that make no classes.
    """
    source = parse_source(rest)
    parts = _loaded(source)
    first = next(iter(parts.values()))
    image, label = _columns(source.spec, first.features)
    classes = _classes(source.spec, parts, label)
    splits = {}
    for name, table in parts.items():
        table = table.cast_column(image, _library().Image(decode=False))
        splits[name] = _split(source.spec, name, table, (image, label), classes)
        memo = root / "fingerprints" / f"hf-{digest_of([source.spec, name])[:32]}.json"
        splits[name] = _fingerprinted(splits[name], memo, reporter)
    licence = str(getattr(first.info, "license", "") or "")
    return Dataset(source.spec, divided(splits, seed=seed, draw="hf"), source=source.name, licence=licence)


def _library() -> Any:
    try:
        import datasets
    except ModuleNotFoundError as error:
        raise MissingExtraError("datasets", extra="hf", purpose="for data sets of Hugging Face") from error
    return datasets


def _loaded(source: Source) -> dict[str, Any]:
    """Our name of each split → its table, train first.

    Raises: DataError: if they cannot be had.
    """
    library = _library()
    try:
        if source.local:
            loaded = library.load_from_disk(source.name)
        else:
            loaded = library.load_dataset(source.name, source.config or None)
    except Exception as error:  # of the network, the hub, or broken files: whatever the library raises
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{source.spec} cannot be loaded: {reason}") from error
    tables = dict(loaded) if isinstance(loaded, dict) else {source.split or "train": loaded}
    if source.split:
        if source.split not in tables:
            raise DataError(f"{source.spec}: there is no split {source.split!r}, only {', '.join(tables)}.")
        return {"train": tables[source.split]}
    named = {SPLIT_FOLDERS[name]: table for name, table in tables.items() if name in SPLIT_FOLDERS}
    if "train" not in named:
        raise DataError(f"{source.spec} has no split train. Choose one: {source.spec}#{next(iter(tables))}.")
    return {name: named[name] for name in ("train", "val", "test") if name in named}


def _columns(spec: str, features: Mapping[str, Any]) -> tuple[str, str]:
    """The columns of images and of labels; the second is empty where there is none.

    Raises: DataError: if the images are not in one column, or several columns could be labels.
    """
    library = _library()
    images = [name for name, feature in features.items() if isinstance(feature, library.Image)]
    if len(images) != 1 and "image" not in images:
        found = ", ".join(images) or "none"
        raise DataError(f"{spec} should have one column of images, or one named image; it has {found}.")
    image = "image" if "image" in images else images[0]
    labels = [name for name, feature in features.items() if isinstance(feature, library.ClassLabel)]
    named = [name for name in ("label", "labels") if name in features]
    if len(labels) > 1 and not named:
        raise DataError(f"{spec} has several columns of labels, {', '.join(labels)}: name one of them label.")
    return image, named[0] if named else labels[0] if labels else ""


def _classes(spec: str, parts: Mapping[str, Any], label: str) -> tuple[str, ...]:
    """The names that the column declares, else those in train, sorted, or numbers up to the largest label.

    Raises: DataError: if a label is neither a name nor a whole number, or is of another kind than in train.
    """
    if not label:
        return (UNLABELLED,)
    names = getattr(next(iter(parts.values())).features[label], "names", None)
    if names:
        return tuple(names)
    values = {name: _values(table, label) for name, table in parts.items()}
    kind = str if any(isinstance(value, str) for value in values["train"]) else int
    for name, labels in values.items():
        for row, value in enumerate(labels):
            if not isinstance(value, kind):
                wanted = "one name, as in train" if kind is str else "one whole number"
                raise DataError(
                    f"{spec}: the column {label} has {value!r} in row {row} of {name}, not {wanted}. "
                    "Leave such rows out, or make the column a ClassLabel."
                )
    if kind is str:
        return tuple(sorted(set(values["train"])))
    return tuple(map(str, range(max(itertools.chain(*values.values()), default=0) + 1)))


def _values(table: Any, column: str) -> list[Any]:
    """One column, without touching the others."""
    return list(table.select_columns([column])[:][column])


def _split(spec: str, name: str, table: Any, columns: tuple[str, str], classes: tuple[str, ...]) -> Split:
    """Without fingerprint."""
    image, label = columns
    values = _values(table, label) if label else [0] * len(table)
    number = {label: place for place, label in enumerate(classes)}
    labels = [number.get(value) if isinstance(value, str) else value for value in values]
    wrong = [row for row, v in enumerate(labels) if not (isinstance(v, int) and 0 <= v < len(classes))]
    if wrong:
        value = values[wrong[0]]
        allowed = "which train lacks" if isinstance(value, str) else f"not 0 … {len(classes) - 1}"
        raise DataError(
            f"{spec}: row {wrong[0]} of {name} has the label {value!r}, {allowed}. "
            "Leave such rows out, or make the column a ClassLabel."
        )
    ids = tuple(f"{name}/{row:0{len(str(len(table)))}}" for row in range(len(table)))
    return Split(spec, name, ids, np.array(labels, np.int64), classes, "", HuggingReader(table, image))


def _fingerprinted(split: Split, memo: Path, reporter: Reporter) -> Split:
    """With a fingerprint over every image's bytes, remembered with the library's own of the table."""
    assert isinstance(split.reader, HuggingReader)
    table, column = split.reader.table, split.reader.column
    stamp = [str(table._fingerprint), len(table), digest_of([split.labels.tolist(), list(split.classes)])]
    with suppress(OSError, ValueError, KeyError, TypeError):
        value = json.loads(memo.read_bytes())
        if value["stamp"] == stamp:
            return replace(split, fingerprint=str(value["fingerprint"]))
    contents = []
    with reporter.task(f"Hashing {split.dataset} {split.name}", len(table), "images") as task:
        for row in range(len(table)):
            contents.append(_digest(table[row][column]))
            task.advance()
    fingerprint = fingerprint_of(split.ids, split.labels, split.classes, contents)
    with suppress(DiskSpaceError):
        write_json(memo, {"stamp": stamp, "fingerprint": fingerprint})
    return replace(split, fingerprint=fingerprint)


def _digest(cell: Mapping[str, Any] | None) -> str:
    try:
        source = _source_of(cell)
    except UnreadableImageError:
        return UNREADABLE
    if isinstance(source, Path):
        return file_digest(source)
    return hashlib.blake2b(source, digest_size=16).hexdigest()
