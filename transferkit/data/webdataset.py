"""``wds:PATTERN``: WebDataset tar shards, on disk or by URL.

``wds:/data/leaves-{000..012}.tar``, ``wds:/data/{split}/{00..04}.tar``, ``wds:https://host/a-{0..9}.tar``.
Braces stand for ranges or alternatives, ``{split}`` for train, val and test, of which those that exist are
read. A sample is a run of files that share a name up to the first dot: ``.jpg``, ``.jpeg``, ``.png`` or
``.webp`` is its image, ``.cls`` or ``.json`` its label.

Every shard is read once, to learn where its samples lie and what their bytes are; then any sample is a seek
away, so that extraction, resuming, splitting and shuffling work as for folders. Shards behind a URL are
copied into the data folder first, each there only when whole.
"""

import itertools
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DataError, UnreadableImageError, UsageError
from ..core.progress import SILENT, Reporter
from .dataset import DATASETS, Dataset, Split
from .decoding import decode
from .fingerprints import fingerprint_of
from .folder import absolute
from .scanning import UNLABELLED
from .splits import ORDER, divided
from .webdataset_copies import copied, remember_absent
from .webdataset_index import ShardIndex, shard_index

SPLIT_MARK = "{split}"
_MOST_SHARDS = 100_000


@dataclass(frozen=True, eq=False)
class TarShardReader:
    """Decodes samples where they lie in their shards.

    Attributes:
        paths: ``[s]`` of the shards.
        modified_ns: ``[s]`` when each last changed.
        shards: ``[n]`` which shard a row lies in.
        offsets: ``[n]`` first byte of each image.
        sizes: ``[n]`` bytes of each image.
    """

    paths: tuple[Path, ...]
    modified_ns: tuple[int, ...]
    shards: NDArray[np.int64]
    offsets: NDArray[np.int64]
    sizes: NDArray[np.int64]

    def image(self, row: int) -> NDArray[np.uint8]:
        """As ``Reader.image``.

        Raises: DataError: if the shard changed after it was opened.
        """
        shard, size = int(self.shards[row]), int(self.sizes[row])
        path = self.paths[shard]
        try:
            with path.open("rb") as file:
                if os.fstat(file.fileno()).st_mtime_ns != self.modified_ns[shard]:
                    raise DataError(f"{path} changed after it was opened. Run the same command again.")
                file.seek(int(self.offsets[row]))
                content = file.read(size)
        except OSError as error:
            raise UnreadableImageError(error.strerror or "its shard cannot be read") from error
        return decode(content)


@DATASETS.register("wds")
def open_webdataset(rest: str, *, root: Path, seed: int, reporter: Reporter = SILENT) -> Dataset:
    """The data set in the shards that the pattern ``rest`` names.

    Raises:
        UsageError: if there is no pattern, or it cannot be meant.
        DataError: if shards are missing or damaged, or their labels do not make classes.
    """
    if not rest:
        raise UsageError("wds: stands before shards, as in wds:photos-{000..012}.tar.")
    pattern = rest if _is_url(rest) else str(absolute(rest))
    spec = f"wds:{pattern}"
    shards = {
        name: expanded(pattern.replace(SPLIT_MARK, name)) for name in (ORDER if SPLIT_MARK in pattern else ("train",))
    }
    there = _fetched(shards, root, reporter) if _is_url(rest) else _present_splits(shards)
    if not there:
        raise DataError(f"There is no shard {shards['train'][0]}.")
    indexed = {name: _indexed(name, paths, root / "indexes", reporter) for name, paths in there.items()}
    classes = _classes(spec, [index for indexes in indexed.values() for index in indexes.values()])
    splits = {name: _split(spec, name, indexes, classes) for name, indexes in indexed.items()}
    return Dataset(spec, divided(splits, seed=seed, draw="wds"), source=pattern)


def expanded(pattern: str) -> list[str]:
    """The names that a pattern stands for, in order.

    >>> expanded("a-{08..10}.tar"), expanded("{x,y}{1..2}")
    (['a-08.tar', 'a-09.tar', 'a-10.tar'], ['x1', 'x2', 'y1', 'y2'])

    Raises: UsageError: if a brace is not closed, or holds no range and no alternatives.
    """
    parts = re.split(r"(\{[^{}]*\})", pattern)
    choices = [_choices(part, pattern) if index % 2 else [part] for index, part in enumerate(parts)]
    if any(brace in part for part in parts[::2] for brace in "{}"):
        raise UsageError(f"{pattern} has a brace without its other half.")
    count = int(np.prod([len(one) for one in choices], dtype=object))
    if count > _MOST_SHARDS:
        raise UsageError(f"{pattern} stands for {count} shards, more than {_MOST_SHARDS}.")
    return ["".join(one) for one in itertools.product(*choices)]


def _choices(braces: str, pattern: str) -> Sequence[str]:
    inner = braces[1:-1]
    if match := re.fullmatch(r"(\d+)\.\.(\d+)", inner):
        first, last = int(match[1]), int(match[2])
        if first <= last < first + _MOST_SHARDS:
            return [f"{number:0{len(match[1])}}" for number in range(first, last + 1)]
    elif "," in inner:
        return inner.split(",")
    raise UsageError(f"{braces} of {pattern} is no range such as {{000..012}} and no list such as {{a,b}}.")


def _is_url(text: str) -> bool:
    return text.startswith(("http://", "https://"))


def _fetched(shards: Mapping[str, Sequence[str]], root: Path, reporter: Reporter) -> dict[str, list[Path]]:
    """Copies of the shards of those splits that exist; others are told of once, and not asked for again."""
    copies = {name: copied(urls, root, reporter=reporter) for name, urls in shards.items()}
    found = {name: paths for name, paths in copies.items() if paths}
    for name in shards.keys() - found.keys() if found else ():
        remember_absent(shards[name], root)
    return found


def _present_splits(shards: Mapping[str, Sequence[str]]) -> dict[str, list[Path]]:
    """Paths of the shards of those splits that exist."""
    return {name: paths for name, names in shards.items() if (paths := _present(names))}


def _present(shards: Sequence[str]) -> list[Path]:
    """The shards as paths; none where none of them exists.

    Raises: DataError: if some exist and others do not.
    """
    paths = [Path(shard) for shard in shards]
    missing = [path for path in paths if not path.exists()]
    if missing and len(missing) < len(paths):
        raise DataError(
            f"{len(missing)} of {len(paths)} shards are missing, such as {missing[0]}. "
            "Bring them, or narrow the pattern."
        )
    return [] if missing else paths


def _indexed(name: str, paths: Sequence[Path], memory: Path, reporter: Reporter) -> dict[Path, ShardIndex]:
    indexes = {}
    with reporter.task(f"Indexing {name}", len(paths), "shards") as task:
        for path in paths:
            indexes[path] = shard_index(path, memory=memory)
            task.advance()
    imageless = [f"{path.name}: {key}" for path, index in indexes.items() for key in index.imageless]
    if imageless:
        reporter.note(f"{name}: {len(imageless)} samples left out, without image, such as {imageless[0]}")
    if not any(index.keys for index in indexes.values()):
        raise DataError(f"{paths[0]}, and the shards after it, hold no samples with images.")
    return indexes


def _classes(spec: str, indexes: Sequence[ShardIndex]) -> tuple[str, ...]:
    """Numbers up to the largest label, or sorted names; one class without labels.

    Raises: DataError: if some samples have a label and others none, or one is of another kind.
    """
    labels = {label for index in indexes for label in index.labels}
    if labels == {None}:
        return (UNLABELLED,)
    if None in labels:
        bare = next(k for i in indexes for k, label in zip(i.keys, i.labels, strict=True) if label is None)
        raise DataError(
            f"{spec} has labels, but none for {bare} and perhaps others: add .cls or .json, or remove them."
        )
    if all(isinstance(label, str) for label in labels):
        return tuple(sorted(map(str, labels)))
    numbers = [label for label in labels if isinstance(label, int)]
    if len(numbers) < len(labels):
        raise DataError(f"{spec} mixes numbers and names as labels: use one of them.")
    if min(numbers) < 0 or max(numbers) > _MOST_CLASSES:
        raise DataError(f"{spec} has labels {min(numbers)} … {max(numbers)}, not 0 … {_MOST_CLASSES}.")
    return tuple(map(str, range(max(numbers) + 1)))


_MOST_CLASSES = 1_000_000


def _split(spec: str, name: str, indexes: dict[Path, ShardIndex], classes: tuple[str, ...]) -> Split:
    names = _shard_names(list(indexes))
    ids = tuple(f"{names[path]}/{key}" for path, index in indexes.items() for key in index.keys)
    number = {label: place for place, label in enumerate(classes)}
    told = [label for index in indexes.values() for label in index.labels]
    labels = np.array([0 if label is None else number[str(label)] for label in told], np.int64)
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
    """What ids begin with: names without ``.tar``, with folders where names alone are not unique."""
    names = [path.name.removesuffix(".tar") for path in paths]
    if len(set(names)) < len(names):
        parent = os.path.commonpath([path.parent for path in paths])
        names = [path.relative_to(parent).as_posix().removesuffix(".tar") for path in paths]
    return dict(zip(paths, names, strict=True))
