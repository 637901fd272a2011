"""Verification of a data set: comparison with the published counts, decoding, and search for duplicates."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from .. import __version__
from ..core.labels import class_counts, class_name
from ..core.progress import SILENT, Reporter
from ..core.wording import counted, spread
from .budgets import split_spec
from .dataset import Dataset, Split
from .duplicate_pairs import (
    NEAR,
    DuplicatePair,
    decode_splits,
    duplicates_between,
    duplicates_within,
    exact_duplicates,
    image_name,
    truncated_lines,
)
from .published import PUBLISHED, WHOLE, Published


@dataclass(frozen=True)
class Verification:
    """Result of a verification.

    Attributes:
        name: Spec of the data set.
        counts: Number of images per split.
        published: Published number of images per split; ``all`` if there is no official split, and empty if the
            data set is not published.
        classes: Class → split → number of images.
        published_classes: Published number of classes; None if the data set is not published.
        unreadable: ``split/id`` → reason of the decoding error.
        leaks: Duplicates in two splits.
        conflicts: Duplicates in train with different labels.
        fingerprints: Fingerprint of each split.
        version: Version of transferkit.
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
        """Problems, one phrase each; near duplicates are reported but are not problems."""
        found = count_problems(self.counts, self.published, self.classes, self.published_classes)
        if self.unreadable:
            found.append(f"{counted(len(self.unreadable), 'image')} that cannot be decoded")
        if exact := exact_duplicates(self.leaks):
            found.append(counted(len(exact), "image that is in two splits", "images that are in two splits"))
        if exact := exact_duplicates(self.conflicts):
            found.append(f"{counted(len(exact), 'image')} of train with two labels")
        return found

    @property
    def summary(self) -> str:
        """Summary in one to three sentences, for a paper."""
        total = sum(self.counts.values())
        splits = ", ".join(f"{count} {name}" for name, count in self.counts.items())
        failed = len(self.unreadable)
        decoded = f"{failed} of which do not decode" if failed else "all of which decode"
        near = sum(pair.same == "near" for pair in self.leaks)
        near_conflicts = sum(pair.same == "near" for pair in self.conflicts)
        mixed = f"{len(exact_duplicates(self.conflicts))} exact and {near_conflicts} near"
        hashes = ", ".join(f"{name} {digest[:12]}" for name, digest in self.fingerprints.items())
        return (
            f"{self.name} has {counted(total, 'image')} of {len(self.classes)} classes ({splits}), {decoded}. "
            f"Between its splits there are {len(exact_duplicates(self.leaks))} exact and {near} near duplicates, "
            f"and in train {mixed} duplicates under two labels "
            f"({NEAR}). "
            f"Fingerprints: {hashes}; transferkit {self.version}."
        )

    def to_json(self) -> dict[str, Any]:
        """Return all fields, the problems and the summary."""
        return {**asdict(self), "problems": self.problems, "summary": self.summary}

    def lines(self) -> Iterator[str]:
        """Yield the lines of the report: the summary, the problems, and examples."""
        yield self.summary
        for split, count in self.counts.items():
            per_class = [per_split[split] for per_split in self.classes.values()]
            published = f", published {self.published[split]}" if split in self.published else ""
            yield f"  {split}: {counted(count, 'image')}{published}; {spread(per_class)} per class"
        if not self.published:
            yield f"  not compared: no published counts of {self.name}"
        yield from (f"  wrong: {problem}" for problem in self.problems)
        yield from truncated_lines([f"  cannot be decoded: {name} ({why})" for name, why in self.unreadable.items()])
        for duplicates, where in ((self.leaks, "in two splits"), (self.conflicts, "under two labels")):
            yield from truncated_lines([f"  {where}: {pair}" for pair in duplicates])


def verified(dataset: Dataset, *, reporter: Reporter = SILENT) -> Verification:
    """Decode and count all images of a data set, and search for duplicates.

    Memory grows by 0.8 KB per image.

    Args:
        dataset: Data set to verify.
        reporter: Receives the progress.

    Raises: DataError: If a file changes meanwhile.
    """
    published = _published(dataset.spec)
    decoded_splits = decode_splits(dataset.spec, dataset.splits, reporter=reporter)
    train = dataset.splits.get("train")
    within = duplicates_within(train, decoded_splits, _class_of) if train else ()
    return Verification(
        name=dataset.spec,
        counts={name: len(split) for name, split in dataset.splits.items()},
        published=dict(published.counts) if published else {},
        classes=_counts_per_class(dataset),
        published_classes=published.n_classes if published else None,
        unreadable={
            image_name(dataset.splits[name], row): reason
            for name, failures in decoded_splits.unreadable.items()
            for row, reason in failures.items()
        },
        leaks=duplicates_between(dataset.splits, decoded_splits, _class_of),
        conflicts=tuple(pair for pair in within if pair.first_class != pair.second_class),
        fingerprints={name: split.fingerprint for name, split in dataset.splits.items()},
        version=__version__,
    )


def count_problems(
    counts: Mapping[str, int],
    published: Mapping[str, int],
    classes: Mapping[str, Mapping[str, int]],
    published_classes: int | None,
) -> list[str]:
    """Describe each difference from the published numbers of images and classes in a phrase.

    Args:
        counts: Number of images per split.
        published: Published number of images per split, see ``Verification``.
        classes: Class → split → number of images.
        published_classes: Published number of classes, see ``Verification``.
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


def _published(spec: str) -> Published | None:
    """Return the publication of a spec with its option; None for budgets and unpublished data sets."""
    whole, budget = split_spec(spec)
    name, _, option = whole.partition(":")
    return PUBLISHED[name].reading(option) if name in PUBLISHED and not budget else None


def _class_of(split: Split, row: int) -> str:
    return class_name(split.labels, row, split.classes)


def _counts_per_class(dataset: Dataset) -> dict[str, dict[str, int]]:
    counts = {name: class_counts(split.labels, len(dataset.classes)).tolist() for name, split in dataset.splits.items()}
    return {
        label: {name: per_class[number] for name, per_class in counts.items()}
        for number, label in enumerate(dataset.classes)
    }


def _some(names: Sequence[str], *, most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
