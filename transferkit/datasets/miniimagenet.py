"""``miniimagenet:PATH``: 100 classes of ImageNet, divided into 64, 16 and 20 classes.

- ``PATH/images/x.jpg``, and ``PATH/train.csv``, ``val.csv``, ``test.csv`` of columns filename and label [1].
- ``PATH/train/n01532829/x.jpg``, ``PATH/val``, ``PATH/test``.

``miniimagenet:PATH`` contains the 64 base classes for pretraining; all images are train.
``miniimagenet:PATH#val`` and ``#test`` contain the 16 and 20 novel classes; few-shot episodes are drawn from all
their images, and other probes use 70 % of them as train and 30 % as test, by the hashes of the ids.

[1] Ravi and Larochelle, Optimization as a model for few-shot learning, ICLR 2017.
"""

from pathlib import Path

from ..core.errors import DataError, UsageError
from ..core.progress import SILENT, Reporter
from ..data.dataset import DATASETS, Dataset
from ..data.folder import absolute
from ..data.published import WHOLE, Listing
from .contents import Contents, images_by_name, images_by_path_end, left_out, only_present
from .opening import open_listing

PARTS = ("train", "val", "test")
_LICENCE = "for non-commercial research, by the terms of access of image-net.org"


@DATASETS.register("miniimagenet")
def open_miniimagenet(rest: str, *, root: Path, seed: int, reporter: Reporter = SILENT) -> Dataset:
    """Open the classes of one part in the folder ``rest``; ``seed`` has no effect.

    Raises:
        UsageError: If no path is given, or the part does not exist.
        DataError: If the folder has neither layout.
    """
    path, _, part = rest.partition("#")
    if not path or (part or "train") not in PARTS:
        raise UsageError(
            f"miniimagenet:{rest} is invalid. Use miniimagenet:PATH, miniimagenet:PATH#val or miniimagenet:PATH#test."
        )
    folder, part = absolute(path), part or "train"
    contents = Contents.of(folder)
    listing = _from_tables(contents, part) if contents.find(f"{part}.csv") else _from_folders(contents, part)
    for note in listing.notes:
        reporter.note(f"{folder}: {note}")
    spec = f"miniimagenet:{folder}" + (f"#{part}" if part != "train" else "")
    if part == "train":
        listing = Listing({"train": listing.parts[WHOLE]}, listing.classes, paths=listing.paths)
    splits = open_listing(listing, folder, spec, cache_dir=root / "fingerprints", reporter=reporter)
    return Dataset(spec, splits, "natural", str(folder), _LICENCE)


def _from_tables(contents: Contents, part: str) -> Listing:
    """List the images of ``PART.csv``."""
    table = contents.table(f"{part}.csv", columns=("filename", "label"))
    classes = tuple(sorted({row["label"] for row in table}))
    number = {name: label for label, name in enumerate(classes)}
    rows = {row["filename"]: number[row["label"]] for row in sorted(table, key=lambda row: row["filename"])}
    named = images_by_name(contents)
    missing = left_out({WHOLE: rows}, rows.keys() & named.keys())
    present = only_present(rows, named)
    if not present:
        raise contents.missing(f"the images that {part}.csv names")
    return Listing({WHOLE: present}, classes, missing, named)


def _from_folders(contents: Contents, part: str) -> Listing:
    """List the images of the folders ``PART/CLASS``."""
    placed = images_by_path_end(contents, 3)
    ids = {one.partition("/")[2]: path for one, path in sorted(placed.items()) if one.startswith(f"{part}/")}
    if not ids:
        raise DataError(
            f"{contents.folder} is not mini-ImageNet. Expected are {part}.csv and images, or {part}/CLASS/*.jpg."
        )
    classes = tuple(sorted({one.partition("/")[0] for one in ids}))
    number = {name: label for label, name in enumerate(classes)}
    return Listing({WHOLE: {one: number[one.partition("/")[0]] for one in ids}}, classes, paths=ids)
