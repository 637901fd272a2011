"""Photographs of objects, of Kornblith et al.: Caltech-101 and Stanford Cars."""

from pathlib import Path

import numpy as np

from ..core.splitting import hashed_order
from ..data.published import PUBLISHED, WHOLE, Listing, Published, Rows
from ..download.publication import Download
from .contents import Contents, class_folders, images_by_path_end, left_out, only_present
from .matlab import read_matlab

# Caltech-101: objects in one folder per class; the background is a class, as in Kornblith et al.

_TRAIN_PER_CLASS = 30


def read_caltech101(folder: Path) -> Listing:
    """List ``101_ObjectCategories/accordion/image_0001.jpg``; 30 images per class are train, the rest test."""
    listing = class_folders(Contents.of(folder))
    rows = listing.parts[WHOLE]
    ids = tuple(rows)
    counts = np.zeros(len(listing.classes), dtype=int)
    train = set()
    for row in hashed_order(ids, "caltech101").tolist():
        label = rows[ids[row]]
        if counts[label] < _TRAIN_PER_CLASS:
            counts[label] += 1
            train.add(ids[row])
    parts = {
        "train": {one: label for one, label in rows.items() if one in train},
        "test": {one: label for one, label in rows.items() if one not in train},
    }
    return Listing(parts, listing.classes, paths=listing.paths)


PUBLISHED.register("caltech101")(
    Published(
        name="caltech101",
        domain="natural",
        n_classes=102,
        counts={"train": 3_060, "test": 6_084},
        licence="CC BY 4.0",
        citation="Fei-Fei, Fergus and Perona, Learning generative visual models from few training examples, "
        "CVPR workshop 2004",
        homepage="https://data.caltech.edu/records/mzrjq-6wc02",
        layout="101_ObjectCategories/CLASS/*.jpg",
        split_rule="30 images of each class train, the first by the SHA-256 of caltech101/ID; the rest test",
        read=read_caltech101,
        marks=("accordion",),
        class_folders=True,
        downloads=(
            Download(
                "https://data.caltech.edu/records/mzrjq-6wc02/files/caltech-101.zip",
                "caltech-101.zip",
                digest="md5:3138e1922a9193bfa496528edbbc45d0",
            ),
        ),
        metric="mean_per_class",
        size_bytes=150_000_000,
        group="kornblith12",
    )
)


# Stanford Cars: car models. The MATLAB files of the devkit contain the labels, which start at 1.

_TABLES = {"train": "cars_train_annos.mat", "test": "cars_test_annos_withlabels.mat"}


def read_cars(folder: Path) -> Listing:
    """List ``cars_train/00001.jpg``, ``cars_test``, ``devkit/*.mat`` and the labels of test."""
    contents = Contents.of(folder)
    names = np.atleast_1d(read_matlab(contents, "cars_meta.mat", "class_names"))
    parts: dict[str, Rows] = {}
    for split, table in _TABLES.items():
        rows = np.atleast_1d(read_matlab(contents, table, "annotations"))
        labels = {f"cars_{split}/{row['fname']}": int(row["class"]) - 1 for row in rows}
        if labels and not 0 <= min(labels.values()) <= max(labels.values()) < len(names):
            raise contents.missing(f"a name in cars_meta.mat for every class in {table}")
        parts[split] = dict(sorted(labels.items()))
    placed = images_by_path_end(contents, 2)
    present = {split: only_present(rows, placed) for split, rows in parts.items()}
    return Listing(present, tuple(map(str, names)), left_out(parts, placed), placed)


PUBLISHED.register("cars")(
    Published(
        name="cars",
        domain="natural",
        n_classes=196,
        counts={"train": 8_144, "test": 8_041},
        licence="for non-commercial research; the images keep their owners' rights",
        citation="Krause et al., 3D object representations for fine-grained categorization, 3dRR 2013",
        homepage="https://ai.stanford.edu/~jkrause/cars/car_dataset.html",
        layout="cars_train/*.jpg, cars_test/*.jpg, devkit/*.mat, cars_test_annos_withlabels.mat",
        split_rule="train and test as published",
        read=read_cars,
        marks=("cars_train", "cars_test", "devkit"),
        steps=(
            "The publisher's links are dead; get cars_train, cars_test, devkit and "
            "cars_test_annos_withlabels.mat from a copy, such as rickyyyyyyy/torchvision-stanford-cars on "
            "Kaggle (about 2 GB).",
            "Run: transferkit datasets prepare cars --from FOLDER, which holds them.",
        ),
        size_bytes=2_000_000_000,
        group="kornblith12",
    )
)
