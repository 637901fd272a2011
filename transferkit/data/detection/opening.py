"""From a spec to a detection set, and from a listing to its splits."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...core.errors import UnreadableImageError
from ...core.files import digest_of
from ...core.progress import SILENT, Reporter
from ...core.registry import unknown_name
from ..downstream.opening import require_present
from ..fingerprints import content_digests
from ..folder import FolderReader, absolute
from .boxed import DETECTION, DetectionDataset, DetectionSplit, OnFault, detection_fingerprint
from .checking import Faults
from .listing import BoxListing, PublishedBoxes


def open_detection(
    spec: str, *, root: Path, on_error: OnFault = "skip", reporter: Reporter = SILENT
) -> DetectionDataset:
    """The detection set that ``spec`` names.

    Args:
        spec: a registered name such as ``mini/scenes``, or ``voc0712:PATH``.
        root: the data folder.
        on_error: ``skip`` leaves out annotations that cannot be meant, and lists them; ``stop`` refuses them.
        reporter: told how far long work has come, and what was left out.

    Raises:
        UnknownNameError: if no detection set has this name.
        DataError: if the set is absent or malformed, or with ``stop`` has an annotation that cannot be meant.
    """
    name, _, rest = spec.partition(":")
    if name not in DETECTION:
        raise unknown_name("detection set", spec, list(DETECTION))
    return DETECTION[name](rest, root=root, on_error=on_error, reporter=reporter)


@dataclass(frozen=True, eq=False)
class MarkedReader:
    """Decodes files, and refuses those whose boxes are of another picture, such as of a larger copy.

    Attributes:
        files: decodes them.
        sizes: ``[n, 2]`` height and width that the boxes are of.
    """

    files: FolderReader
    sizes: NDArray[np.int64]

    def image(self, row: int) -> NDArray[np.uint8]:
        """As ``Reader.image``.

        Raises: UnreadableImageError: also if the image, once upright, is of another size.
        """
        image = self.files.image(row)
        (height, width), (own_height, own_width) = self.sizes[row].tolist(), image.shape[:2]
        if (height, width) != (own_height, own_width):
            raise UnreadableImageError(f"it has {own_width}×{own_height} pixels, and its boxes are of {width}×{height}")
        return image


@dataclass(frozen=True)
class BoxesOpener:
    """Opens a published set from ``<data folder>/<name>``, or from the path behind the colon.

    Attributes:
        published: which.
    """

    published: PublishedBoxes

    @property
    def description(self) -> str:
        """As of ``DetectionOpener``."""
        return f"{self.published.layout}; {self.published.split_rule}"

    @property
    def class_count(self) -> int:
        """As of ``DetectionOpener``."""
        return self.published.n_classes

    @property
    def image_count(self) -> int:
        """As of ``DetectionOpener``."""
        return sum(self.published.counts.values())

    @property
    def licence(self) -> str:
        """As of ``DetectionOpener``."""
        return self.published.licence

    def __call__(
        self, rest: str, *, root: Path, on_error: OnFault = "skip", reporter: Reporter = SILENT
    ) -> DetectionDataset:
        """As ``DetectionOpener``.

        Raises: DataError: if the set is absent, or the folder is laid out in another way.
        """
        published = self.published
        folder = absolute(rest) if rest else root / published.name
        if not rest:
            require_present(published, folder)
        listing = published.read(folder)
        opening = Opening(
            f"{published.name}:{listing.folder}" if rest else published.name,
            listing,
            root / "fingerprints",
            on_error,
            reporter,
        )
        return DetectionDataset(
            spec=opening.spec,
            splits={name: opening.split(name) for name in listing.rows},
            category_ids=listing.category_ids,
            source=published.homepage,
            licence=published.licence,
        )


@dataclass(frozen=True)
class Opening:
    """What the splits of one set share while it is opened.

    Attributes:
        spec: canonical.
        listing: what the folder holds.
        memory: folder for what is remembered of the files' bytes.
        on_error: what becomes of annotations that cannot be meant.
        reporter: told how far the work has come.
    """

    spec: str
    listing: BoxListing
    memory: Path
    on_error: OnFault
    reporter: Reporter

    def split(self, name: str) -> DetectionSplit:
        """One of the listing's splits, less the rows whose image is missing.

        Raises: DataError: if none is left, or with ``stop`` for what cannot be meant.
        """
        folder, classes = self.listing.folder, self.listing.classes
        faults = Faults(f"{self.spec} {name}", self.on_error)
        part = self.listing.part(name, faults)
        rows = [row for row, _ in part]
        ids = tuple(row.path for row in rows)
        stamps = {row.path: stamp for row, stamp in part}
        memo = self.memory / f"{digest_of([str(folder), self.spec, name])[:32]}.json"
        told = faults.told(self.reporter)
        digests = content_digests(folder, stamps, memo=memo, reporter=self.reporter)
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
            reader=MarkedReader(FolderReader(folder, ids, modified_ns), sizes),
            faults=told,
        )
