"""Medical images of the study: ISIC and ChestX."""

from collections import Counter
from pathlib import Path

from ..core.errors import DataError
from ..core.wording import counted
from ..data.published import PUBLISHED, WHOLE, Listing, Published
from ..download.publication import Download
from .contents import Contents, images_by_name, left_out, only_present, require_unique

# ISIC 2018, task 3: skin lesions under the dermatoscope (HAM10000).
#
# Several images can show one lesion; the split of the study is by image, so that a lesion can be in train and test.

ISIC_CLASSES = ("MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC")
_TRUTH = "ISIC2018_Task3_Training_GroundTruth"


def read_isic(folder: Path) -> Listing:
    """List ``ISIC2018_Task3_Training_Input/ISIC_0024306.jpg`` and the one-hot table of the ground truth."""
    contents = Contents.of(folder)
    table = contents.table(f"{_TRUTH}.csv", columns=("image", *ISIC_CLASSES))
    require_unique(contents, (row["image"] for row in table), f"{_TRUTH}.csv")
    rows = {f"{row['image']}.jpg": _label(row, folder) for row in table}
    named = images_by_name(contents)
    return Listing({WHOLE: only_present(rows, named)}, ISIC_CLASSES, left_out({WHOLE: rows}, named), named)


def _label(row: dict[str, str], folder: Path) -> int:
    """Return the only class whose column is 1."""
    try:
        marked = [label for label, name in enumerate(ISIC_CLASSES) if float(row[name])]
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
        read=read_isic,
        marks=("ISIC2018_Task3_Training_Input", f"{_TRUTH}|{_TRUTH}.csv"),
        downloads=(
            Download(f"{_URL}ISIC2018_Task3_Training_Input.zip", "ISIC2018_Task3_Training_Input.zip"),
            Download(f"{_URL}{_TRUTH}.zip", f"{_TRUTH}.zip"),
        ),
        size_bytes=2_800_000_000,
    )
)


# ChestX: frontal X-rays of the chest with one of seven findings (NIH ChestX-ray14).
#
# Only images with exactly one of the seven findings of the study are used: ``A|B`` has several, and Pneumonia and
# ``No Finding`` are not among the seven. Images of one patient can be in train and in test, as in the study.

CHESTX_CLASSES = ("Atelectasis", "Cardiomegaly", "Effusion", "Infiltration", "Mass", "Nodule", "Pneumothorax")
_TABLES = ("Data_Entry_2017.csv", "Data_Entry_2017_v2020.csv")


def read_chestx(folder: Path) -> Listing:
    """List ``Data_Entry_2017.csv`` and the images in ``images`` or in ``images_001`` to ``images_012``."""
    contents = Contents.of(folder)
    table = contents.table(*_TABLES, columns=("Image Index", "Finding Labels"))
    require_unique(contents, (row["Image Index"] for row in table), "the table of findings")
    rows, others = {}, Counter[str]()
    for row in table:
        finding = row["Finding Labels"]
        if finding in CHESTX_CLASSES:
            rows[row["Image Index"]] = CHESTX_CLASSES.index(finding)
        else:
            others["several findings" if "|" in finding else finding] += 1
    named = images_by_name(contents)
    notes = [f"{counted(count, 'image')} left out: {finding}" for finding, count in others.most_common()]
    listed = {row["Image Index"] for row in table}
    notes += left_out({WHOLE: rows}, (name for name in named if name in rows or name not in listed))
    return Listing({WHOLE: only_present(rows, named)}, CHESTX_CLASSES, tuple(notes), named)


PUBLISHED.register("chestx")(
    Published(
        name="chestx",
        domain="medical",
        n_classes=7,
        counts={"all": 25_848},
        licence="no restrictions on use; NIH asks for a link, the citation and an acknowledgement",
        citation="Wang et al., ChestX-ray8: hospital-scale chest X-ray database and benchmarks on "
        "weakly-supervised classification and localization of common thorax diseases, CVPR 2017",
        homepage="https://nihcc.app.box.com/v/ChestXray-NIHCC",
        layout="Data_Entry_2017.csv (or …_v2020.csv), images/*.png or images_001/images/*.png …",
        split_rule="70 % train, 30 % test of each class, by the SHA-256 of chestx/ID; one patient can be in both",
        read=read_chestx,
        marks=("|".join(_TABLES), "images|images_001"),
        steps=(
            "Open https://nihcc.app.box.com/v/ChestXray-NIHCC, or nih-chest-xrays/data on Kaggle (45 GB).",
            "Download Data_Entry_2017.csv (or Data_Entry_2017_v2020.csv) and the twelve archives of images.",
            "Run: transferkit datasets prepare chestx --from FOLDER, which holds them.",
        ),
        size_bytes=45_000_000_000,
    )
)
