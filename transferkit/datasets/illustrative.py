"""Illustrations of the study: Kaokore and Sketch."""

from pathlib import Path

from ..core.errors import DataError
from ..data.published import PUBLISHED, Listing, Published, Rows
from ..download.publication import Download
from .contents import Contents, class_folders, images_by_name, left_out, only_present, require_unique

# KaoKore: faces from Japanese picture scrolls of the 16th and 17th century.
#
# The images are fetched one by one from libraries, and some no longer exist: labels without an image are left out
# and counted. The class combines the gender and the status.

KAOKORE_GENDERS = ("male", "female")
KAOKORE_STATUSES = ("noble", "warrior", "incarnation", "commoner")
KAOKORE_CLASSES = tuple(f"{gender} {status}" for gender in KAOKORE_GENDERS for status in KAOKORE_STATUSES)
_SPLITS = {"train": "train", "dev": "val", "test": "test"}


def read_kaokore(folder: Path) -> Listing:
    """List ``labels.csv`` with the columns image, gender, status and set, and ``images_256/00000001.jpg``."""
    contents = Contents.of(folder)
    table = contents.table("labels.csv", columns=("image", "gender", "status", "set"))
    require_unique(contents, (row["image"] for row in table), "labels.csv")
    parts: dict[str, Rows] = {split: {} for split in _SPLITS.values()}
    for row in table:
        split, label = _parse_row(row, folder)
        parts[split][row["image"]] = label
    named = images_by_name(contents)
    present = {split: only_present(rows, named) for split, rows in parts.items()}
    return Listing(present, KAOKORE_CLASSES, left_out(parts, named), named)


def _parse_row(row: dict[str, str], folder: Path) -> tuple[str, int]:
    """Return the split and the label of a row of the table."""
    try:
        gender, status = int(row["gender"]), int(row["status"])
        if gender not in (0, 1) or status not in (0, 1, 2, 3):
            raise ValueError
        return _SPLITS[row["set"]], len(KAOKORE_STATUSES) * gender + status
    except (KeyError, TypeError, ValueError) as error:
        words = ", ".join(f"{name} {row[name]}" for name in ("gender", "status", "set"))
        raise DataError(
            f"{folder}: labels.csv has invalid values for {row['image']}: {words}. "
            "Take the file from the published archive."
        ) from error


PUBLISHED.register("kaokore")(
    Published(
        name="kaokore",
        domain="illustrative",
        n_classes=8,
        counts={"train": 6_568, "val": 826, "test": 821},
        licence="CC BY-SA 4.0",
        citation="Tian et al., KaoKore: a pre-modern Japanese art facial expression dataset, ICCC 2020",
        homepage="https://github.com/rois-codh/kaokore",
        layout="labels.csv, images_256/*.jpg",
        split_rule="train, dev and test of labels.csv; counts are of version 1.1, which Islam et al. used; "
        "they fit linear probes on train alone, and draw few-shot episodes from train and test",
        read=read_kaokore,
        marks=("labels.csv", "images_256"),
        steps=(
            "git clone https://github.com/rois-codh/kaokore",
            "In it run: python3 download.py --dataset_version 1.1 (the publishers ask to pass on no images).",
            "Run: transferkit datasets prepare kaokore --from FOLDER, the folder that it wrote.",
        ),
        size_bytes=130_000_000,
    )
)


# ImageNet-Sketch: black-and-white drawings of the 1000 classes of ImageNet.


def read_sketch(folder: Path) -> Listing:
    """List ``sketch/n01440764/sketch_0.JPEG``; classes are WordNet ids, in the order of ImageNet."""
    return class_folders(Contents.of(folder))


PUBLISHED.register("sketch")(
    Published(
        name="sketch",
        domain="illustrative",
        n_classes=1000,
        counts={"all": 50_889},
        licence="MIT for the repository; the drawings come from image searches and keep their owners' rights",
        citation="Wang et al., Learning robust global representations by penalizing local predictive power, "
        "NeurIPS 2019",
        homepage="https://github.com/HaohanWang/ImageNet-Sketch",
        layout="sketch/SYNSET/*.JPEG",
        split_rule="70 % train, 30 % test of each class, by the SHA-256 of sketch/ID",
        read=read_sketch,
        marks=("n01440764",),
        class_folders=True,
        downloads=(
            Download(
                "https://huggingface.co/datasets/songweig/imagenet_sketch/resolve/main/data/ImageNet-Sketch.zip",
                "ImageNet-Sketch.zip",
                7_593_573_012,
                # from dataset_infos.json in Hugging Face's datasets, for this file of this repository
                "sha256:4d3ce6b82a7c48aabf14aeac105eb533e75707f152cc858f55bfc022031a72ed",
            ),
        ),
        size_bytes=8_200_000_000,
    )
)
