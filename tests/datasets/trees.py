"""Small data sets in the layouts of the real archives, traps included, as an unpacker leaves them.

``TREES[name](folder)`` writes below ``folder``, which stands for ``<data folder>/<name>``.
"""

import csv
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

TREES: dict[str, Callable[[Path], None]] = {}

CHESTX = ("Atelectasis", "Cardiomegaly", "Effusion", "Infiltration", "Mass", "Nodule", "Pneumothorax")
ISIC = ("MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC")


def tree(name: str):
    def add(write: Callable[[Path], None]) -> Callable[[Path], None]:
        TREES[name] = write
        return write

    return add


def picture(path: Path, label: int, *, size: tuple[int, int] = (20, 16), mode: str = "RGB") -> None:
    """Write an image whose colour and bright bar tell its class, and whose grain tells its path."""
    rng = np.random.default_rng([label, *os.fsencode(Path(*path.parts[-3:]))])
    colour = np.random.default_rng(label).integers(40, 216, 3)
    pixels = (colour + rng.integers(-30, 31, (size[1], size[0], 3))).clip(0, 255).astype(np.uint8)
    pixels[2 * label % size[1]] = 255
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).convert(mode).save(path)


def class_folders(folder: Path, counts: dict[str, int], *, extension: str = "jpg", of: int = 0) -> None:
    """``folder/CLASS/CLASS_1.jpg`` and so on; as many folders as the set has classes, the others empty."""
    empty_folders(folder, of - len(counts))
    for label, (name, count) in enumerate(counts.items()):
        for number in range(1, count + 1):
            picture(folder / name / f"{name}_{number}.{extension}", label)


def empty_folders(folder: Path, count: int) -> None:
    """Create the folders of classes without images."""
    for number in range(count):
        (folder / f"without_images_{number:03}").mkdir(parents=True)


def table(path: Path, header: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([list(header), *map(list, rows)])


@tree("cropdisease")
def cropdisease(folder: Path) -> None:
    names = ("Apple___Apple_scab", "Apple___healthy", "Corn_(maize)___Northern_Leaf_Blight")
    class_folders(folder / "dataset/train", dict.fromkeys(names, 8), extension="JPG", of=38)
    class_folders(folder / "dataset/test", dict.fromkeys(names, 3), extension="JPG")


@tree("deepweeds")
def deepweeds(folder: Path) -> None:
    species = ("Chinee apple", "Lantana", "Negative")
    names = {0: 0, 1: 1, 8: 2}  # label → place in species
    rows = []
    for label, place in names.items():
        for number in range(15):
            name = f"2017{label:02}{number:02}-154924-{number % 4}.jpg"
            picture(folder / "images" / name, label)
            rows.append((name, label, species[place]))
    table(folder / "labels/labels.csv", ("Filename", "Label", "Species"), rows)
    for fold in range(5):
        of = {"train": (0, 1, 2), "val": (3,), "test": (4,)}
        for split, remainders in of.items():
            part = [row[:2] for n, row in enumerate(rows) if (n + fold) % 5 in remainders]
            table(folder / f"labels/{split}_subset{fold}.csv", ("Filename", "Label"), part)


@tree("flowers102")
def flowers102(folder: Path) -> None:
    labels = np.array([1 + n // 12 for n in range(36)])  # counted from one
    for number, label in enumerate(labels, start=1):
        picture(folder / f"jpg/image_{number:05}.jpg", int(label))
    savemat(folder / "imagelabels.mat", {"labels": labels[None].astype(np.uint8)})
    numbers = np.arange(1, 37)
    ways = {"trnid": numbers[::3], "valid": numbers[1::3], "tstid": numbers[2::3]}
    savemat(folder / "setid.mat", {key: ids[None].astype(np.uint16) for key, ids in ways.items()})


@tree("eurosat")
def eurosat(folder: Path) -> None:
    class_folders(folder / "2750", {"AnnualCrop": 12, "Forest": 10, "SeaLake": 14}, of=10)


@tree("resisc45")
def resisc45(folder: Path) -> None:
    class_folders(folder / "NWPU-RESISC45", {"airplane": 10, "airport": 10, "beach": 10}, of=45)


@tree("omniglot")
def omniglot(folder: Path) -> None:
    for part, alphabets in {"background": ("Greek", "Latin"), "evaluation": ("Angelic", "Tibetan")}.items():
        for a, alphabet in enumerate(alphabets):
            for character in (1, 2):
                for drawer in range(1, 21):
                    place = folder / f"images_{part}/{alphabet}/character{character:02}"
                    ink(place / f"{100 * a + character:04}_{drawer:02}.png", 2 * a + character)


def ink(path: Path, label: int) -> None:
    """Dark strokes on white, in one bit, as Omniglot's."""
    rng = np.random.default_rng([label, *path.name.encode()])
    pixels = np.full((25, 25), 255, np.uint8)
    pixels[4 * label : 4 * label + 3, 4:20] = 0
    pixels[rng.integers(25, size=9), rng.integers(25, size=9)] = 0
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).convert("1").save(path)


@tree("svhn")
def svhn(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for split, per_class in {"train": 8, "test": 3}.items():
        labels = np.repeat((1, 2, 10), per_class)  # ten stands for zero
        rng = np.random.default_rng([per_class, 7])
        bright = 20 * labels[:, None, None, None] + rng.integers(-15, 16, (len(labels), 32, 32, 3))
        images = bright.clip(0, 255).astype(np.uint8).transpose(1, 2, 3, 0)
        savemat(folder / f"{split}_32x32.mat", {"X": images, "y": labels[:, None].astype(np.uint8)})


@tree("isic")
def isic(folder: Path) -> None:
    rows = []
    for number in range(7 * 8):
        label = number % 7
        name = f"ISIC_{24306 + number:07}"
        picture(folder / f"ISIC2018_Task3_Training_Input/{name}.jpg", label)
        rows.append((name, *(float(one == label) for one in range(7))))
    for name in ("LICENSE.txt", "ATTRIBUTION.txt"):
        (folder / "ISIC2018_Task3_Training_Input" / name).write_text("CC-BY-NC", encoding="utf-8")
    truth = "ISIC2018_Task3_Training_GroundTruth"
    table(folder / truth / f"{truth}.csv", ("image", *ISIC), rows)


@tree("chestx")
def chestx(folder: Path) -> None:
    findings = [name for name in CHESTX for _ in range(8)]
    findings += ["No Finding", "Pneumonia", "Mass|Nodule", "Cardiomegaly|Effusion|Edema", "Hernia"]
    rows = []
    for number, finding in enumerate(findings):
        name = f"{number:08}_000.png"
        place = folder / f"images_{1 + number % 3:03}/images"
        label = CHESTX.index(finding) if finding in CHESTX else 9
        picture(place / name, label, mode="RGBA" if number == 3 else "L")  # some of the real ones are RGBA
        rows.append((name, finding, 0, number, "058Y", "M", "PA", 2682, 2749, 0.143, 0.143))
    header = ("Image Index", "Finding Labels", "Follow-up #", "Patient ID", "Patient Age", "Patient Gender")
    table(
        folder / "Data_Entry_2017.csv",
        (*header, "View Position", "OriginalImage[Width", "Height]", "OriginalImagePixelSpacing[x", "y]"),
        rows,
    )


@tree("kaokore")
def kaokore(folder: Path) -> None:
    rows, number = [], 0
    for split, count in {"train": 6, "dev": 2, "test": 3}.items():
        for gender in (0, 1):
            for status in (0, 1, 2, 3):
                for _ in range(count):
                    name = f"{number:08}.jpg"
                    rows.append((name, gender, status, split))
                    if number % 29 != 5:  # the others have vanished from the web
                        picture(folder / "images_256" / name, 4 * gender + status)
                    number += 1
    table(folder / "labels.csv", ("image", "gender", "status", "set"), rows)


@tree("sketch")
def sketch(folder: Path) -> None:
    empty_folders(folder / "sketch", 997)
    for label, synset in enumerate(("n01440764", "n01443537", "n01484850")):
        for number in range(10):
            picture(folder / "sketch" / synset / f"sketch_{number}.JPEG", label, mode="L")


@tree("dtd")
def dtd(folder: Path) -> None:
    names = ("banded", "blotchy", "zigzagged")
    empty_folders(folder / "dtd/images", 44)
    ids = [f"{name}/{name}_{number:04}.jpg" for name in names for number in range(2, 17)]
    for one in ids:
        picture(folder / "dtd/images" / one, names.index(one.split("/")[0]))
    (folder / "dtd/labels").mkdir(parents=True)
    for fold in range(1, 11):
        for place, split in enumerate(("train", "val", "test")):
            part = [one for n, one in enumerate(ids) if (n + fold) % 3 == place]
            (folder / f"dtd/labels/{split}{fold}.txt").write_text("\n".join(part) + "\n", encoding="utf-8")
