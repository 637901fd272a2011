"""CIFAR-10 and CIFAR-100: 32×32 photographs. The archives contain pickle files, which torchvision reads.

torchvision opens them only if their MD5 sums are the published ones, so that no untrusted code is run.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ..core.errors import DataError
from ..data.dataset import Reader
from ..data.published import PUBLISHED, Listing, Published, Rows
from ..download.publication import Download
from .contents import Contents


def read(folder: Path, *, kind: str, base: str, meta: str) -> Listing:
    """List ``cifar-10-batches-py`` or ``cifar-100-python``, as their archives unpack.

    Args:
        folder: Folder that contains it at any depth.
        kind: Name of the torchvision class.
        base: Name of the folder in the archive.
        meta: Name of the metadata file in it.
    """
    contents = Contents.of(folder)
    base_folder = (folder / contents.file(f"{base}/{meta}")).parent
    datasets_by_split = {
        split: _torchvision_dataset(kind, base_folder.parent, train=split == "train") for split in ("train", "test")
    }
    parts: dict[str, Rows] = {
        split: {f"{split}/{row:05}": int(label) for row, label in enumerate(dataset.targets)}
        for split, dataset in datasets_by_split.items()
    }
    files = tuple(path for path in contents.files if f"/{path}".rpartition("/")[0].endswith(f"/{base}"))

    def reader(ids: Sequence[str]) -> Reader:
        from ..data.arrays import ArrayReader

        split = ids[0].partition("/")[0]
        return ArrayReader(datasets_by_split[split].data[[int(one.partition("/")[2]) for one in ids]])

    return Listing(parts, tuple(datasets_by_split["train"].classes), reader=reader, files=files)


def _torchvision_dataset(kind: str, root: Path, *, train: bool) -> Any:
    """Open one split with torchvision."""
    from torchvision import datasets

    try:
        return getattr(datasets, kind)(root, train=train, download=False)
    except (RuntimeError, OSError, ValueError) as error:
        raise DataError(
            f"{root} does not contain {kind} as published: {error}.  Take it from the published archive."
        ) from error


_HOME = "https://www.cs.toronto.edu/~kriz/cifar.html"
_CITATION = "Krizhevsky, Learning multiple layers of features from tiny images, 2009"

for _classes, _kind, _base, _meta, _size, _md5 in (
    (10, "CIFAR10", "cifar-10-batches-py", "batches.meta", 170_498_071, "c58f30108f718f92721af3b95e74349a"),
    (100, "CIFAR100", "cifar-100-python", "meta", 169_001_437, "eb9058c3a382ffc7106e4002c42a8d85"),
):
    _file = f"cifar-{_classes}-python.tar.gz"
    PUBLISHED.register(f"cifar{_classes}")(
        Published(
            name=f"cifar{_classes}",
            domain="natural",
            n_classes=_classes,
            counts={"train": 50_000, "test": 10_000},
            licence="none stated; published for research",
            citation=_CITATION,
            homepage=_HOME,
            layout=f"{_base}/ as in {_file}",
            split_rule="train and test as published",
            read=partial(read, kind=_kind, base=_base, meta=_meta),
            marks=(_base,),
            downloads=(Download(f"https://www.cs.toronto.edu/~kriz/{_file}", _file, _size, f"md5:{_md5}"),),
            size_bytes=185_000_000,
            group="kornblith12",
        )
    )
