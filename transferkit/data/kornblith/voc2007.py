"""VOC2007 classification: photographs that show several of twenty classes, or none of them.

``ImageSets/Main/dog_train.txt`` says of each image of train whether there is a dog in it: 1, it is shown; 0,
only dogs are shown that are marked as difficult; -1, there is none. These numbers are the labels. In scoring,
and in fitting, an image says nothing of a class that it shows only with difficulty.
"""

from collections.abc import Mapping
from pathlib import Path

from ...core.errors import DataError
from ...core.labels import ABSENT, DIFFICULT, SHOWN
from ..downstream.contents import left_out, only_present
from ..downstream.published import PUBLISHED, Listing, Published, top_of
from ..vocdevkit import CITATION, CLASSES, HOMEPAGE, LICENCE, OF_2007, listed

_LISTS = "VOC2007/ImageSets/Main"
_SPLITS = ("train", "val", "test")
_SAID = {str(label): label for label in (SHOWN, DIFFICULT, ABSENT)}


def read(folder: Path) -> Listing:
    """``VOCdevkit/VOC2007/JPEGImages/000005.jpg``, and the lists of each split and class.

    Raises: DataError: if a list is missing, or does not say what it should.
    """
    top = top_of(VOC2007, folder)
    images = top / "VOC2007" / "JPEGImages"
    placed = {path.name: path.relative_to(folder).as_posix() for path in images.glob("*.jpg")}
    parts = {split: _labels(top / _LISTS, split) for split in _SPLITS}
    present = {split: only_present(rows, placed) for split, rows in parts.items()}
    if empty := [split for split, rows in present.items() if not rows]:
        raise DataError(f"{images} has no image of {empty[0]}. Unpack the archive that holds them.")
    return Listing(present, CLASSES, left_out(parts, placed), placed)


def _labels(lists: Path, split: str) -> dict[str, tuple[int, ...]]:
    """File name → what is said of each class, ``[c]``, in the order of the split's list."""
    names = listed(lists / f"{split}.txt")
    columns = [_column(lists / f"{name}_{split}.txt", names) for name in CLASSES]
    return {f"{name}.jpg": tuple(column[name] for column in columns) for name in names}


def _column(path: Path, names: Mapping[str, object]) -> dict[str, int]:
    """What one list says of each image."""
    rows = listed(path)
    if strays := [name for name in names if name not in rows]:
        raise DataError(
            f"{path} says nothing of {strays[0]} and {len(strays) - 1} more images. Take it from the published archive."
        )
    found = {name: _SAID.get(rest[0]) if len(rest) == 1 else None for name, rest in rows.items()}
    if wrong := [name for name, label in found.items() if label is None]:
        raise DataError(
            f"{path} says {' '.join(rows[wrong[0]]) or 'nothing'!r} of {wrong[0]}, not 1, 0 or -1. "
            "Take it from the published archive."
        )
    return {name: label for name, label in found.items() if label is not None}


VOC2007 = Published(
    name="voc2007",
    domain="natural",
    n_classes=len(CLASSES),
    counts={"train": 2_501, "val": 2_510, "test": 4_952},
    licence=LICENCE,
    citation=CITATION,
    homepage=f"{HOMEPAGE}/voc2007/",
    layout="VOCdevkit/VOC2007/JPEGImages/*.jpg, ImageSets/Main/train.txt, CLASS_train.txt and so on",
    split_rule="train, val and test as published; several labels an image. "
    "A prepared voc0712 holds it too: prepare voc2007 --from its folder links to that",
    read=read,
    marks=(
        "VOC2007/JPEGImages",
        *(f"{_LISTS}/{name}{split}.txt" for split in _SPLITS for name in ("", "dog_")),
    ),
    downloads=OF_2007,
    metric="map11",
    size_bytes=920_000_000,
    group="kornblith12",
)

PUBLISHED.register(VOC2007.name)(VOC2007)
