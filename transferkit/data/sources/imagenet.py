"""``imagenet:PATH``: ImageNet as class folders, or as the archives of ILSVRC2012, which need no unpacking.

- ``PATH/train/n01440764/x.JPEG`` and ``PATH/val/n01440764/y.JPEG``.
- ``PATH/ILSVRC2012_img_train.tar``, ``ILSVRC2012_img_val.tar`` and ``ILSVRC2012_devkit_t12.tar.gz``.

Its validation images are the split ``test``, as everybody scores on them. Classes are WordNet ids, sorted,
which is the order that pretrained networks use.
"""

import tarfile
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np

from ...core.errors import DataError, UsageError
from ...core.progress import SILENT, Reporter
from ..dataset import DATASETS, Dataset, Reader
from ..downstream.opening import opened
from ..downstream.published import Listing, Rows
from ..folder import absolute
from ..scanning import scan
from .tars import Index, TarReader, tar_index

TRAIN, VAL, DEVKIT = "ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar", "ILSVRC2012_devkit_t12.tar.gz"
_LICENCE = "for non-commercial research, by the terms of access of image-net.org"


@DATASETS.register("imagenet")
def open_imagenet(rest: str, *, root: Path, seed: int, reporter: Reporter = SILENT) -> Dataset:
    """ImageNet below the folder ``rest``; ``seed`` changes nothing.

    Raises:
        UsageError: if no path is given.
        DataError: if the folder holds neither layout, or an archive is damaged.
    """
    if not rest:
        raise UsageError("imagenet: stands before a path, as in imagenet:/data/imagenet.")
    folder = absolute(rest)
    if (folder / TRAIN).exists():
        listing = archives(folder, memory=root / "indexes", reporter=reporter)
    elif (folder / "train").is_dir():
        listing = class_folders(folder)
    else:
        raise DataError(
            f"{folder} is not ImageNet: expected are {folder}/train/n01440764/x.JPEG and {folder}/val, "
            f"or {TRAIN}, {VAL} and {DEVKIT}."
        )
    spec = f"imagenet:{folder}"
    splits = opened(listing, folder, spec, memory=root / "fingerprints", reporter=reporter)
    return Dataset(spec, splits, "natural", str(folder), _LICENCE)


def class_folders(folder: Path) -> Listing:
    """The unpacked layout; ``val`` may be absent.

    Raises: DataError: if there are no class folders, or ``val`` is not sorted into them.
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
                f"{folder}/val is not sorted into the class folders of train. Sort it, or put {VAL} and "
                f"{DEVKIT} beside {TRAIN} and leave all three packed."
            )
        parts[split] = dict(sorted((one, number[label]) for label, ids in part.items() for one in ids))
    return Listing(parts, classes)


def _require_class_folders(folder: Path) -> None:
    """Refuse ``train`` without folders, as where the archive of train was unpacked and those in it were not.

    Raises: DataError: then.
    """
    inner = [path for path in (folder / "train").iterdir() if not path.name.startswith((".", "__MACOSX"))]
    if not any(path.is_dir() for path in inner):
        found = f"{len(inner)} files, such as {min(inner).name}" if inner else "nothing"
        raise DataError(
            f"{folder}/train has no class folders, but {found}. Expected is {folder}/train/n01440764/x.JPEG: "
            f"unpack the archive of each class into a folder of its name, or put {TRAIN} into {folder}."
        )


def archives(folder: Path, *, memory: Path, reporter: Reporter = SILENT) -> Listing:
    """The three archives as they are; without that of the validation images there is only train.

    Raises: DataError: if one is damaged, or the devkit is missing.
    """
    indexes: dict[str, Index] = {"train": tar_index(folder / TRAIN, memory=memory, reporter=reporter)}
    classes = tuple(sorted({name.partition("/")[0] for name in indexes["train"].names}))
    number = {name: label for label, name in enumerate(classes)}
    rows = {one: number[one.partition("/")[0]] for one in sorted(indexes["train"].names)}
    parts, files = {"train": rows}, {"train": TRAIN}
    if (folder / VAL).exists():
        indexes["test"], files["test"] = tar_index(folder / VAL, memory=memory, reporter=reporter), VAL
        parts["test"] = _labelled(sorted(indexes["test"].names), folder / DEVKIT, number)
    places = {one: (split, place) for split, index in indexes.items() for place, one in enumerate(index.names)}

    modified_ns = {split: (folder / file).stat().st_mtime_ns for split, file in files.items()}

    def reader(ids: Sequence[str]) -> Reader:
        split = places[ids[0]][0]
        rows = np.array([places[one][1] for one in ids], np.int64)
        index = indexes[split]
        return TarReader(folder / files[split], index.offsets[rows], index.sizes[rows], modified_ns[split])

    return Listing(parts, classes, reader=reader, files=tuple(files.values()))


def _labelled(names: Sequence[str], devkit: Path, number: Mapping[str, int]) -> Rows:
    """Validation images by name, in whose order the devkit lists their labels."""
    truth, synsets = _devkit(devkit)
    if len(truth) != len(names):
        raise DataError(
            f"{devkit.parent}: {VAL} has {len(names)} images, {DEVKIT} {len(truth)} labels. Get both again."
        )
    unknown = {synsets.get(label, f"number {label}") for label in truth} - number.keys()
    if unknown:
        raise DataError(f"{devkit} has the class {min(unknown)}, which {TRAIN} lacks. Get both again.")
    return {name: number[synsets[label]] for name, label in zip(names, truth, strict=True)}


def _devkit(path: Path) -> tuple[list[int], dict[int, str]]:
    """The label of each validation image, and the WordNet id of each label; labels count from one."""
    from scipy.io import loadmat

    if not path.exists():
        raise DataError(f"{path} is missing: it says what the images of {VAL} show. Put it beside them.")
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
    except Exception as error:  # parsers of broken files raise whatever they stumble over
        raise DataError(f"{path} cannot be read: {error}. Get it again.") from error
    return labels, {int(row["ILSVRC2012_ID"]): str(row["WNID"]) for row in np.atleast_1d(table)}
