"""``voc0712``: PASCAL VOC 2007 and 2012 in their original layout [1].

The folders ``VOCdevkit/VOC2007`` and ``VOCdevkit/VOC2012`` each contain ``Annotations``, ``ImageSets/Main`` and
``JPEGImages``. Train is ``trainval`` of both years, test is ``test`` of 2007.

[1] Everingham et al., The PASCAL visual object classes challenge: a retrospective, IJCV 2015.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

from ...core.errors import DataError
from ...download.publication import top_of
from ..vocdevkit import CITATION, CLASSES, DOWNLOADS_2007, DOWNLOADS_2012, HOMEPAGE, LICENCE, read_list
from .boxed import DETECTION, Annotation, ImageBoxes
from .checking import FaultList, finite_number, flag, whole_number
from .listing import BoxListing, ListedImage, PublishedBoxes
from .opening import BoxesOpener

LISTS = {"train": (("VOC2007", "trainval"), ("VOC2012", "trainval")), "test": (("VOC2007", "test"),)}
"""Split → years and lists of its images."""


def read(folder: Path) -> BoxListing:
    """List ``VOC2007/JPEGImages/000005.jpg`` and so on from the lists of both years.

    Raises: DataError: If a year is missing.
    """
    root_folder = top_of(VOC, folder)
    if not all((root_folder / year).is_dir() for year in ("VOC2007", "VOC2012")):
        raise DataError(
            f"{folder} lacks VOC2007 or VOC2012. Expected are VOCdevkit/VOC2007 and VOCdevkit/VOC2012: unpack "
            "the archives VOCtrainval_06-Nov-2007, VOCtest_06-Nov-2007 and VOCtrainval_11-May-2012 there."
        )
    rows = {name: partial(_rows, root_folder, lists) for name, lists in LISTS.items()}
    return BoxListing(root_folder, CLASSES, tuple(range(1, len(CLASSES) + 1)), rows)


VOC = PublishedBoxes(
    name="voc0712",
    domain="detection",
    n_classes=len(CLASSES),
    counts={"train": 5_011 + 11_540, "test": 4_952},
    licence=LICENCE,
    citation=CITATION,
    homepage=HOMEPAGE,
    layout="VOCdevkit/VOC2007 and VOCdevkit/VOC2012, each with Annotations, ImageSets/Main, JPEGImages",
    split_rule="trainval of both years is train, test of 2007 is test; voc0712:PATH is another VOCdevkit folder",
    read=read,
    marks=tuple(f"{year}/ImageSets/Main/{name}.txt" for lists in LISTS.values() for year, name in lists),
    downloads=(*DOWNLOADS_2007, *DOWNLOADS_2012),
    size_bytes=2_900_000_000,
)

DETECTION.register(VOC.name)(BoxesOpener(VOC))


def _rows(folder: Path, lists: Sequence[tuple[str, str]], faults: FaultList) -> Iterator[ListedImage]:
    for year, name in lists:
        for stem in read_list(folder / year / "ImageSets" / "Main" / f"{name}.txt"):
            path = f"{year}/JPEGImages/{stem}.jpg"
            annotation_file = folder / year / "Annotations" / f"{stem}.xml"
            try:
                root = parse_xml(annotation_file.read_bytes())
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


class _NoDoctype(ElementTree.TreeBuilder):
    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise DataError("it declares a document type, which may contain entities that expand without limit")


def parse_xml(data: bytes) -> ElementTree.Element:
    """Parse XML without a document type, and so without entities; return the root element.

    Raises:
        DataError: If it declares a document type.
        ElementTree.ParseError: If it is not XML.
    """
    parser = ElementTree.XMLParser(target=_NoDoctype())
    parser.feed(data)
    root = parser.close()
    assert isinstance(root, ElementTree.Element)  # TreeBuilder returns an element
    return root


def _row(path: str, root: ElementTree.Element, faults: FaultList) -> ListedImage | None:
    """Parse an annotation file; return None if the size is invalid.

    Raises: DataError: If ``difficult`` of an object is neither 0 nor 1.
    """
    stated = [root.findtext(f"size/{side}") for side in ("height", "width")]
    height, width = (whole_number(text) or 0 for text in stated)
    if min(height, width) < 1:
        faults.add(path, "no image size", f"{stated[1]}×{stated[0]}")
        return None
    annotations = []
    for number, element in enumerate(root.iter("object")):
        where = f"{path} object {number}"
        difficult = element.findtext("difficult", "").strip() or "0"
        is_difficult = flag(difficult, f"{faults.name}: difficult of {where}")
        name = element.findtext("name", "").strip()
        if name not in CLASSES:
            faults.add(where, "unknown category", repr(name))
            continue
        left, top, right, bottom = (_number(element, edge) for edge in ("xmin", "ymin", "xmax", "ymax"))
        box = (left - 1, top - 1, right, bottom)  # pixels start at 1 in the file
        if faults.accepts(where, box, height, width):
            annotations.append(Annotation(box, CLASSES.index(name), difficult=is_difficult))
    return ListedImage(path, height, width, ImageBoxes.of(annotations))


def _number(element: ElementTree.Element, edge: str) -> float:
    """Return an edge of the box of an object; NaN if it is missing."""
    number = finite_number(element.findtext(f"bndbox/{edge}"))
    return float("nan") if number is None else number
