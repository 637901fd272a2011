"""SVHN: street-view house numbers, cropped to one digit of 32×32; ``extra_32x32.mat`` is not used."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DataError
from ..data.published import PUBLISHED, Listing, Published
from ..download.publication import Download
from .contents import Contents
from .matlab import read_matlab

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


def read(folder: Path) -> Listing:
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


_URL = "http://ufldl.stanford.edu/housenumbers/"

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
        read=read,
        marks=("train_32x32.mat", "test_32x32.mat"),
        downloads=(
            Download(
                f"{_URL}train_32x32.mat",
                "train_32x32.mat",
                182_040_794,
                "md5:e26dedcc434d2e4c54c9b2d4a06d8373",
            ),
            Download(f"{_URL}test_32x32.mat", "test_32x32.mat", 64_275_384, "md5:eb5a983be6a315427106f1b164d9cef3"),
        ),
        size_bytes=246_000_000,
    )
)
