"""Opening of detection sets by their specs, and of the splits of a listing."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...core.errors import UnreadableImageError
from ...core.files import digest_of
from ...core.progress import SILENT, Reporter
from ...core.registry import unknown_name
from ...download.publication import require_present
from ..fingerprints import content_digests
from ..folder import FolderReader, absolute
from .boxed import DETECTION, DetectionDataset, DetectionSplit, OnFault, detection_fingerprint
from .checking import FaultList
from .listing import BoxListing, PublishedBoxes


def open_detection(
    spec: str, *, root: Path, on_error: OnFault = "skip", reporter: Reporter = SILENT
) -> DetectionDataset:
    """Open the detection set that ``spec`` names.

    Args:
        spec: Registered name such as ``mini/scenes``, or ``voc0712:PATH``.
        root: Data folder.
        on_error: ``skip`` leaves out invalid annotations and lists them; ``stop`` raises an error.
        reporter: Receives the progress, and notes on omitted annotations.

    Raises:
        UnknownNameError: If no detection set has this name.
        DataError: If the data set is absent or malformed, or with ``stop`` if an annotation is invalid.
    """
    name, _, rest = spec.partition(":")
    if name not in DETECTION:
        raise unknown_name("detection set", spec, list(DETECTION))
    return DETECTION[name](rest, root=root, on_error=on_error, reporter=reporter)


@dataclass(frozen=True, eq=False)
class BoxedReader:
    """Decodes files, and rejects images whose size differs from their annotation, such as larger copies.

    Attributes:
        files: Decoder of the files.
        sizes: Annotated height and width of each image ``[n, 2]``.
    """

    files: FolderReader
    sizes: NDArray[np.int64]

    def image(self, row: int) -> NDArray[np.uint8]:
        """Decode a row as ``Reader.image`` does.

        Raises: UnreadableImageError: Also if the upright image has another size than its annotation.
        """
        image = self.files.image(row)
        (height, width), (own_height, own_width) = self.sizes[row].tolist(), image.shape[:2]
        if (height, width) != (own_height, own_width):
            raise UnreadableImageError(f"it has {own_width}×{own_height} pixels, but its annotation {width}×{height}")
        return image


@dataclass(frozen=True)
class BoxesOpener:
    """Opens a published data set from ``<data folder>/<name>``, or from the path after the colon.

    Attributes:
        published: Publication of the data set.
    """

    published: PublishedBoxes

    @property
    def description(self) -> str:
        """See ``DetectionOpener``."""
        return f"{self.published.layout}; {self.published.split_rule}"

    @property
    def class_count(self) -> int:
        """See ``DetectionOpener``."""
        return self.published.n_classes

    @property
    def image_count(self) -> int:
        """See ``DetectionOpener``."""
        return sum(self.published.counts.values())

    @property
    def licence(self) -> str:
        """See ``DetectionOpener``."""
        return self.published.licence

    def __call__(
        self, rest: str, *, root: Path, on_error: OnFault = "skip", reporter: Reporter = SILENT
    ) -> DetectionDataset:
        """Open the detection set as ``DetectionOpener`` does.

        Raises: DataError: If the data set is absent, or the folder has another layout.
        """
        published = self.published
        folder = absolute(rest) if rest else root / published.name
        if not rest:
            require_present(published, folder)
        listing = published.read(folder)
        opener = SplitOpener(
            f"{published.name}:{listing.folder}" if rest else published.name,
            listing,
            root / "fingerprints",
            on_error,
            reporter,
        )
        return DetectionDataset(
            spec=opener.spec,
            splits={name: opener.split(name) for name in listing.rows},
            category_ids=listing.category_ids,
            source=published.homepage,
            licence=published.licence,
        )


@dataclass(frozen=True)
class SplitOpener:
    """Opens the splits of one listing.

    Attributes:
        spec: Canonical spec.
        listing: Listing of the folder.
        cache_dir: Folder of cached file digests.
        on_error: Handling of invalid annotations.
        reporter: Receives the progress.
    """

    spec: str
    listing: BoxListing
    cache_dir: Path
    on_error: OnFault
    reporter: Reporter

    def split(self, name: str) -> DetectionSplit:
        """Open one split, without rows whose image is missing.

        Raises: DataError: If no row is left, or with ``stop`` if an annotation is invalid.
        """
        folder, classes = self.listing.folder, self.listing.classes
        faults = FaultList(f"{self.spec} {name}", self.on_error)
        part = self.listing.part(name, faults)
        rows = [row for row, _ in part]
        ids = tuple(row.path for row in rows)
        stamps = {row.path: stamp for row, stamp in part}
        cache_file = self.cache_dir / f"{digest_of([str(folder), self.spec, name])[:32]}.json"
        found = faults.report(self.reporter)
        digests = content_digests(folder, stamps, cache_file=cache_file, reporter=self.reporter)
        sizes = np.array([[row.height, row.width] for row in rows], np.int64)
        objects = tuple(row.objects for row in rows)
        contents = [digests[one] for one in ids]
        modified_ns = np.array([stamp.modified_ns for _, stamp in part], np.int64)
        return DetectionSplit(
            dataset=self.spec,
            name=name,
            ids=ids,
            sizes=sizes,
            objects=objects,
            classes=classes,
            fingerprint=detection_fingerprint(ids, sizes, objects, classes, contents),
            reader=BoxedReader(FolderReader(folder, ids, modified_ns), sizes),
            faults=found,
        )
