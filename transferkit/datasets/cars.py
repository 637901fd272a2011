"""Stanford Cars: car models. The MATLAB files of the devkit contain the labels, which start at 1."""

from pathlib import Path

import numpy as np

from ..data.published import PUBLISHED, Listing, Published, Rows
from .contents import Contents, images_by_path_end, left_out, only_present
from .matlab import read_matlab

_TABLES = {"train": "cars_train_annos.mat", "test": "cars_test_annos_withlabels.mat"}


def read(folder: Path) -> Listing:
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
        read=read,
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
