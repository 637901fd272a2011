"""What a folder of images with boxes lists, before any image's bytes are read."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from stat import S_ISREG

from ...core.errors import DataError
from ..downstream.published import Publication
from ..fingerprints import Stamp
from .boxed import ImageBoxes
from .checking import Faults


@dataclass(frozen=True, eq=False)
class ListedImage:
    """One image of a split and what is marked in it.

    Attributes:
        path: of the image below the root, with ``/``; also the row's id.
        height, width: in pixels.
        objects: marked in it.
    """

    path: str
    height: int
    width: int
    objects: ImageBoxes


@dataclass(frozen=True, eq=False)
class BoxListing:
    """What lies in a folder; the annotations are read when a split is asked for.

    Attributes:
        folder: what the rows' paths are relative to; perhaps one in the folder that was given.
        classes: ``[c]`` names.
        category_ids: ``[c]`` as of ``DetectionDataset``.
        rows: split → reads its rows, and lists what cannot be meant.
    """

    folder: Path
    classes: tuple[str, ...]
    category_ids: tuple[int, ...]
    rows: Mapping[str, Callable[[Faults], Iterable[ListedImage]]]

    def part(self, name: str, faults: Faults) -> list[tuple[ListedImage, Stamp]]:
        """The rows of a split whose image is there, each with what the disk says of that file.

        Args:
            name: of the split.
            faults: gathers what is left out.

        Raises: DataError: if no row is left, or as ``faults`` raises it.
        """
        found: dict[str, tuple[ListedImage, Stamp]] = {}
        for row in self.rows[name](faults):
            try:
                status = (self.folder / row.path).stat()
            except (OSError, ValueError) as error:  # a name may hold what no name of a file can
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
            why = f"; the first was left out: {faults.found[0]}" if faults.found else ""
            raise DataError(f"{self.folder}: {faults.name} has no image{why}.")
        return list(found.values())

    def count_images(self) -> int:
        """How many images are there, in all splits.

        Raises: DataError: if a split has none.
        """
        return sum(len(self.part(name, Faults(name, "skip"))) for name in self.rows)


@dataclass(frozen=True)
class PublishedBoxes(Publication):
    """A data set of images with boxes, as its authors published it.

    Attributes:
        flaws: kind of fault → how many the publication itself has, in all splits.
    """

    read: Callable[[Path], BoxListing]
    flaws: Mapping[str, int] = field(default_factory=dict)
