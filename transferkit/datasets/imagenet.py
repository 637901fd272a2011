"""``imagenet:PATH``: ImageNet as class folders, or as the packed archives of ILSVRC2012.

- ``PATH/train/n01440764/x.JPEG`` and ``PATH/val/n01440764/y.JPEG``.
- ``PATH/ILSVRC2012_img_train.tar``, ``ILSVRC2012_img_val.tar`` and ``ILSVRC2012_devkit_t12.tar.gz``.

The validation images are the split ``test``, because results are reported on them. Classes are sorted WordNet ids,
which is the order that pretrained networks use.
"""

import tarfile
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np

from ..core.errors import DataError, UsageError
from ..core.progress import SILENT, Reporter
from ..data.dataset import DATASETS, Dataset, Reader
from ..data.folder import absolute
from ..data.published import Listing, Rows
from ..data.scanning import scan
from .opening import open_listing
from .tars import TarIndex, TarReader, tar_index

TRAIN, VAL, DEVKIT = "ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar", "ILSVRC2012_devkit_t12.tar.gz"
_LICENCE = "for non-commercial research, by the terms of access of image-net.org"


@DATASETS.register("imagenet")
def open_imagenet(rest: str, *, root: Path, seed: int, reporter: Reporter = SILENT) -> Dataset:
    """Open ImageNet in the folder ``rest``; ``seed`` has no effect.

    Raises:
        UsageError: If no path is given.
        DataError: If the folder has neither layout, or an archive is damaged.
    """
    if not rest:
        raise UsageError("imagenet: has no path. Give the path of a folder, as in imagenet:/data/imagenet.")
    folder = absolute(rest)
    if (folder / TRAIN).exists():
        listing = archives(folder, cache_dir=root / "indexes", reporter=reporter)
    elif (folder / "train").is_dir():
        listing = class_folders(folder)
    else:
        raise DataError(
            f"{folder} is not ImageNet. Expected are {folder}/train/n01440764/x.JPEG and {folder}/val, "
            f"or {TRAIN}, {VAL} and {DEVKIT}."
        )
    spec = f"imagenet:{folder}"
    splits = open_listing(listing, folder, spec, cache_dir=root / "fingerprints", reporter=reporter)
    return Dataset(spec, splits, "natural", str(folder), _LICENCE)


def class_folders(folder: Path) -> Listing:
    """List the unpacked layout; ``val`` may be absent.

    Raises: DataError: If there are no class folders, or ``val`` is not sorted into them.
    """
    _require_class_folders(folder)
    found = scan(folder)
    classes = tuple(sorted(found.parts["train"]))
    number = {name: label for label, name in enumerate(classes)}
    parts: dict[str, Rows] = {}
    for name, split in {"train": "train", "val": "test"}.items():
        part = found.parts.get(name)
        if part is None:
            continue
        if not part or set(part) - number.keys():
            raise DataError(
                f"{folder}/val is not sorted into the class folders of train. Sort it, or place {VAL} and "
                f"{DEVKIT} beside {TRAIN} and leave all three packed."
            )
        parts[split] = dict(sorted((one, number[label]) for label, ids in part.items() for one in ids))
    return Listing(parts, classes)


def _require_class_folders(folder: Path) -> None:
    """Check that ``train`` has folders; it has none if the archives in the archive of train were not unpacked.

    Raises: DataError: If it has none.
    """
    inner = [path for path in (folder / "train").iterdir() if not path.name.startswith((".", "__MACOSX"))]
    if not any(path.is_dir() for path in inner):
        found = f"{len(inner)} files, such as {min(inner).name}" if inner else "nothing"
        raise DataError(
            f"{folder}/train has no class folders, but {found}. Expected is {folder}/train/n01440764/x.JPEG: "
            f"unpack the archive of each class into a folder of its name, or place {TRAIN} in {folder}."
        )


def archives(folder: Path, *, cache_dir: Path, reporter: Reporter = SILENT) -> Listing:
    """List the three packed archives; without the archive of validation images there is only train.

    Raises: DataError: If an archive is damaged, or the devkit is missing.
    """
    indexes: dict[str, TarIndex] = {"train": tar_index(folder / TRAIN, cache_dir=cache_dir, reporter=reporter)}
    classes = tuple(sorted({name.partition("/")[0] for name in indexes["train"].names}))
    number = {name: label for label, name in enumerate(classes)}
    rows = {one: number[one.partition("/")[0]] for one in sorted(indexes["train"].names)}
    parts, files = {"train": rows}, {"train": TRAIN}
    if (folder / VAL).exists():
        indexes["test"], files["test"] = tar_index(folder / VAL, cache_dir=cache_dir, reporter=reporter), VAL
        parts["test"] = _labelled(sorted(indexes["test"].names), folder / DEVKIT, number)
    places = {one: (split, row) for split, index in indexes.items() for row, one in enumerate(index.names)}

    modified_ns = {split: (folder / file).stat().st_mtime_ns for split, file in files.items()}

    def reader(ids: Sequence[str]) -> Reader:
        split = places[ids[0]][0]
        rows = np.array([places[one][1] for one in ids], np.int64)
        index = indexes[split]
        return TarReader(folder / files[split], index.offsets[rows], index.sizes[rows], modified_ns[split])

    return Listing(parts, classes, reader=reader, files=tuple(files.values()))


def _labelled(names: Sequence[str], devkit: Path, number: Mapping[str, int]) -> Rows:
    """Assign labels to validation images; the devkit lists labels in the order of the names."""
    truth, synsets = _devkit(devkit)
    if len(truth) != len(names):
        raise DataError(
            f"{devkit.parent}: {VAL} has {len(names)} images, {DEVKIT} has {len(truth)} labels. Download both again."
        )
    unknown = {synsets.get(label, f"number {label}") for label in truth} - number.keys()
    if unknown:
        raise DataError(f"{devkit} has the class {min(unknown)}, which {TRAIN} lacks. Download both again.")
    return {name: number[synsets[label]] for name, label in zip(names, truth, strict=True)}


def _devkit(path: Path) -> tuple[list[int], dict[int, str]]:
    """Return the label of each validation image, and the WordNet id of each label; labels start at 1."""
    from scipy.io import loadmat

    if not path.exists():
        raise DataError(f"{path} is missing: it contains the labels of {VAL}. Place both in one folder.")
    try:
        with tarfile.open(path, mode="r:gz") as archive:
            members = {member.name.rpartition("/")[2]: member for member in archive if member.isfile()}
            truth, meta = (
                archive.extractfile(members[name]) for name in ("ILSVRC2012_validation_ground_truth.txt", "meta.mat")
            )
            if truth is None or meta is None:
                raise KeyError("meta.mat")
            labels = [int(line) for line in truth.read().split()]
            table = loadmat(BytesIO(meta.read()), squeeze_me=True, variable_names=["synsets"])["synsets"]
    except Exception as error:  # parsers raise many types of errors on broken files
        raise DataError(f"{path} cannot be read: {error}. Download it again.") from error
    return labels, {int(row["ILSVRC2012_ID"]): str(row["WNID"]) for row in np.atleast_1d(table)}
