"""Whether a detection set is what its authors published: counts, faults, decoding, sizes, duplicates."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from ... import __version__
from ...core.progress import SILENT, Reporter
from ...core.wording import counted
from ..duplicate_pairs import NEAR, Decoded, DuplicatePair, decoded, duplicates_between, exact_ones, first_lines
from ..verifying import count_problems
from .boxed import DETECTION, DetectionDataset, DetectionSplit, Fault
from .listing import PublishedBoxes
from .opening import MarkedReader


@dataclass(frozen=True)
class SplitCounts:
    """What one split has.

    Attributes:
        images: how many.
        empty: of them, without objects.
        objects: how many, difficult ones and crowds too.
        difficult: of the objects.
        crowds: of the objects.
    """

    images: int
    empty: int
    objects: int
    difficult: int
    crowds: int


@dataclass(frozen=True)
class ClassCounts:
    """What one class has in one split.

    Attributes:
        images: in which it is marked.
        objects: of it.
    """

    images: int
    objects: int


@dataclass(frozen=True)
class BoxVerification:
    """What was found.

    Attributes:
        name: spec of the data set.
        splits: split → what it has.
        classes: class → split → what it has there.
        published: images in each split, as the authors say; empty for sets that are not published.
        published_classes: how many; None for sets that are not published.
        faults: annotations and images that cannot be meant, or images that are not as annotated.
        flaws: kind of fault → how many the publication itself has.
        leaks: twins in two splits.
        fingerprints: of each split.
        version: of transferkit.
    """

    name: str
    splits: Mapping[str, SplitCounts]
    classes: Mapping[str, Mapping[str, ClassCounts]]
    published: Mapping[str, int]
    published_classes: int | None
    faults: tuple[Fault, ...]
    flaws: Mapping[str, int]
    leaks: tuple[DuplicatePair, ...]
    fingerprints: Mapping[str, str]
    version: str

    @property
    def faults_by_kind(self) -> dict[str, list[str]]:
        """Kind → where, and the values at fault."""
        kinds = defaultdict(list)
        for fault in self.faults:
            kinds[fault.kind].append(fault.where + (f" ({fault.detail})" if fault.detail else ""))
        return dict(kinds)

    @property
    def problems(self) -> list[str]:
        """What is wrong, a sentence each; near duplicates, and flaws as published, are told but not wrong."""
        found = count_problems(
            {name: tally.images for name, tally in self.splits.items()},
            self.published,
            {label: {name: share.images for name, share in per.items()} for label, per in self.classes.items()},
            self.published_classes,
        )
        for kind, count in Counter(fault.kind for fault in self.faults).items():
            flaws = self.flaws.get(kind, 0)
            if count > flaws:
                found.append(f"{count} at fault: {kind}" + (f", published are {flaws}" if flaws else ""))
        if exact := exact_ones(self.leaks):
            found.append(counted(len(exact), "image that lies in two splits", "images that lie in two splits"))
        return found

    @property
    def summary(self) -> str:
        """A sentence or three for a paper."""
        images = sum(tally.images for tally in self.splits.values())
        objects = sum(tally.objects for tally in self.splits.values())
        parts = ", ".join(f"{name} {one.images} with {one.objects}" for name, one in self.splits.items())
        kinds = ", ".join(f"{len(found)} {kind}" for kind, found in self.faults_by_kind.items())
        state = (
            f"Of its images and annotations {len(self.faults)} are at fault ({kinds})."
            if kinds
            else "All images decode and have the size of their annotation."
        )
        exact = len(exact_ones(self.leaks))
        hashes = ", ".join(f"{name} {digest[:12]}" for name, digest in self.fingerprints.items())
        return (
            f"{self.name} has {counted(images, 'image')} with {counted(objects, 'object')} of "
            f"{len(self.classes)} classes ({parts}). {state} Between its splits there are {exact} exact and "
            f"{counted(len(self.leaks) - exact, 'near duplicate')} ({NEAR}). "
            f"Fingerprints: {hashes}; transferkit {self.version}."
        )

    def to_json(self) -> dict[str, Any]:
        """All fields, the faults by kind, the problems and the summary."""
        return {
            **asdict(self),
            "faults": self.faults_by_kind,
            "problems": self.problems,
            "summary": self.summary,
        }

    def lines(self) -> Iterator[str]:
        """For people: the summary, images and objects of each class, what is wrong, and examples of it."""
        yield self.summary
        for name, tally in self.splits.items():
            published = f", published {self.published[name]}" if name in self.published else ""
            yield (
                f"  {name}: {counted(tally.images, 'image')}{published}; {counted(tally.objects, 'object')}, of them "
                f"{tally.difficult} difficult and {counted(tally.crowds, 'crowd')}; "
                f"{counted(tally.empty, 'image')} without any"
            )
        if not self.published:
            yield f"  not compared: no counts are published of {self.name}"
        yield from self._table()
        yield from (f"  wrong: {problem}" for problem in self.problems)
        for kind, found in self.faults_by_kind.items():
            yield from first_lines([f"  {kind}: {one}" for one in found])
        yield from first_lines([f"  in two splits: {twin}" for twin in self.leaks])

    def _table(self) -> Iterator[str]:
        """A line a class: images that show it, and objects of it, in each split."""
        width = max(map(len, ("class", *self.classes)))
        heads = [f"{name} {what}" for name in self.splits for what in ("images", "objects")]
        yield "  ".join([f"  {'class':{width}}", *heads])
        for label, shares in self.classes.items():
            numbers = [n for name in self.splits for n in (shares[name].images, shares[name].objects)]
            cells = [f"{number:{len(head)}}" for number, head in zip(numbers, heads, strict=True)]
            yield "  ".join([f"  {label:{width}}", *cells])


def verified_boxes(dataset: DetectionDataset, *, reporter: Reporter = SILENT) -> BoxVerification:
    """Decode every image of a detection set, hold it against its annotation, count, look for duplicates.

    Shapes: memory grows by 0.8 KB an image.

    Args:
        dataset: any, opened with ``skip``, so that it lists its faults.
        reporter: told how far it has come.

    Raises: DataError: if a file changes meanwhile.
    """
    splits = {name: _of_any_size(split) for name, split in dataset.splits.items()}
    seen = decoded(dataset.spec, splits, reporter=reporter)
    published = _published(dataset)
    return BoxVerification(
        name=dataset.spec,
        splits={name: _tally(split) for name, split in splits.items()},
        classes=_per_class(splits, dataset.classes),
        published=dict(published.counts) if published else {},
        published_classes=published.n_classes if published else None,
        faults=tuple(fault for split in splits.values() for fault in (*split.faults, *_damage(split, seen))),
        flaws=dict(published.flaws) if published else {},
        leaks=duplicates_between(splits, seen, _shown),
        fingerprints={name: split.fingerprint for name, split in splits.items()},
        version=__version__,
    )


def _published(dataset: DetectionDataset) -> PublishedBoxes | None:
    """What the set is compared with; a folder elsewhere with other classes is a user's own."""
    name, _, rest = dataset.spec.partition(":")
    published = DETECTION[name].published
    own = published is not None and bool(rest) and len(dataset.classes) != published.n_classes
    return None if own else published


def _of_any_size(split: DetectionSplit) -> DetectionSplit:
    """The split, whose images are decoded whether or not their boxes are of another size."""
    reader = split.reader
    return replace(split, reader=reader.files) if isinstance(reader, MarkedReader) else split


def _damage(split: DetectionSplit, seen: Decoded) -> Iterator[Fault]:
    """Images that do not decode, or are of another size than their annotation says."""
    for row, reason in seen.unreadable[split.name].items():
        yield Fault(split.ids[row], "cannot be decoded", reason)
    rows = seen.rows[split.name]
    own, stated = seen.sizes[split.name], split.sizes[rows]
    for at in np.flatnonzero((own != stated).any(1)).tolist():
        (height, width), (said_height, said_width) = own[at].tolist(), stated[at].tolist()
        yield Fault(
            split.ids[rows[at]],
            "image of another size than its annotation",
            f"{width}×{height}, annotated {said_width}×{said_height}",
        )


def _tally(split: DetectionSplit) -> SplitCounts:
    return SplitCounts(
        images=len(split),
        empty=sum(not len(one) for one in split.objects),
        objects=sum(map(len, split.objects)),
        difficult=sum(int(one.difficult.sum()) for one in split.objects),
        crowds=sum(int(one.crowd.sum()) for one in split.objects),
    )


def _per_class(splits: Mapping[str, DetectionSplit], classes: tuple[str, ...]) -> dict[str, dict[str, ClassCounts]]:
    objects = {name: split.boxes_per_class() for name, split in splits.items()}
    images = {
        name: Counter(label for one in split.objects for label in np.unique(one.labels).tolist())
        for name, split in splits.items()
    }
    return {
        label: {name: ClassCounts(images[name][number], objects[name][label]) for name in splits}
        for number, label in enumerate(classes)
    }


def _shown(split: DetectionSplit, row: int) -> str:
    """The classes that are marked in an image."""
    names = [split.classes[label] for label in np.unique(split.objects[row].labels)]
    return ", ".join(names) or "no object"
