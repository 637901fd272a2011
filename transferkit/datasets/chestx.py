"""ChestX: frontal X-rays of the chest with one of seven findings (NIH ChestX-ray14).

Only images with exactly one of the seven findings of the study are used: ``A|B`` has several, and Pneumonia and
``No Finding`` are not among the seven. Images of one patient can be in train and in test, as in the study.
"""

from collections import Counter
from pathlib import Path

from ..core.wording import counted
from ..data.published import PUBLISHED, WHOLE, Listing, Published
from .contents import Contents, images_by_name, left_out, only_present, require_unique

CLASSES = ("Atelectasis", "Cardiomegaly", "Effusion", "Infiltration", "Mass", "Nodule", "Pneumothorax")
_TABLES = ("Data_Entry_2017.csv", "Data_Entry_2017_v2020.csv")


def read(folder: Path) -> Listing:
    """List ``Data_Entry_2017.csv`` and the images in ``images`` or in ``images_001`` to ``images_012``."""
    contents = Contents.of(folder)
    table = contents.table(*_TABLES, columns=("Image Index", "Finding Labels"))
    require_unique(contents, (row["Image Index"] for row in table), "the table of findings")
    rows, others = {}, Counter[str]()
    for row in table:
        finding = row["Finding Labels"]
        if finding in CLASSES:
            rows[row["Image Index"]] = CLASSES.index(finding)
        else:
            others["several findings" if "|" in finding else finding] += 1
    named = images_by_name(contents)
    notes = [f"{counted(count, 'image')} left out: {finding}" for finding, count in others.most_common()]
    listed = {row["Image Index"] for row in table}
    notes += left_out({WHOLE: rows}, (name for name in named if name in rows or name not in listed))
    return Listing({WHOLE: only_present(rows, named)}, CLASSES, tuple(notes), named)


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
        read=read,
        marks=("|".join(_TABLES), "images|images_001"),
        steps=(
            "Open https://nihcc.app.box.com/v/ChestXray-NIHCC, or nih-chest-xrays/data on Kaggle (45 GB).",
            "Download Data_Entry_2017.csv (or Data_Entry_2017_v2020.csv) and the twelve archives of images.",
            "Run: transferkit datasets prepare chestx --from FOLDER, which holds them.",
        ),
        size_bytes=45_000_000_000,
    )
)
