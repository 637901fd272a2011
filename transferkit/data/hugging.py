"""``hf:NAME`` and ``hf:PATH``: a data set of the Hugging Face hub, or a folder that ``save_to_disk`` wrote.

``hf:NAME#SPLIT`` selects one split, and ``hf:NAME:CONFIG`` one configuration. The split ``validation`` is read
as val. Missing splits are drawn from train, as for ``wds:``.

This module needs the package ``datasets``, which the extra ``hf`` installs. Scripts of data sets are not run.
"""

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
from .fingerprints import UNREADABLE, bytes_digest, file_digest, fingerprint_of
from .folder import absolute
from .scanning import SPLIT_FOLDERS, UNLABELLED
from .splits import add_missing_splits


@dataclass(frozen=True)
class Source:
    """A parsed spec.

    Attributes:
        name: Name on the hub, or absolute path of a folder.
        config: Configuration of the data set; empty for its only one.
        split: Name of the selected split; empty for all splits.
        local: Whether ``name`` is a folder.
    """

    name: str
    config: str
    split: str
    local: bool

    @property
    def spec(self) -> str:
        """Canonical spec."""
        config, split = self.config and f":{self.config}", self.split and f"#{self.split}"
        return f"hf:{self.name}{config}{split}"


def parse_source(rest: str) -> Source:
    """Parse the part of a spec after ``hf:``.

    >>> parse_source("beans#train").spec, parse_source("user/birds:small").config
    ('hf:beans#train', 'small')

    Raises: UsageError: If it is empty, or a path of a folder that does not exist.
    """
    name, _, split = rest.partition("#")
    if not name:
        raise UsageError("hf: has no name. Give a name or a path, as in hf:beans or hf:/data/saved.")
    folder = absolute(name)
    if folder.is_dir():
        return Source(str(folder), "", split, True)
    if name.startswith(("/", "~", ".")):
        raise UsageError(f"hf:{name}: there is no folder {folder}.")
    name, _, config = name.partition(":")
    return Source(name, config, split, False)


@dataclass(frozen=True, eq=False)
class HuggingFaceReader:
    """Decodes the rows of a table with encoded images.

    Attributes:
        table: Table of ``datasets``; each row contains the bytes of an image, or its path.
        column: Name of the image column.
    """

    table: Any
    column: str

    def image(self, row: int) -> NDArray[np.uint8]:
        """Decode a row as ``Reader.image`` does."""
        return decode(_source_of(self.table[row][self.column]))


def _source_of(cell: Mapping[str, Any] | None) -> Path | bytes:
    if cell is not None and cell.get("bytes") is not None:
        return bytes(cell["bytes"])
    if cell is not None and cell.get("path"):
        return Path(cell["path"])
    raise UnreadableImageError("the row has no image")


@DATASETS.register("hf")
def open_hugging_face(rest: str, *, root: Path, seed: int, reporter: Reporter = SILENT) -> Dataset:
    """Open the data set that ``rest`` names.

    Raises:
        UsageError: If the name is empty, or is a path of a folder that does not exist.
        MissingExtraError: If ``datasets`` is not installed.
        DataError: If the data set cannot be loaded, has no image column, or has invalid labels.
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
        cache_file = root / "fingerprints" / f"hf-{digest_of([source.spec, name])[:32]}.json"
        splits[name] = _fingerprinted(splits[name], cache_file, reporter)
    licence = str(getattr(first.info, "license", "") or "")
    return Dataset(source.spec, add_missing_splits(splits, seed=seed, draw="hf"), source=source.name, licence=licence)


def _library() -> Any:
    try:
        import datasets
    except ModuleNotFoundError as error:
        raise MissingExtraError("datasets", extra="hf", purpose="for data sets of Hugging Face") from error
    return datasets


def _loaded(source: Source) -> dict[str, Any]:
    """Load the table of each split, with train first.

    Raises: DataError: If the tables cannot be loaded.
    """
    library = _library()
    try:
        if source.local:
            loaded = library.load_from_disk(source.name)
        else:
            loaded = library.load_dataset(source.name, source.config or None)
    except Exception as error:  # the library raises many types of errors
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
    """Return the image column and the label column; the second is empty if there is none.

    Raises: DataError: If there is not exactly one image column, or several columns could be labels.
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
    """Return the class names that the column declares, else the sorted names in train, or numbers.

    Raises: DataError: If a label is neither a name nor a whole number, or its type differs from train.
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
    """Return the values of one column without decoding the other columns."""
    return list(table.select_columns([column])[:][column])


def _split(spec: str, name: str, table: Any, columns: tuple[str, str], classes: tuple[str, ...]) -> Split:
    """Build a split without a fingerprint."""
    image, label = columns
    values = _values(table, label) if label else [0] * len(table)
    number = {name: index for index, name in enumerate(classes)}
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
    return Split(spec, name, ids, np.array(labels, np.int64), classes, "", HuggingFaceReader(table, image))


def _fingerprinted(split: Split, cache_file: Path, reporter: Reporter) -> Split:
    """Add a fingerprint of the bytes of all images, which is cached under the library's table fingerprint."""
    assert isinstance(split.reader, HuggingFaceReader)
    table, column = split.reader.table, split.reader.column
    stamp = [str(table._fingerprint), len(table), digest_of([split.labels.tolist(), list(split.classes)])]
    with suppress(OSError, ValueError, KeyError, TypeError):
        value = json.loads(cache_file.read_bytes())
        if value["stamp"] == stamp:
            return replace(split, fingerprint=str(value["fingerprint"]))
    contents = []
    with reporter.task(f"Hashing {split.dataset} {split.name}", len(table), "images") as task:
        for row in range(len(table)):
            contents.append(_digest(table[row][column]))
            task.advance()
    fingerprint = fingerprint_of(split.ids, split.labels, split.classes, contents)
    with suppress(DiskSpaceError):
        write_json(cache_file, {"stamp": stamp, "fingerprint": fingerprint})
    return replace(split, fingerprint=fingerprint)


def _digest(cell: Mapping[str, Any] | None) -> str:
    try:
        source = _source_of(cell)
    except UnreadableImageError:
        return UNREADABLE
    if isinstance(source, Path):
        return file_digest(source)
    return bytes_digest(source)
