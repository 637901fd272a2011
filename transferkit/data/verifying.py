"""Whether a data set is what its authors published, and whether it leaks: counts, decoding, duplicates."""

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import combinations, islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import __version__
from ..core.errors import UnreadableImageError
from ..core.progress import SILENT, Reporter, Task
from .budgets import split_spec
from .dataset import Dataset, Split
from .downstream.published import PUBLISHED, WHOLE
from .duplicates import MOST_BITS, Pairs, Prints, duplicates
from .folder import FolderReader

_THREADS = min(16, os.cpu_count() or 1)
_AHEAD = 64 * _THREADS  # images asked for before the first of them is done
_MOST_LISTED = 20  # of each kind, for people; JSON has all


@dataclass(frozen=True)
class Twin:
    """Two images that are the same, or nearly.

    Attributes:
        first, second: ``split/id``.
        first_class, second_class: names.
        same: ``bytes`` of the files, ``pixels``, or ``near``.
        bits: by which the perceptual hashes differ, of 64.
    """

    first: str
    second: str
    first_class: str
    second_class: str
    same: str
    bits: int


@dataclass(frozen=True)
class Verification:
    """What was found.

    Attributes:
        name: spec of the data set.
        counts: images in each split.
        published: images in each split as the authors say, ``all`` where there is no official split; empty
            for sets that are not published.
        classes: class → split → images.
        published_classes: how many; None for sets that are not published.
        unreadable: ``split/id`` → the reason.
        leaks: twins in two splits.
        conflicts: twins in train under two labels.
        fingerprints: of each split.
        version: of transferkit.
    """

    name: str
    counts: Mapping[str, int]
    published: Mapping[str, int]
    classes: Mapping[str, Mapping[str, int]]
    published_classes: int | None
    unreadable: Mapping[str, str]
    leaks: tuple[Twin, ...]
    conflicts: tuple[Twin, ...]
    fingerprints: Mapping[str, str]
    version: str

    @property
    def problems(self) -> list[str]:
        """What is wrong, a sentence each; near duplicates are told but are not wrong by themselves."""
        found = []
        for part, count in self.published.items():
            here = sum(self.counts.values()) if part == WHOLE else self.counts.get(part, 0)
            if here != count:
                split = "images" if part == WHOLE else f"images in {part}"
                found.append(f"{here} {split}, published are {count}")
        if self.published_classes not in (None, len(self.classes)):
            found.append(f"{len(self.classes)} classes, published are {self.published_classes}")
        if empty := [name for name, per_split in self.classes.items() if per_split.get("train") == 0]:
            found.append(f"{len(empty)} classes without an image in train: {_some(empty)}")
        if self.unreadable:
            found.append(f"{len(self.unreadable)} images that cannot be decoded")
        if exact := _exact(self.leaks):
            found.append(f"{len(exact)} images that lie in two splits")
        if exact := _exact(self.conflicts):
            found.append(f"{len(exact)} images that lie in train under two labels")
        return found

    @property
    def summary(self) -> str:
        """A sentence or three for a paper."""
        total = sum(self.counts.values())
        splits = ", ".join(f"{count} {name}" for name, count in self.counts.items())
        failed = len(self.unreadable)
        decoded = f"{failed} of which do not decode" if failed else "all of which decode"
        near = sum(twin.same == "near" for twin in self.leaks)
        near_conflicts = sum(twin.same == "near" for twin in self.conflicts)
        mixed = f"{len(_exact(self.conflicts))} exact and {near_conflicts} near"
        prints = ", ".join(f"{name} {digest[:12]}" for name, digest in self.fingerprints.items())
        return (
            f"{self.name} has {total} images of {len(self.classes)} classes ({splits}), {decoded}. "
            f"Between its splits there are {len(_exact(self.leaks))} exact and {near} near duplicates, "
            f"and in train {mixed} duplicates under two labels "
            f"(near: 64-bit DCT hashes that differ by at most {MOST_BITS} bits, confirmed on thumbnails). "
            f"Fingerprints: {prints}; transferkit {self.version}."
        )

    def to_json(self) -> dict[str, Any]:
        """All fields, the problems and the summary."""
        return {**asdict(self), "problems": self.problems, "summary": self.summary}

    def lines(self) -> Iterator[str]:
        """For people: the summary, what is wrong, and examples of it."""
        yield self.summary
        for split, count in self.counts.items():
            per_class = [per_split[split] for per_split in self.classes.values()]
            published = f", published {self.published[split]}" if split in self.published else ""
            yield f"  {split}: {count} images{published}; {min(per_class)} to {max(per_class)} a class"
        yield from (f"  wrong: {problem}" for problem in self.problems)
        yield from _first([f"  cannot be decoded: {name} ({why})" for name, why in self.unreadable.items()])
        for twins, where in ((self.leaks, "in two splits"), (self.conflicts, "under two labels")):
            yield from _first([f"  {where}: {_told(twin)}" for twin in twins])


def verified(dataset: Dataset, *, reporter: Reporter = SILENT) -> Verification:
    """Decode every image of a data set, count, and look for duplicates.

    Shapes: memory grows by 0.8 KB an image.

    Args:
        dataset: any.
        reporter: told how far it has come.

    Raises: DataError: if a file changes meanwhile.
    """
    spec, budget = split_spec(dataset.spec)
    known = None if budget else PUBLISHED.get(spec)
    rows, prints, unreadable = {}, {}, dict[str, str]()
    total = sum(map(len, dataset.splits.values()))
    with reporter.task(f"Decoding {dataset.spec}", total, "images") as task:
        for name, split in dataset.splits.items():
            filled, failures = _printed(split, task)
            rows[name] = np.setdiff1d(np.arange(len(split)), list(failures))
            prints[name] = filled.take(rows[name])
            unreadable |= {f"{name}/{split.ids[row]}": reason for row, reason in failures.items()}
    reporter.note(f"{dataset.spec}: looking for duplicates.")
    leaks: list[Twin] = []
    for one, other in combinations(dataset.splits, 2):
        pairs = duplicates(prints[one], prints[other])
        splits = dataset.splits[one], dataset.splits[other]
        leaks += _twins(splits, (rows[one], rows[other]), pairs)
    return Verification(
        name=dataset.spec,
        counts={name: len(split) for name, split in dataset.splits.items()},
        published=dict(known.counts) if known else {},
        classes=_per_class(dataset),
        published_classes=known.n_classes if known else None,
        unreadable=unreadable,
        leaks=tuple(leaks),
        conflicts=tuple(_conflicts(dataset.splits.get("train"), rows, prints)),
        fingerprints={name: split.fingerprint for name, split in dataset.splits.items()},
        version=__version__,
    )


def _printed(split: Split, task: Task) -> tuple[Prints, dict[int, str]]:
    """What is kept of each image, and row → reason of those that cannot be decoded."""
    prints, failures = Prints.empty(len(split)), {}

    def put(row: int) -> str | None:
        try:
            prints.put(row, split.reader.image(row))
        except UnreadableImageError as error:
            return str(error)
        return None

    with warnings.catch_warnings(), ThreadPoolExecutor(_THREADS) as pool:
        warnings.simplefilter("ignore")  # here: decoding silences them too, but threads undo each other's
        rows = iter(range(len(split)))
        while block := list(islice(rows, _AHEAD)):
            for row, reason in zip(block, pool.map(put, block), strict=True):
                if reason is not None:
                    failures[row] = reason
            task.advance(len(block))
    return prints, failures


def _twins(
    splits: tuple[Split, Split], rows: tuple[NDArray[np.int64], NDArray[np.int64]], pairs: Pairs
) -> list[Twin]:
    """Pairs as people read them; ``rows`` are those of the splits that were compared."""
    twins = []
    for (i, j), exact, bits in zip(pairs.rows.tolist(), pairs.exact, pairs.bits, strict=True):
        first, second = int(rows[0][i]), int(rows[1][j])
        same = "near" if not exact else "bytes" if _same_bytes(splits, (first, second)) else "pixels"
        names = [_name(split, row) for split, row in zip(splits, (first, second), strict=True)]
        classes = [
            split.classes[split.labels[row]] for split, row in zip(splits, (first, second), strict=True)
        ]
        twins.append(Twin(names[0], names[1], classes[0], classes[1], same, int(bits)))
    return twins


def _conflicts(
    train: Split | None, rows: Mapping[str, NDArray[np.int64]], prints: Mapping[str, Prints]
) -> list[Twin]:
    """Twins within train whose labels differ."""
    if train is None:
        return []
    twins = _twins((train, train), (rows["train"], rows["train"]), duplicates(prints["train"]))
    return [twin for twin in twins if twin.first_class != twin.second_class]


def _same_bytes(splits: tuple[Split, Split], rows: tuple[int, int]) -> bool:
    """Whether two images are files of the same bytes; those that are no files have none."""
    contents = []
    for split, row in zip(splits, rows, strict=True):
        if not isinstance(split.reader, FolderReader):
            return False
        contents.append((split.reader.folder / split.reader.ids[row]).read_bytes())
    return contents[0] == contents[1]


def _per_class(dataset: Dataset) -> dict[str, dict[str, int]]:
    counts = {
        name: np.bincount(split.labels, minlength=len(dataset.classes)).tolist()
        for name, split in dataset.splits.items()
    }
    return {
        label: {name: per_class[number] for name, per_class in counts.items()}
        for number, label in enumerate(dataset.classes)
    }


def _exact(twins: Sequence[Twin]) -> list[Twin]:
    return [twin for twin in twins if twin.same != "near"]


def _name(split: Split, row: int) -> str:
    return f"{split.name}/{split.ids[row]}"


def _told(twin: Twin) -> str:
    how = f"{twin.bits} bits apart" if twin.same == "near" else f"the same {twin.same}"
    return f"{twin.first} ({twin.first_class}) and {twin.second} ({twin.second_class}), {how}"


def _some(names: Sequence[str], *, most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _first(lines: Sequence[str]) -> Iterator[str]:
    yield from lines[:_MOST_LISTED]
    if len(lines) > _MOST_LISTED:
        yield f"  … and {len(lines) - _MOST_LISTED} more: --json lists all of them"
