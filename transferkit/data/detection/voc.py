"""``voc0712``: PASCAL VOC 2007 and 2012 in their original layout [1].

``VOCdevkit/VOC2007`` and ``VOCdevkit/VOC2012``, each with ``Annotations``, ``ImageSets/Main`` and
``JPEGImages``. Train is both years' ``trainval``, test is the ``test`` of 2007.

[1] Everingham et al., The PASCAL visual object classes challenge: a retrospective, IJCV 2015.
"""

import math
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

from ...core.errors import DataError
from ...core.progress import SILENT, Reporter
from ..folder import absolute
from .boxed import DETECTION, DetectionDataset, Mark, Objects, OnFault
from .checking import Faults, checked_box
from .opening import Opening, Row

CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person",
    "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip

LISTS = {"train": (("VOC2007", "trainval"), ("VOC2012", "trainval")), "test": (("VOC2007", "test"),)}
"""Split → the years and lists that make it."""


class Voc:
    """The opener of ``voc0712`` and ``voc0712:PATH``."""

    description = "PASCAL VOC 2007 and 2012 trainval, 2007 test; voc0712:PATH for a VOCdevkit elsewhere"
    class_count = len(CLASSES)
    image_count = 5_011 + 11_540 + 4_952
    licence = "Flickr terms of use"
    size_bytes = 2_900_000_000
    marks = tuple(f"{year}/ImageSets/Main/{name}.txt" for lists in LISTS.values() for year, name in lists)

    def __call__(
        self, rest: str, *, root: Path, on_error: OnFault = "skip", reporter: Reporter = SILENT
    ) -> DetectionDataset:
        """As ``DetectionOpener``.

        Raises: DataError: if a year, a list or an annotation is missing, or an annotation is no VOC one.
        """
        folder = _devkit(absolute(rest) if rest else root / "voc0712")
        spec = f"voc0712:{folder}" if rest else "voc0712"
        opening = Opening(spec, folder, CLASSES, root / "fingerprints", on_error, reporter)
        splits = {name: opening.split(name, partial(_rows, folder, lists)) for name, lists in LISTS.items()}
        return DetectionDataset(
            spec,
            splits,
            tuple(range(1, len(CLASSES) + 1)),
            source="http://host.robots.ox.ac.uk/pascal/VOC",
            licence=self.licence,
        )


DETECTION.register("voc0712")(Voc())


def _devkit(folder: Path) -> Path:
    """The folder that holds both years: ``folder`` itself, or ``VOCdevkit`` in it."""
    for place in (folder, folder / "VOCdevkit"):
        if (place / "VOC2007").is_dir() and (place / "VOC2012").is_dir():
            return place
    raise DataError(
        f"{folder} lacks VOC2007 and VOC2012: expected are VOCdevkit/VOC2007 and VOCdevkit/VOC2012, as the "
        "archives VOCtrainval_06-Nov-2007, VOCtest_06-Nov-2007 and VOCtrainval_11-May-2012 unpack."
    )


def _rows(folder: Path, lists: Sequence[tuple[str, str]], faults: Faults) -> Iterator[Row]:
    for year, name in lists:
        for stem in _listed(folder / year / "ImageSets" / "Main" / f"{name}.txt"):
            path = f"{year}/JPEGImages/{stem}.jpg"
            place = folder / year / "Annotations" / f"{stem}.xml"
            try:
                root = parsed(place.read_bytes())
            except FileNotFoundError:
                faults.add(path, "no annotation")
                continue
            except (OSError, ElementTree.ParseError, DataError) as error:
                why = getattr(error, "strerror", None) or str(error)
                faults.add(path, "annotation cannot be read", why)
                continue
            row = _row(path, root, faults)
            if row is not None:
                yield row


def _listed(path: Path) -> list[str]:
    """The names in a list, each once.

    Raises: DataError: if there is no such list, or it cannot be read.
    """
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing: unpack the archive that holds it.") from error
    except (OSError, UnicodeError) as error:
        raise DataError(f"{path} cannot be read: {error}. Take it from the published archive.") from error
    return list(dict.fromkeys(line.split()[0] for line in lines if line.strip()))


class _NoDoctype(ElementTree.TreeBuilder):
    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise DataError("it declares a document type, which may hide entities that grow without end")


def parsed(data: bytes) -> ElementTree.Element:
    """The root element of XML that declares no document type, and so no entities.

    Raises:
        DataError: if it declares one.
        ElementTree.ParseError: if it is no XML.
    """
    parser = ElementTree.XMLParser(target=_NoDoctype())
    parser.feed(data)
    root = parser.close()
    assert isinstance(root, ElementTree.Element)  # as TreeBuilder gives
    return root


def _row(path: str, root: ElementTree.Element, faults: Faults) -> Row | None:
    height, width = _number(root, "size/height"), _number(root, "size/width")
    if not (1 <= height < math.inf and 1 <= width < math.inf):
        faults.add(path, "no image size", f"{width:g}×{height:g}")
        return None
    marks = []
    for number, element in enumerate(root.iter("object")):
        where = f"{path} object {number}"
        name = element.findtext("name", "").strip()
        if name not in CLASSES:
            faults.add(where, "unknown category", repr(name))
            continue
        edges = [_number(element, f"bndbox/{edge}") for edge in ("xmin", "ymin", "xmax", "ymax")]
        box = checked_box((edges[0] - 1, edges[1] - 1, *edges[2:]), height, width)  # pixels count from 1
        if isinstance(box[0], str):
            faults.add(where, *box)
            continue
        difficult = element.findtext("difficult", "0").strip() == "1"
        marks.append(Mark(box, CLASSES.index(name), difficult=difficult))
    return Row(path, int(height), int(width), Objects.of(marks))


def _number(element: ElementTree.Element, path: str) -> float:
    """The number at ``path``; NaN where there is none."""
    try:
        return float(element.findtext(path, "nan"))
    except ValueError:
        return float("nan")
