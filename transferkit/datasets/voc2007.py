"""VOC2007 classification: photographs that show several of twenty classes, or none of them.

``ImageSets/Main/dog_train.txt`` lists for each image of train whether it shows a dog: 1 if it does, 0 if it shows only
dogs that are marked as difficult, -1 if it does not. These numbers are the labels. Fitting and scoring ignore an
image for the classes with label 0.
"""

from collections.abc import Mapping
from pathlib import Path

from ..core.errors import DataError
from ..core.labels import ABSENT, DIFFICULT, SHOWN
from ..data.published import PUBLISHED, Listing, Published
from ..data.vocdevkit import CITATION, CLASSES, DOWNLOADS_2007, HOMEPAGE, LICENCE, read_list
from ..download.publication import top_of
from .contents import left_out, only_present

_LISTS = "VOC2007/ImageSets/Main"
_SPLITS = ("train", "val", "test")
_LABEL_OF_TEXT = {str(label): label for label in (SHOWN, DIFFICULT, ABSENT)}


def read(folder: Path) -> Listing:
    """List ``VOCdevkit/VOC2007/JPEGImages/000005.jpg``, and the lists of each split and class.

    Raises: DataError: If a list is missing or invalid.
    """
    root = top_of(VOC2007, folder)
    images = root / "VOC2007" / "JPEGImages"
    placed = {path.name: path.relative_to(folder).as_posix() for path in images.glob("*.jpg")}
    parts = {split: _labels(root / _LISTS, split) for split in _SPLITS}
    present = {split: only_present(rows, placed) for split, rows in parts.items()}
    if empty := [split for split, rows in present.items() if not rows]:
        raise DataError(f"{images} has no image of {empty[0]}. Unpack the archive that contains them.")
    return Listing(present, CLASSES, left_out(parts, placed), placed)


def _labels(lists: Path, split: str) -> dict[str, tuple[int, ...]]:
    """Map file names to one label per class ``[c]``, in the order of the list of the split."""
    names = read_list(lists / f"{split}.txt")
    columns = [_column(lists / f"{name}_{split}.txt", names) for name in CLASSES]
    return {f"{name}.jpg": tuple(column[name] for column in columns) for name in names}


def _column(path: Path, names: Mapping[str, object]) -> dict[str, int]:
    """Read the labels of one class."""
    rows = read_list(path)
    if unlisted := [name for name in names if name not in rows]:
        raise DataError(
            f"{path} lacks {unlisted[0]} and {len(unlisted) - 1} more images. Take it from the published archive."
        )
    found = {name: _LABEL_OF_TEXT.get(rest[0]) if len(rest) == 1 else None for name, rest in rows.items()}
    if wrong := [name for name, label in found.items() if label is None]:
        raise DataError(
            f"{path} has the label {' '.join(rows[wrong[0]])!r} for {wrong[0]}; allowed are 1, 0 and -1. "
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
    split_rule="train, val and test as published; images have several labels. "
    "A prepared voc0712 contains it: prepare voc2007 --from its folder links to it",
    read=read,
    marks=(
        "VOC2007/JPEGImages",
        *(f"{_LISTS}/{name}{split}.txt" for split in _SPLITS for name in ("", "dog_")),
    ),
    downloads=DOWNLOADS_2007,
    metric="map11",
    size_bytes=920_000_000,
    group="kornblith12",
)

PUBLISHED.register(VOC2007.name)(VOC2007)
