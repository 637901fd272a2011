"""Natural images of the study: CropDisease, DeepWeeds and Flowers102."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DataError
from ..data.published import PUBLISHED, WHOLE, Listing, Option, Published, Rows
from ..download.publication import Download
from .contents import Contents, images_by_name, images_by_path_end, left_out, only_present, require_unique
from .matlab import read_matlab

# CropDisease: leaves of 14 crops, healthy and diseased, photographed one by one (PlantVillage).
#
# The published copy is not augmented, and its editor divided it into ``train`` and ``test``. Photographs of one leaf
# can be in both.


def read_cropdisease(folder: Path) -> Listing:
    """List ``train/CLASS/x.jpg`` and ``test/CLASS/y.jpg``, in any outer folder."""
    contents = Contents.of(folder)
    placed = images_by_path_end(contents, 3)
    ids_of_split = {split: [one for one in sorted(placed) if one.startswith(f"{split}/")] for split in _SPLITS}
    classes = tuple(sorted({one.split("/")[1] for one in ids_of_split["train"]}))
    number = {name: label for label, name in enumerate(classes)}
    parts: dict[str, Rows] = {}
    for split, ids in ids_of_split.items():
        if not ids:
            raise contents.missing(f"images in {split}/CLASS")
        if foreign := {one.split("/")[1] for one in ids} - number.keys():
            raise contents.missing(f"the class {min(foreign)!r} in train, which {split} has")
        parts[split] = {one: number[one.split("/")[1]] for one in ids}
    return Listing(parts, classes, paths=placed)


_SPLITS = ("train", "test")

PUBLISHED.register("cropdisease")(
    Published(
        name="cropdisease",
        domain="natural",
        n_classes=38,
        counts={"train": 43_456, "test": 10_849},
        licence="CC BY-SA 3.0, by the paper of PlantVillage; the copy on Kaggle may state its own",
        citation="Hughes and Salathé, An open access repository of images on plant health to enable the "
        "development of mobile disease diagnostics, arXiv 1511.08060, 2015; split of Mohanty et al., "
        "Using deep learning for image-based plant disease detection, Frontiers in Plant Science 2016",
        homepage="https://www.kaggle.com/saroz014/plant-disease",
        layout="dataset/train/CLASS/*.JPG, dataset/test/CLASS/*.JPG",
        split_rule="train and test as published",
        read=read_cropdisease,
        marks=("train/Apple___Apple_scab", "test/Apple___Apple_scab"),
        class_folders=True,
        steps=(
            "Log in to Kaggle and download https://www.kaggle.com/saroz014/plant-disease (about 2 GB).",
            "Run: transferkit datasets prepare cropdisease --from archive.zip",
        ),
    )
)


# DeepWeeds: eight weeds of northern Australia in their natural surroundings, and negative images.
#
# ``deepweeds`` uses the split of the study; ``deepweeds:0`` to ``deepweeds:4`` use the five folds of the authors, which
# need their label files.

_FOLDS = range(5)


def read_deepweeds(folder: Path, fold: int | None = None) -> Listing:
    """List ``images/20160928-140314-0.jpg`` and ``labels/labels.csv``; the class is the species."""
    contents = Contents.of(folder)
    table = contents.table("labels.csv", columns=("Filename", "Label", "Species"))
    require_unique(contents, (row["Filename"] for row in table), "labels.csv")
    species = {row["Label"]: row["Species"] for row in table}
    if len(set(species.values())) < len(species) or not all(map(str.isdigit, species)):
        raise DataError(
            f"{folder}: labels.csv has labels that are not numbers, or two labels for one species. "
            "Take the file from the published archive."
        )
    number = {label: index for index, label in enumerate(sorted(species, key=int))}
    labels = {row["Filename"]: number[row["Label"]] for row in table}
    named = images_by_name(contents)
    parts = {WHOLE: labels} if fold is None else _fold(contents, fold, labels)
    present = {split: only_present(rows, named) for split, rows in parts.items()}
    classes = tuple(species[label] for label in number)
    return Listing(present, classes, left_out({WHOLE: labels}, named), named)


def _fold(contents: Contents, fold: int, labels: Mapping[str, int]) -> dict[str, Rows]:
    """Read the published split of one fold."""
    parts: dict[str, Rows] = {}
    for split in ("train", "val", "test"):
        name = f"{split}_subset{fold}.csv"
        ids = [row["Filename"] for row in contents.table(name, columns=("Filename",))]
        if unknown := [one for one in ids if one not in labels]:
            raise DataError(
                f"{contents.folder}: {name} names {unknown[0]}, which labels.csv lacks. "
                "Take both from https://github.com/AlexOlsen/DeepWeeds/tree/master/labels."
            )
        parts[split] = {one: labels[one] for one in ids}
    return parts


_URL = "https://raw.githubusercontent.com/AlexOlsen/DeepWeeds/master/labels"
_DIGESTS = {
    "labels": "6fb95b89fd9d384f94e185a5cab6c5da7c987649399c90618ecc60acfb0112eb",
    "train_subset0": "a2e63f561a545837c8cabaa276a957ccf1293ec985c9d8fbc49d67b4fd5abdb2",
    "train_subset1": "a7447a6c67852f79837eca790aac55f2e16b96e71d63a1d850ba5a4db57748b8",
    "train_subset2": "7e27d63c1614ebbd6a57b3925403f999f70facbc2ffc04f1116f7f8688ebbd52",
    "train_subset3": "fae89ae8d9b00a919a5b20d7eda4807a3400c040ec89df2ac3304a70c97ad24d",
    "train_subset4": "e0c8011ad795638b85dc59d49d1c9e7af4b3843c780cebb3e3241188cf28380e",
    "val_subset0": "1fa70a03a68def06c921a1dd7f0b53e96490f6dfad51d7d423bb145161ebc478",
    "val_subset1": "0aa1f7d2140e20c14736029a37c3022ca14c37f9e135435d3c5bb790054c2e92",
    "val_subset2": "5a5cc004ef3ec9f021fd46194519ab030b0c65606e3b9cd1f09fc465859289d8",
    "val_subset3": "a50360be0955155e9dfeea9927230ffb8376f3a2b2a2e9f46fb6bf51c84cacd6",
    "val_subset4": "d28432a8a3943a23d1d8539a72a6b78ee67f6ec4179830cec071e03fdb749ce3",
    "test_subset0": "fb212793b988bc0455aae2e48cb9eb3168014c2f47fbdb93f5f1e284e0974f75",
    "test_subset1": "1ffc3df9be7e312691a4d3c748deeabd846f339e2a9f2a084f84b16beca2f6e9",
    "test_subset2": "c4d0c72bd3bf6ce3cf4b7528ea125be998e881cd4234dc80532e4217aeccd2c1",
    "test_subset3": "8f4cd1c842b12d4282a865d83a7f960745c1b67d221c32a75ca3d0c99f0af471",
    "test_subset4": "0efa3be49a357d83f60f5c9164350503e92b357a72d0ff461f865e47f6f91171",
}

PUBLISHED.register("deepweeds")(
    Published(
        name="deepweeds",
        domain="natural",
        n_classes=9,
        counts={"all": 17_509},
        licence="CC BY 4.0",
        citation="Olsen et al., DeepWeeds: a multiclass weed species image dataset for deep learning, "
        "Scientific Reports 2019",
        homepage="https://github.com/AlexOlsen/DeepWeeds",
        layout="images/*.jpg, labels/labels.csv, labels/train_subset0.csv … test_subset4.csv",
        split_rule="70 % train, 30 % test of each class, by the SHA-256 of deepweeds/ID; "
        "deepweeds:0 to deepweeds:4 are the authors' 60/20/20 folds",
        read=read_deepweeds,
        marks=("images", "labels.csv|labels/labels.csv"),
        downloads=(
            Download(
                "https://nextcloud.qriscloud.org.au/index.php/s/a3KxPawpqkiorST/download",
                "images.zip",
                into="images",
            ),
            *(
                Download(f"{_URL}/{name}.csv", f"{name}.csv", digest=f"sha256:{digest}", into="labels")
                for name, digest in _DIGESTS.items()
            ),
        ),
        options={str(fold): Option(partial(read_deepweeds, fold=fold)) for fold in _FOLDS},
        size_bytes=900_000_000,
    )
)


# Flowers-102: flowers of Britain. Ids and labels start at 1 in the archive; labels start at 0 here.

_FLOWERS102_SPLITS = {"train": "trnid", "val": "valid", "test": "tstid"}


def read_flowers102(folder: Path) -> Listing:
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
    for split, key in _FLOWERS102_SPLITS.items():
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


_FLOWERS102_URL = "https://www.robots.ox.ac.uk/~vgg/data/flowers/102/"

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
        read=read_flowers102,
        marks=("jpg", "imagelabels.mat", "setid.mat"),
        downloads=(
            Download(
                f"{_FLOWERS102_URL}102flowers.tgz",
                "102flowers.tgz",
                344_862_509,
                "md5:52808999861908f626f3c1f4e79d11fa",
            ),
            Download(
                f"{_FLOWERS102_URL}imagelabels.mat", "imagelabels.mat", digest="md5:e0620be6f572b9609742df49c70aed4d"
            ),
            Download(f"{_FLOWERS102_URL}setid.mat", "setid.mat", digest="md5:a5357ecc9cb78c4bef273ce3793fc85c"),
        ),
        metric="mean_per_class",
        size_bytes=350_000_000,
    )
)
