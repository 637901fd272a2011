"""Flowers-102: flowers of Britain. Ids and labels start at 1 in the archive; labels start at 0 here."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DataError
from ..data.published import PUBLISHED, Listing, Published
from ..download.publication import Download
from .contents import Contents, images_by_name, left_out, only_present
from .matlab import read_matlab

_SPLITS = {"train": "trnid", "val": "valid", "test": "tstid"}


def read(folder: Path) -> Listing:
    """List ``jpg/image_00001.jpg``, ``imagelabels.mat`` and ``setid.mat``.

    The archive does not name classes: their names are the published numbers, ``1`` to ``102``.
    """
    contents = Contents.of(folder)
    labels = _integers(contents, "imagelabels.mat", "labels")
    if labels.min(initial=1) < 1:
        raise DataError(
            f"{contents.folder}: imagelabels.mat has the label {labels.min()}, but labels start at 1. "
            "Take the file from the published archive."
        )
    named = {name: path for name, path in images_by_name(contents).items() if name.startswith("image_")}
    classes = tuple(str(number) for number in range(1, int(labels.max(initial=0)) + 1))
    parts = {}
    for split, key in _SPLITS.items():
        numbers = np.sort(_integers(contents, "setid.mat", key))
        if len(numbers) and not 1 <= numbers[0] <= numbers[-1] <= len(labels):
            raise DataError(
                f"{contents.folder}: setid.mat names the images {numbers[0]} to {numbers[-1]}, "
                f"but imagelabels.mat has labels of 1 to {len(labels)}. Take both from the published archive."
            )
        parts[split] = {f"image_{number:05}.jpg": int(labels[number - 1]) - 1 for number in numbers}
    present = {split: only_present(rows, named) for split, rows in parts.items()}
    return Listing(present, classes, left_out(parts, named), named)


def _integers(contents: Contents, name: str, key: str) -> NDArray[np.int64]:
    """Read the row vector ``key`` of a MATLAB file."""
    return np.asarray(read_matlab(contents, name, key)).ravel().astype(np.int64)


_URL = "https://www.robots.ox.ac.uk/~vgg/data/flowers/102/"

PUBLISHED.register("flowers102")(
    Published(
        name="flowers102",
        domain="natural",
        n_classes=102,
        counts={"train": 1_020, "val": 1_020, "test": 6_149},
        licence="none stated; published for research",
        citation="Nilsback and Zisserman, Automated flower classification over a large number of classes, ICVGIP 2008",
        homepage="https://www.robots.ox.ac.uk/~vgg/data/flowers/102/",
        layout="jpg/image_*.jpg, imagelabels.mat, setid.mat",
        split_rule="train, val and test of setid.mat",
        read=read,
        marks=("jpg", "imagelabels.mat", "setid.mat"),
        downloads=(
            Download(f"{_URL}102flowers.tgz", "102flowers.tgz", 344_862_509, "md5:52808999861908f626f3c1f4e79d11fa"),
            Download(f"{_URL}imagelabels.mat", "imagelabels.mat", digest="md5:e0620be6f572b9609742df49c70aed4d"),
            Download(f"{_URL}setid.mat", "setid.mat", digest="md5:a5357ecc9cb78c4bef273ce3793fc85c"),
        ),
        metric="mean_per_class",
        size_bytes=350_000_000,
    )
)
