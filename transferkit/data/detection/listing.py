"""Listing of a folder of images with boxes, before image files are read."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from stat import S_ISREG

from ...core.errors import DataError
from ...download.publication import Publication
from ..fingerprints import Stamp
from .boxed import ImageBoxes
from .checking import FaultList


@dataclass(frozen=True, eq=False)
class ListedImage:
    """One image of a split and its annotated objects.

    Attributes:
        path: Path of the image relative to the root, with ``/``; also the id of the row.
        height, width: Size in pixels.
        objects: Annotated objects.
    """

    path: str
    height: int
    width: int
    objects: ImageBoxes


@dataclass(frozen=True, eq=False)
class BoxListing:
    """Contents of a folder; the annotations of a split are read on demand.

    Attributes:
        folder: Folder that the paths of the rows are relative to; possibly a subfolder of the given folder.
        classes: Class names ``[c]``.
        category_ids: Category ids ``[c]``, see ``DetectionDataset``.
        rows: Split → function that reads its rows and lists faults.
    """

    folder: Path
    classes: tuple[str, ...]
    category_ids: tuple[int, ...]
    rows: Mapping[str, Callable[[FaultList], Iterable[ListedImage]]]

    def part(self, name: str, faults: FaultList) -> list[tuple[ListedImage, Stamp]]:
        """Return the rows of a split whose image file exists, each with the status of the file.

        Args:
            name: Name of the split.
            faults: Collects the faults.

        Raises: DataError: If no row is left, or ``faults`` raises it.
        """
        found: dict[str, tuple[ListedImage, Stamp]] = {}
        for row in self.rows[name](faults):
            try:
                status = (self.folder / row.path).stat()
            except (OSError, ValueError) as error:  # a listed name may be invalid as a file name
                faults.add(row.path, "missing image", getattr(error, "strerror", None) or str(error))
                continue
            if not S_ISREG(status.st_mode):
                faults.add(row.path, "missing image", "it is not a file")
                continue
            if row.path in found:
                faults.add(row.path, "listed twice")
                continue
            found[row.path] = row, Stamp(status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        if not found:
            why = f"; the first fault is: {faults.found[0]}" if faults.found else ""
            raise DataError(f"{self.folder}: {faults.name} has no image{why}.")
        return list(found.values())

    def count_images(self) -> int:
        """Count the existing images of all splits.

        Raises: DataError: If a split has none.
        """
        return sum(len(self.part(name, FaultList(name, "skip"))) for name in self.rows)


@dataclass(frozen=True)
class PublishedBoxes(Publication):
    """A published data set of images with boxes.

    Attributes:
        flaws: Kind of fault → number of such faults in the publication itself, in all splits.
    """

    read: Callable[[Path], BoxListing]
    flaws: Mapping[str, int] = field(default_factory=dict)
