"""Verification of a detection set: published counts, faults, decoding, image sizes and duplicates."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from ... import __version__
from ...core.progress import SILENT, Reporter
from ...core.wording import counted
from ..duplicate_pairs import (
    NEAR,
    DecodedSplits,
    DuplicatePair,
    decode_splits,
    duplicates_between,
    exact_duplicates,
    truncated_lines,
)
from ..verifying import count_problems
from .boxed import DETECTION, DetectionDataset, DetectionSplit, Fault
from .listing import PublishedBoxes
from .opening import BoxedReader


@dataclass(frozen=True)
class SplitCounts:
    """Counts of one split.

    Attributes:
        images: Number of images.
        empty: Number of images without objects.
        objects: Number of objects, including difficult ones and crowds.
        difficult: Number of difficult objects.
        crowds: Number of crowds.
    """

    images: int
    empty: int
    objects: int
    difficult: int
    crowds: int


@dataclass(frozen=True)
class ClassCounts:
    """Counts of one class in one split.

    Attributes:
        images: Number of images that show the class.
        objects: Number of objects of the class.
    """

    images: int
    objects: int


@dataclass(frozen=True)
class BoxVerification:
    """Result of a verification.

    Attributes:
        name: Spec of the data set.
        splits: Split → counts.
        classes: Class → split → counts.
        published: Published number of images per split; empty if the data set is not published.
        published_classes: Published number of classes; None if the data set is not published.
        faults: Invalid annotations and images, and images that differ from their annotation.
        flaws: Kind of fault → number of such faults in the publication itself.
        leaks: Duplicates in two splits.
        fingerprints: Fingerprint of each split.
        version: Version of transferkit.
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
        """Kind of fault → locations and invalid values."""
        kinds = defaultdict(list)
        for fault in self.faults:
            kinds[fault.kind].append(fault.where + (f" ({fault.detail})" if fault.detail else ""))
        return dict(kinds)

    @property
    def problems(self) -> list[str]:
        """Problems, one phrase each; near duplicates and published flaws are reported but are not problems."""
        found = count_problems(
            {name: counts.images for name, counts in self.splits.items()},
            self.published,
            {
                label: {name: class_counts.images for name, class_counts in per.items()}
                for label, per in self.classes.items()
            },
            self.published_classes,
        )
        for kind, count in Counter(fault.kind for fault in self.faults).items():
            flaws = self.flaws.get(kind, 0)
            if count > flaws:
                found.append(f"{count} invalid: {kind}" + (f", published are {flaws}" if flaws else ""))
        if exact := exact_duplicates(self.leaks):
            found.append(counted(len(exact), "image that is in two splits", "images that are in two splits"))
        return found

    @property
    def summary(self) -> str:
        """Summary in one to three sentences, for a paper."""
        images = sum(counts.images for counts in self.splits.values())
        objects = sum(counts.objects for counts in self.splits.values())
        parts = ", ".join(f"{name} {one.images} with {one.objects}" for name, one in self.splits.items())
        kinds = ", ".join(f"{len(found)} {kind}" for kind, found in self.faults_by_kind.items())
        state = (
            f"{len(self.faults)} of its images and annotations are invalid ({kinds})."
            if kinds
            else "All images decode and have the size of their annotation."
        )
        exact = len(exact_duplicates(self.leaks))
        hashes = ", ".join(f"{name} {digest[:12]}" for name, digest in self.fingerprints.items())
        return (
            f"{self.name} has {counted(images, 'image')} with {counted(objects, 'object')} of "
            f"{len(self.classes)} classes ({parts}). {state} Between its splits there are {exact} exact and "
            f"{counted(len(self.leaks) - exact, 'near duplicate')} ({NEAR}). "
            f"Fingerprints: {hashes}; transferkit {self.version}."
        )

    def to_json(self) -> dict[str, Any]:
        """Return all fields, the faults by kind, the problems and the summary."""
        return {
            **asdict(self),
            "faults": self.faults_by_kind,
            "problems": self.problems,
            "summary": self.summary,
        }

    def lines(self) -> Iterator[str]:
        """Yield the lines of the report: the summary, counts per class, the problems, and examples."""
        yield self.summary
        for name, counts in self.splits.items():
            published = f", published {self.published[name]}" if name in self.published else ""
            yield (
                f"  {name}: {counted(counts.images, 'image')}{published}; {counted(counts.objects, 'object')}, "
                f"including {counts.difficult} difficult and {counted(counts.crowds, 'crowd')}; "
                f"{counted(counts.empty, 'image')} without objects"
            )
        if not self.published:
            yield f"  not compared: no published counts of {self.name}"
        yield from self._table()
        yield from (f"  wrong: {problem}" for problem in self.problems)
        for kind, found in self.faults_by_kind.items():
            yield from truncated_lines([f"  {kind}: {one}" for one in found])
        yield from truncated_lines([f"  in two splits: {pair}" for pair in self.leaks])

    def _table(self) -> Iterator[str]:
        """Yield one line per class: the images that show it and its objects in each split."""
        width = max(map(len, ("class", *self.classes)))
        heads = [f"{name} {what}" for name in self.splits for what in ("images", "objects")]
        yield "  ".join([f"  {'class':{width}}", *heads])
        for label, counts_by_split in self.classes.items():
            numbers = [n for name in self.splits for n in (counts_by_split[name].images, counts_by_split[name].objects)]
            cells = [f"{number:{len(head)}}" for number, head in zip(numbers, heads, strict=True)]
            yield "  ".join([f"  {label:{width}}", *cells])


def verified_boxes(dataset: DetectionDataset, *, reporter: Reporter = SILENT) -> BoxVerification:
    """Decode all images of a detection set, compare them with their annotations, and search for duplicates.

    Memory grows by 0.8 KB per image.

    Args:
        dataset: Detection set, opened with ``skip`` so that it lists its faults.
        reporter: Receives the progress.

    Raises: DataError: If a file changes meanwhile.
    """
    splits = {name: _without_size_check(split) for name, split in dataset.splits.items()}
    decoded = decode_splits(dataset.spec, splits, reporter=reporter)
    published = _published(dataset)
    return BoxVerification(
        name=dataset.spec,
        splits={name: _split_counts(split) for name, split in splits.items()},
        classes=_counts_per_class(splits, dataset.classes),
        published=dict(published.counts) if published else {},
        published_classes=published.n_classes if published else None,
        faults=tuple(fault for split in splits.values() for fault in (*split.faults, *_image_faults(split, decoded))),
        flaws=dict(published.flaws) if published else {},
        leaks=duplicates_between(splits, decoded, _class_names),
        fingerprints={name: split.fingerprint for name, split in splits.items()},
        version=__version__,
    )


def _published(dataset: DetectionDataset) -> PublishedBoxes | None:
    """Return the publication of a detection set; a folder of the user with other classes has none."""
    name, _, rest = dataset.spec.partition(":")
    published = DETECTION[name].published
    own = published is not None and bool(rest) and len(dataset.classes) != published.n_classes
    return None if own else published


def _without_size_check(split: DetectionSplit) -> DetectionSplit:
    """Return the split with a reader that does not compare image sizes with the annotation."""
    reader = split.reader
    return replace(split, reader=reader.files) if isinstance(reader, BoxedReader) else split


def _image_faults(split: DetectionSplit, decoded: DecodedSplits) -> Iterator[Fault]:
    """Yield images that cannot be decoded, or whose size differs from their annotation."""
    for row, reason in decoded.unreadable[split.name].items():
        yield Fault(split.ids[row], "cannot be decoded", reason)
    rows = decoded.rows[split.name]
    own, stated = decoded.sizes[split.name], split.sizes[rows]
    for at in np.flatnonzero((own != stated).any(1)).tolist():
        (height, width), (said_height, said_width) = own[at].tolist(), stated[at].tolist()
        yield Fault(
            split.ids[rows[at]],
            "image of another size than its annotation",
            f"{width}×{height}, annotated {said_width}×{said_height}",
        )


def _split_counts(split: DetectionSplit) -> SplitCounts:
    return SplitCounts(
        images=len(split),
        empty=sum(not len(one) for one in split.objects),
        objects=sum(map(len, split.objects)),
        difficult=sum(int(one.difficult.sum()) for one in split.objects),
        crowds=sum(int(one.crowd.sum()) for one in split.objects),
    )


def _counts_per_class(
    splits: Mapping[str, DetectionSplit], classes: tuple[str, ...]
) -> dict[str, dict[str, ClassCounts]]:
    objects = {name: split.boxes_per_class() for name, split in splits.items()}
    images = {
        name: Counter(label for one in split.objects for label in np.unique(one.labels).tolist())
        for name, split in splits.items()
    }
    return {
        label: {name: ClassCounts(images[name][number], objects[name][label]) for name in splits}
        for number, label in enumerate(classes)
    }


def _class_names(split: DetectionSplit, row: int) -> str:
    """List the annotated classes of an image."""
    names = [split.classes[label] for label in np.unique(split.objects[row].labels)]
    return ", ".join(names) or "no object"
