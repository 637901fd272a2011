"""Caltech-101: objects in one folder per class; the background is a class, as in Kornblith et al."""

from pathlib import Path

import numpy as np

from ..core.splitting import hashed_order
from ..data.published import PUBLISHED, WHOLE, Listing, Published
from ..download.publication import Download
from .contents import Contents, class_folders

_TRAIN_PER_CLASS = 30


def read(folder: Path) -> Listing:
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
        read=read,
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
