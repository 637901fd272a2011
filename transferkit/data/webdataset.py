"""``wds:PATTERN``: WebDataset tar shards, on disk or by URL.

Examples are ``wds:/data/leaves-{000..012}.tar``, ``wds:/data/{split}/{00..04}.tar`` and
``wds:https://host/a-{0..9}.tar``. Braces stand for ranges or alternatives; ``{split}`` stands for train, val and
test, and missing splits are skipped. A sample consists of consecutive files with the same name up to the first
dot: ``.jpg``, ``.jpeg``, ``.png`` or ``.webp`` is its image, ``.cls`` or ``.json`` its label.

Every shard is read once to index the positions and digests of its samples. Samples are then read by random
access, so that extraction, resuming, splitting and shuffling work as for folders. Shards at a URL are first
copied into the data folder; incomplete copies are never read.
"""

import itertools
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DataError, UsageError
from ..core.progress import SILENT, Reporter
from .dataset import DATASETS, Dataset, Split
from .fingerprints import fingerprint_of
from .folder import absolute
from .scanning import UNLABELLED
from .splits import ORDER, add_missing_splits
from .tar_files import decode_member
from .webdataset_copies import local_copies, remember_absent
from .webdataset_index import ShardIndex, shard_index

SPLIT_PLACEHOLDER = "{split}"
_MAX_SHARDS = 100_000


@dataclass(frozen=True, eq=False)
class TarShardReader:
    """Decodes samples directly from their shards.

    Attributes:
        paths: Paths of the shards ``[s]``.
        modified_ns: Modification time of each shard ``[s]`` in nanoseconds.
        shards: Index of the shard of each row ``[n]``.
        offsets: Offset of the first byte of each image ``[n]``.
        sizes: Size of each image in bytes ``[n]``.
    """

    paths: tuple[Path, ...]
    modified_ns: tuple[int, ...]
    shards: NDArray[np.int64]
    offsets: NDArray[np.int64]
    sizes: NDArray[np.int64]

    def image(self, row: int) -> NDArray[np.uint8]:
        """Decode a row as ``Reader.image`` does.

        Raises: DataError: If the shard changed after it was opened.
        """
        shard, offset, size = int(self.shards[row]), int(self.offsets[row]), int(self.sizes[row])
        return decode_member(self.paths[shard], offset, size, modified_ns=self.modified_ns[shard])


@DATASETS.register("wds")
def open_webdataset(rest: str, *, root: Path, seed: int, reporter: Reporter = SILENT) -> Dataset:
    """Open the data set in the shards that match the pattern ``rest``.

    Raises:
        UsageError: If the pattern is empty or invalid.
        DataError: If shards are missing or damaged, or their labels are invalid.
    """
    if not rest:
        raise UsageError("wds: has no shards. Give a pattern, as in wds:photos-{000..012}.tar.")
    pattern = rest if _is_url(rest) else str(absolute(rest))
    spec = f"wds:{pattern}"
    shards = {
        name: expand_braces(pattern.replace(SPLIT_PLACEHOLDER, name))
        for name in (ORDER if SPLIT_PLACEHOLDER in pattern else ("train",))
    }
    present = _fetched(shards, root, reporter) if _is_url(rest) else _present_splits(shards)
    if not present:
        raise DataError(f"There is no shard {shards['train'][0]}.")
    indexed = {name: _indexed(name, paths, root / "indexes", reporter) for name, paths in present.items()}
    classes = _classes(spec, [index for indexes in indexed.values() for index in indexes.values()])
    splits = {name: _split(spec, name, indexes, classes) for name, indexes in indexed.items()}
    return Dataset(spec, add_missing_splits(splits, seed=seed, draw="wds"), source=pattern)


def expand_braces(pattern: str) -> list[str]:
    """Expand the braces of a pattern to the names it stands for, in order.

    >>> expand_braces("a-{08..10}.tar"), expand_braces("{x,y}{1..2}")
    (['a-08.tar', 'a-09.tar', 'a-10.tar'], ['x1', 'x2', 'y1', 'y2'])

    Raises: UsageError: If a brace is not closed, or contains neither a range nor alternatives.
    """
    parts = re.split(r"(\{[^{}]*\})", pattern)
    choices = [_choices(part, pattern) if index % 2 else [part] for index, part in enumerate(parts)]
    if any(brace in part for part in parts[::2] for brace in "{}"):
        raise UsageError(f"{pattern} has an unmatched brace. Close or remove it.")
    count = int(np.prod([len(one) for one in choices], dtype=object))
    if count > _MAX_SHARDS:
        raise UsageError(f"{pattern} stands for {count} shards; at most {_MAX_SHARDS} are allowed. Narrow the pattern.")
    return ["".join(one) for one in itertools.product(*choices)]


def _choices(braces: str, pattern: str) -> Sequence[str]:
    inner = braces[1:-1]
    if match := re.fullmatch(r"(\d+)\.\.(\d+)", inner):
        first, last = int(match[1]), int(match[2])
        if first <= last < first + _MAX_SHARDS:
            return [f"{number:0{len(match[1])}}" for number in range(first, last + 1)]
    elif "," in inner:
        return inner.split(",")
    raise UsageError(f"{braces} of {pattern} is invalid. Use a range such as {{000..012}} or a list such as {{a,b}}.")


def _is_url(text: str) -> bool:
    return text.startswith(("http://", "https://"))


def _fetched(shards: Mapping[str, Sequence[str]], root: Path, reporter: Reporter) -> dict[str, list[Path]]:
    """Fetch the shards of the existing splits; missing splits are reported once, and not requested again."""
    copies = {name: local_copies(urls, root, reporter=reporter) for name, urls in shards.items()}
    found = {name: paths for name, paths in copies.items() if paths}
    for name in shards.keys() - found.keys() if found else ():
        remember_absent(shards[name], root)
    return found


def _present_splits(shards: Mapping[str, Sequence[str]]) -> dict[str, list[Path]]:
    """Return the paths of the shards of the existing splits."""
    return {name: paths for name, names in shards.items() if (paths := _present(names))}


def _present(shards: Sequence[str]) -> list[Path]:
    """Return the shards as paths; the list is empty if none of them exists.

    Raises: DataError: If some exist and some do not.
    """
    paths = [Path(shard) for shard in shards]
    missing = [path for path in paths if not path.exists()]
    if missing and len(missing) < len(paths):
        raise DataError(
            f"{len(missing)} of {len(paths)} shards are missing, such as {missing[0]}. Add them, or narrow the pattern."
        )
    return [] if missing else paths


def _indexed(name: str, paths: Sequence[Path], cache_dir: Path, reporter: Reporter) -> dict[Path, ShardIndex]:
    indexes = {}
    with reporter.task(f"Indexing {name}", len(paths), "shards") as task:
        for path in paths:
            indexes[path] = shard_index(path, cache_dir=cache_dir)
            task.advance()
    imageless = [f"{path.name}: {key}" for path, index in indexes.items() for key in index.imageless]
    if imageless:
        reporter.note(f"{name}: {len(imageless)} samples without an image are left out, such as {imageless[0]}")
    if not any(index.keys for index in indexes.values()):
        raise DataError(f"{paths[0]} and the shards after it contain no samples with images.")
    return indexes


def _classes(spec: str, indexes: Sequence[ShardIndex]) -> tuple[str, ...]:
    """Return numbers up to the largest label, or sorted names; without labels there is one class.

    Raises: DataError: If only some samples have a label, or if labels are of different types.
    """
    labels = {label for index in indexes for label in index.labels}
    if labels == {None}:
        return (UNLABELLED,)
    if None in labels:
        unlabelled_key = next(k for i in indexes for k, label in zip(i.keys, i.labels, strict=True) if label is None)
        raise DataError(
            f"{spec} has labels, but {unlabelled_key} has none: add a .cls or .json file to each sample, or remove all."
        )
    if all(isinstance(label, str) for label in labels):
        return tuple(sorted(map(str, labels)))
    numbers = [label for label in labels if isinstance(label, int)]
    if len(numbers) < len(labels):
        raise DataError(f"{spec} mixes numbers and names as labels: use one kind.")
    if min(numbers) < 0 or max(numbers) > _MAX_LABEL:
        raise DataError(f"{spec} has labels {min(numbers)} … {max(numbers)}; the allowed range is 0 … {_MAX_LABEL}.")
    return tuple(map(str, range(max(numbers) + 1)))


_MAX_LABEL = 1_000_000


def _split(spec: str, name: str, indexes: dict[Path, ShardIndex], classes: tuple[str, ...]) -> Split:
    names = _shard_names(list(indexes))
    ids = tuple(f"{names[path]}/{key}" for path, index in indexes.items() for key in index.keys)
    number = {name: index for index, name in enumerate(classes)}
    sample_labels = [label for index in indexes.values() for label in index.labels]
    labels = np.array([0 if label is None else number[str(label)] for label in sample_labels], np.int64)
    contents = [digest for index in indexes.values() for digest in index.contents]
    reader = TarShardReader(
        paths=tuple(indexes),
        modified_ns=tuple(path.stat().st_mtime_ns for path in indexes),
        shards=np.repeat(np.arange(len(indexes)), [len(index.keys) for index in indexes.values()]),
        offsets=np.array([at for index in indexes.values() for at in index.offsets], np.int64),
        sizes=np.array([size for index in indexes.values() for size in index.sizes], np.int64),
    )
    return Split(spec, name, ids, labels, classes, fingerprint_of(ids, labels, classes, contents), reader)


def _shard_names(paths: Sequence[Path]) -> dict[Path, str]:
    """Return the prefix of ids: shard names without ``.tar``, with folders if the names are not unique."""
    names = [path.name.removesuffix(".tar") for path in paths]
    if len(set(names)) < len(names):
        parent = os.path.commonpath([path.parent for path in paths])
        names = [path.relative_to(parent).as_posix().removesuffix(".tar") for path in paths]
    return dict(zip(paths, names, strict=True))
