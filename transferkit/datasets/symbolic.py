"""Symbolic images of the study: Omniglot and SVHN."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DataError
from ..data.published import PUBLISHED, WHOLE, Listing, Option, Published
from ..download.publication import Download
from .contents import Contents, images_by_path_end
from .matlab import read_matlab

# Omniglot: characters of many alphabets, each drawn by twenty people; dark ink on white, as published.
#
# ``omniglot`` contains the 20 evaluation alphabets, as in the study; ``omniglot:all`` adds the 30 background alphabets.
# Images are not inverted: for networks trained on light digits on black, the contrast is reversed.


def read_omniglot(folder: Path, folders: Collection[str] = ("images_evaluation",)) -> Listing:
    """List ``images_evaluation/ALPHABET/character01/0965_01.png``; a class is a character of an alphabet."""
    contents = Contents.of(folder)
    placed = images_by_path_end(contents, 4)
    paths: dict[str, str] = {}
    for name in folders:
        inside = {one.partition("/")[2]: path for one, path in placed.items() if one.startswith(f"{name}/")}
        if not inside:
            raise contents.missing(f"{name}/ALPHABET/CHARACTER/*.png")
        paths |= inside
    classes = tuple(sorted({one.rpartition("/")[0] for one in paths}))
    number = {name: label for label, name in enumerate(classes)}
    rows = {one: number[one.rpartition("/")[0]] for one in sorted(paths)}
    return Listing({WHOLE: rows}, classes, paths=paths)


_URL = "https://raw.githubusercontent.com/brendenlake/omniglot/master/python"

PUBLISHED.register("omniglot")(
    Published(
        name="omniglot",
        domain="symbolic",
        n_classes=659,
        counts={"all": 13_180},
        licence="MIT",
        citation="Lake, Salakhutdinov and Tenenbaum, Human-level concept learning through probabilistic "
        "program induction, Science 2015",
        homepage="https://github.com/brendenlake/omniglot",
        layout="images_evaluation/ALPHABET/CHARACTER/*.png, images_background/… for omniglot:all",
        split_rule="70 % train, 30 % test of each character, by the SHA-256 of omniglot/ID",
        read=read_omniglot,
        marks=("images_evaluation",),
        downloads=(
            Download(
                f"{_URL}/images_evaluation.zip",
                "images_evaluation.zip",
                6_462_886,
                "md5:6b91aef0f799c5bb55b94e3f2daec811",
            ),
            Download(
                f"{_URL}/images_background.zip",
                "images_background.zip",
                9_464_212,
                "md5:68d2efa1b9178cc56df9314c21c6e718",
            ),
        ),
        options={
            "all": Option(
                partial(read_omniglot, folders=("images_evaluation", "images_background")),
                n_classes=1_623,
                counts={"all": 32_460},
            )
        },
        size_bytes=16_000_000,
    )
)


# SVHN: street-view house numbers, cropped to one digit of 32×32; ``extra_32x32.mat`` is not used.

_ZERO = 10  # label of the digit 0 in the files


@dataclass(eq=False)
class SvhnReader:
    """Reads images of one MATLAB file, which is loaded at the first access.

    Attributes:
        contents: Contents of the folder.
        name: Name of the file.
        rows: Indices of the images in the file ``[n]``.
    """

    contents: Contents
    name: str
    rows: tuple[int, ...]
    _images: NDArray[np.uint8] | None = field(default=None, repr=False)

    def image(self, row: int) -> NDArray[np.uint8]:
        """Decode a row as ``Reader.image`` does."""
        if self._images is None:
            self._images = read_matlab(self.contents, self.name, "X")  # [32, 32, 3, n]
        return np.ascontiguousarray(self._images[..., self.rows[row]])

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for worker processes, without the images."""
        return {**self.__dict__, "_images": None}


def read_svhn(folder: Path) -> Listing:
    """List ``train_32x32.mat`` and ``test_32x32.mat``; the label 10 is the digit 0."""
    contents = Contents.of(folder)
    parts = {}
    for split in ("train", "test"):
        labels = np.asarray(read_matlab(contents, f"{split}_32x32.mat", "y")).ravel().astype(np.int64)
        if len(labels) and not 0 <= labels.min() <= labels.max() <= _ZERO:
            raise DataError(
                f"{folder}: {split}_32x32.mat has the label {labels.max()}; labels are 0 to {_ZERO}. "
                "Take the file from the published archive."
            )
        parts[split] = {f"{split}/{row:05}": int(label) % _ZERO for row, label in enumerate(labels)}
    files = tuple(contents.file(f"{split}_32x32.mat") for split in parts)

    def reader(ids: Sequence[str]) -> SvhnReader:
        split = ids[0].partition("/")[0]
        return SvhnReader(contents, f"{split}_32x32.mat", tuple(int(one.partition("/")[2]) for one in ids))

    return Listing(parts, tuple(map(str, range(10))), reader=reader, files=files)


_SVHN_URL = "http://ufldl.stanford.edu/housenumbers/"

PUBLISHED.register("svhn")(
    Published(
        name="svhn",
        domain="symbolic",
        n_classes=10,
        counts={"train": 73_257, "test": 26_032},
        licence="for non-commercial use only",
        citation="Netzer et al., Reading digits in natural images with unsupervised feature learning, NIPS "
        "workshop 2011",
        homepage="http://ufldl.stanford.edu/housenumbers/",
        layout="train_32x32.mat, test_32x32.mat",
        split_rule="train and test as published",
        read=read_svhn,
        marks=("train_32x32.mat", "test_32x32.mat"),
        downloads=(
            Download(
                f"{_SVHN_URL}train_32x32.mat",
                "train_32x32.mat",
                182_040_794,
                "md5:e26dedcc434d2e4c54c9b2d4a06d8373",
            ),
            Download(
                f"{_SVHN_URL}test_32x32.mat", "test_32x32.mat", 64_275_384, "md5:eb5a983be6a315427106f1b164d9cef3"
            ),
        ),
        size_bytes=246_000_000,
    )
)
