"""KaoKore: faces from Japanese picture scrolls of the 16th and 17th century.

The images are fetched one by one from libraries, and some no longer exist: labels without an image are left out
and counted. The class combines the gender and the status.
"""

from pathlib import Path

from ..core.errors import DataError
from ..data.published import PUBLISHED, Listing, Published, Rows
from .contents import Contents, images_by_name, left_out, only_present, require_unique

GENDERS = ("male", "female")
STATUSES = ("noble", "warrior", "incarnation", "commoner")
CLASSES = tuple(f"{gender} {status}" for gender in GENDERS for status in STATUSES)
_SPLITS = {"train": "train", "dev": "val", "test": "test"}


def read(folder: Path) -> Listing:
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
    return Listing(present, CLASSES, left_out(parts, named), named)


def _parse_row(row: dict[str, str], folder: Path) -> tuple[str, int]:
    """Return the split and the label of a row of the table."""
    try:
        gender, status = int(row["gender"]), int(row["status"])
        if gender not in (0, 1) or status not in (0, 1, 2, 3):
            raise ValueError
        return _SPLITS[row["set"]], len(STATUSES) * gender + status
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
        read=read,
        marks=("labels.csv", "images_256"),
        steps=(
            "git clone https://github.com/rois-codh/kaokore",
            "In it run: python3 download.py --dataset_version 1.1 (the publishers ask to pass on no images).",
            "Run: transferkit datasets prepare kaokore --from FOLDER, the folder that it wrote.",
        ),
        size_bytes=130_000_000,
    )
)
