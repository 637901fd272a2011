"""Whether a data set is what its authors published, and whether it leaks: counts, decoding, duplicates."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from .. import __version__
from ..core.labels import class_counts, class_name
from ..core.progress import SILENT, Reporter
from ..core.wording import counted, spread
from .budgets import split_spec
from .dataset import Dataset, Split
from .downstream.published import PUBLISHED, WHOLE, Published
from .duplicate_pairs import (
    NEAR,
    DuplicatePair,
    decoded,
    duplicates_between,
    exact_ones,
    first_lines,
    named,
    twins_within,
)


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
    leaks: tuple[DuplicatePair, ...]
    conflicts: tuple[DuplicatePair, ...]
    fingerprints: Mapping[str, str]
    version: str

    @property
    def problems(self) -> list[str]:
        """What is wrong, a sentence each; near duplicates are told but are not wrong by themselves."""
        found = count_problems(self.counts, self.published, self.classes, self.published_classes)
        if self.unreadable:
            found.append(f"{counted(len(self.unreadable), 'image')} that cannot be decoded")
        if exact := exact_ones(self.leaks):
            found.append(counted(len(exact), "image that lies in two splits", "images that lie in two splits"))
        if exact := exact_ones(self.conflicts):
            found.append(f"{counted(len(exact), 'image')} of train under two labels")
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
        mixed = f"{len(exact_ones(self.conflicts))} exact and {counted(near_conflicts, 'near duplicate')}"
        hashes = ", ".join(f"{name} {digest[:12]}" for name, digest in self.fingerprints.items())
        return (
            f"{self.name} has {counted(total, 'image')} of {len(self.classes)} classes ({splits}), {decoded}. "
            f"Between its splits there are {len(exact_ones(self.leaks))} exact and {counted(near, 'near duplicate')}, "
            f"and in train {mixed} under two labels "
            f"({NEAR}). "
            f"Fingerprints: {hashes}; transferkit {self.version}."
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
            yield f"  {split}: {counted(count, 'image')}{published}; {spread(per_class)} per class"
        if not self.published:
            yield f"  not compared: no counts are published of {self.name}"
        yield from (f"  wrong: {problem}" for problem in self.problems)
        yield from first_lines([f"  cannot be decoded: {name} ({why})" for name, why in self.unreadable.items()])
        for duplicates, where in ((self.leaks, "in two splits"), (self.conflicts, "under two labels")):
            yield from first_lines([f"  {where}: {twin}" for twin in duplicates])


def verified(dataset: Dataset, *, reporter: Reporter = SILENT) -> Verification:
    """Decode every image of a data set, count, and look for duplicates.

    Shapes: memory grows by 0.8 KB an image.

    Args:
        dataset: any.
        reporter: told how far it has come.

    Raises: DataError: if a file changes meanwhile.
    """
    known = _known(dataset.spec)
    seen = decoded(dataset.spec, dataset.splits, reporter=reporter)
    train = dataset.splits.get("train")
    within = twins_within(train, seen, _class_of) if train else ()
    return Verification(
        name=dataset.spec,
        counts={name: len(split) for name, split in dataset.splits.items()},
        published=dict(known.counts) if known else {},
        classes=_per_class(dataset),
        published_classes=known.n_classes if known else None,
        unreadable={
            named(dataset.splits[name], row): reason
            for name, failures in seen.unreadable.items()
            for row, reason in failures.items()
        },
        leaks=duplicates_between(dataset.splits, seen, _class_of),
        conflicts=tuple(twin for twin in within if twin.first_class != twin.second_class),
        fingerprints={name: split.fingerprint for name, split in dataset.splits.items()},
        version=__version__,
    )


def count_problems(
    counts: Mapping[str, int],
    published: Mapping[str, int],
    classes: Mapping[str, Mapping[str, int]],
    published_classes: int | None,
) -> list[str]:
    """Where numbers of images and classes are not as published, a sentence each.

    Args:
        counts: images in each split.
        published: as of ``Verification``.
        classes: class → split → images.
        published_classes: as of ``Verification``.
    """
    found = []
    for part, count in published.items():
        here = sum(counts.values()) if part == WHOLE else counts.get(part, 0)
        if here != count:
            split = "images" if part == WHOLE else f"images in {part}"
            found.append(f"{here} {split}, published are {count}")
    if published_classes not in (None, len(classes)):
        found.append(f"{len(classes)} classes, published are {published_classes}")
    if empty := [name for name, per_split in classes.items() if per_split.get("train") == 0]:
        found.append(f"{counted(len(empty), 'class', 'classes')} without an image in train: {_some(empty)}")
    return found


def _known(spec: str) -> Published | None:
    """What is published of a set, read with the option that the spec has; None of budgets and other sets."""
    whole, budget = split_spec(spec)
    name, _, option = whole.partition(":")
    return PUBLISHED[name].reading(option) if name in PUBLISHED and not budget else None


def _class_of(split: Split, row: int) -> str:
    return class_name(split.labels, row, split.classes)


def _per_class(dataset: Dataset) -> dict[str, dict[str, int]]:
    counts = {name: class_counts(split.labels, len(dataset.classes)).tolist() for name, split in dataset.splits.items()}
    return {
        label: {name: per_class[number] for name, per_class in counts.items()}
        for number, label in enumerate(dataset.classes)
    }


def _some(names: Sequence[str], *, most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
