"""ISIC 2018, task 3: skin lesions under the dermatoscope (HAM10000).

Several images can show one lesion; the split of the study is by image, so that a lesion can be in train and test.
"""

from pathlib import Path

from ..core.errors import DataError
from ..data.published import PUBLISHED, WHOLE, Listing, Published
from ..download.publication import Download
from .contents import Contents, images_by_name, left_out, only_present, require_unique

CLASSES = ("MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC")
_TRUTH = "ISIC2018_Task3_Training_GroundTruth"


def read(folder: Path) -> Listing:
    """List ``ISIC2018_Task3_Training_Input/ISIC_0024306.jpg`` and the one-hot table of the ground truth."""
    contents = Contents.of(folder)
    table = contents.table(f"{_TRUTH}.csv", columns=("image", *CLASSES))
    require_unique(contents, (row["image"] for row in table), f"{_TRUTH}.csv")
    rows = {f"{row['image']}.jpg": _label(row, folder) for row in table}
    named = images_by_name(contents)
    return Listing({WHOLE: only_present(rows, named)}, CLASSES, left_out({WHOLE: rows}, named), named)


def _label(row: dict[str, str], folder: Path) -> int:
    """Return the only class whose column is 1."""
    try:
        marked = [label for label, name in enumerate(CLASSES) if float(row[name])]
    except (TypeError, ValueError):
        marked = []
    if len(marked) != 1:
        raise DataError(
            f"{folder}: {_TRUTH}.csv marks {len(marked)} classes of {row['image']}, not one. "
            "Take the file from the published archive."
        )
    return marked[0]


_URL = "https://isic-challenge-data.s3.amazonaws.com/2018/"

PUBLISHED.register("isic")(
    Published(
        name="isic",
        domain="medical",
        n_classes=7,
        counts={"all": 10_015},
        licence="CC BY-NC 4.0",
        citation="Codella et al., Skin lesion analysis toward melanoma detection 2018, arXiv 1902.03368; "
        "Tschandl, Rosendahl and Kittler, The HAM10000 dataset, Scientific Data 2018",
        homepage="https://challenge.isic-archive.com/data/#2018",
        layout="ISIC2018_Task3_Training_Input/*.jpg, ISIC2018_Task3_Training_GroundTruth/*.csv",
        split_rule="70 % train, 30 % test of each class, by the SHA-256 of isic/ID; one lesion can be in both",
        read=read,
        marks=("ISIC2018_Task3_Training_Input", f"{_TRUTH}|{_TRUTH}.csv"),
        downloads=(
            Download(f"{_URL}ISIC2018_Task3_Training_Input.zip", "ISIC2018_Task3_Training_Input.zip"),
            Download(f"{_URL}{_TRUTH}.zip", f"{_TRUTH}.zip"),
        ),
        size_bytes=2_800_000_000,
    )
)
