"""From a spec to a detection set, and from rows of files to a split."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...core.errors import DataError, UnreadableImageError
from ...core.files import digest_of
from ...core.progress import SILENT, Reporter
from ...core.registry import unknown_name
from ..fingerprints import Stamp, content_digests
from ..folder import FolderReader
from .boxed import DETECTION, DetectionDataset, DetectionSplit, Objects, OnFault, detection_fingerprint
from .checking import Faults


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
class Row:
    """One image of a split and what is marked in it.

    Attributes:
        path: of the image below the root, with ``/``; also the row's id.
        height, width: in pixels.
        objects: marked in it.
    """

    path: str
    height: int
    width: int
    objects: Objects


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
            raise UnreadableImageError(
                f"it has {own_width}×{own_height} pixels, and its boxes are of {width}×{height}"
            )
        return image


@dataclass(frozen=True)
class Opening:
    """What the splits of one set share while it is opened.

    Attributes:
        spec: canonical.
        folder: what the rows' paths are relative to.
        classes: ``[c]`` names.
        memory: folder for what is remembered of the files' bytes.
        on_error: what becomes of annotations that cannot be meant.
        reporter: told how far the work has come.
    """

    spec: str
    folder: Path
    classes: tuple[str, ...]
    memory: Path
    on_error: OnFault
    reporter: Reporter

    def split(self, name: str, rows_of: Callable[[Faults], Iterable[Row]]) -> DetectionSplit:
        """The split of the rows that ``rows_of`` reads, less those whose image is missing.

        Raises: DataError: if none is left, or with ``stop`` for what cannot be meant.
        """
        faults = Faults(f"{self.spec} {name}", self.on_error)
        stamps: dict[str, Stamp] = {}
        rows = []
        for row in rows_of(faults):
            try:
                status = (self.folder / row.path).stat()
            except (OSError, ValueError) as error:  # a name may hold what no name of a file can
                faults.add(row.path, "missing image", getattr(error, "strerror", None) or str(error))
                continue
            if row.path in stamps:
                faults.add(row.path, "listed twice")
                continue
            stamps[row.path] = Stamp(status.st_size, status.st_mtime_ns, status.st_ctime_ns)
            rows.append(row)
        told = faults.told(self.reporter)
        if not rows:
            why = f"; the first was left out: {told[0]}" if told else ""
            raise DataError(f"{self.folder}: the split {name} of {self.spec} has no image{why}.")
        return self._split(name, rows, stamps, faults)

    def _split(
        self, name: str, rows: Sequence[Row], stamps: dict[str, Stamp], faults: Faults
    ) -> DetectionSplit:
        memo = self.memory / f"{digest_of([str(self.folder), self.spec, name])[:32]}.json"
        digests = content_digests(self.folder, stamps, memo=memo, reporter=self.reporter)
        ids = tuple(row.path for row in rows)
        sizes = np.array([[row.height, row.width] for row in rows], np.int64)
        objects = tuple(row.objects for row in rows)
        contents = [digests[one] for one in ids]
        modified_ns = np.array([stamps[one].modified_ns for one in ids], np.int64)
        return DetectionSplit(
            dataset=self.spec,
            name=name,
            ids=ids,
            sizes=sizes,
            objects=objects,
            classes=self.classes,
            fingerprint=detection_fingerprint(ids, sizes, objects, self.classes, contents),
            reader=MarkedReader(FolderReader(self.folder, ids, modified_ns), sizes),
            faults=tuple(faults.found),
        )
