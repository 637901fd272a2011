"""DTD: describable textures; ten folds with equal parts for train, val and test.

``dtd`` is fold 1, on which most papers report; ``dtd:3`` is fold 3.
"""

from functools import partial
from pathlib import Path

from ..data.published import PUBLISHED, Listing, Option, Published
from ..download.publication import Download
from .contents import Contents, images_by_path_end, left_out, only_present

_FOLDS = range(1, 11)


def read(folder: Path, fold: int = 1) -> Listing:
    """List ``images/banded/banded_0002.jpg`` and ``labels/train1.txt``; the class is the folder."""
    contents = Contents.of(folder)
    placed = images_by_path_end(contents, 2)
    names = {split: contents.lines(f"{split}{fold}.txt") for split in ("train", "val", "test")}
    classes = tuple(sorted({one.partition("/")[0] for ids in names.values() for one in ids}))
    number = {name: label for label, name in enumerate(classes)}
    parts = {split: {one: number[one.partition("/")[0]] for one in sorted(ids)} for split, ids in names.items()}
    present = {split: only_present(rows, placed) for split, rows in parts.items()}
    return Listing(present, classes, left_out(parts, placed), placed)


PUBLISHED.register("dtd")(
    Published(
        name="dtd",
        domain="texture",
        n_classes=47,
        counts={"train": 1_880, "val": 1_880, "test": 1_880},
        licence="for research; the images keep their owners' rights",
        citation="Cimpoi et al., Describing textures in the wild, CVPR 2014",
        homepage="https://www.robots.ox.ac.uk/~vgg/data/dtd/",
        layout="dtd/images/CLASS/*.jpg, dtd/labels/train1.txt … test10.txt",
        split_rule="train, val and test of fold 1; dtd:2 to dtd:10 are the other folds",
        read=read,
        marks=("images/banded", "labels"),
        class_folders=True,
        downloads=(
            Download(
                "https://www.robots.ox.ac.uk/~vgg/data/dtd/download/dtd-r1.0.1.tar.gz",
                "dtd-r1.0.1.tar.gz",
                625_239_812,
                "md5:fff73e5086ae6bdbea199a49dfb8a4c1",
            ),
        ),
        options={str(fold): Option(read if fold == 1 else partial(read, fold=fold)) for fold in _FOLDS},
        size_bytes=640_000_000,
    )
)
