"""Small data sets in the layouts of the archives that torchvision reads too, as an unpacker leaves them."""

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.io import savemat

from tests.datasets.trees import class_folders, picture
from transferkit.data.vocdevkit import CLASSES as VOC_CLASSES

TREES: dict[str, Callable[[Path], None]] = {}


def tree(write: Callable[[Path], None]) -> Callable[[Path], None]:
    TREES[write.__name__] = write
    return write


def lines(path: Path, rows) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")


def _batch(path: Path, key: str, labels: list[int]) -> None:
    rng = np.random.default_rng(labels)
    path.parent.mkdir(parents=True, exist_ok=True)
    data = rng.integers(0, 60, (len(labels), 3072)) + 20 * np.array(labels)[:, None] % 180
    path.write_bytes(pickle.dumps({"data": data.astype(np.uint8), key: labels}))


@tree
def cifar10(folder: Path) -> None:
    base = folder / "cifar-10-batches-py"
    for number in range(1, 6):
        _batch(base / f"data_batch_{number}", "labels", list(range(10)))
    _batch(base / "test_batch", "labels", [*range(9, -1, -1), 3])
    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    (base / "batches.meta").write_bytes(pickle.dumps({"label_names": names}))


@tree
def cifar100(folder: Path) -> None:
    base = folder / "cifar-100-python"
    _batch(base / "train", "fine_labels", [*range(100)] * 2)
    _batch(base / "test", "fine_labels", [*range(99, -1, -1)])
    (base / "meta").write_bytes(pickle.dumps({"fine_label_names": [f"thing {n:03}" for n in range(100)]}))


@tree
def food101(folder: Path) -> None:
    base = folder / "food-101"
    names = ("apple_pie", "baklava", "waffles")
    class_folders(base / "images", dict.fromkeys(names, 8), of=101)
    lines(base / "meta/classes.txt", names)
    for split, numbers in {"train": range(1, 7), "test": range(7, 9)}.items():
        lines(base / f"meta/{split}.txt", [f"{name}/{name}_{n}" for name in reversed(names) for n in numbers])
        (base / f"meta/{split}.json").write_text(
            "{" + ",".join(f'"{n}": {[f"{n}/{n}_{i}" for i in numbers]}' for n in names).replace("'", '"') + "}"
        )


@tree
def sun397(folder: Path) -> None:
    base = folder / "SUN397"
    names = ("/a/abbey", "/a/apartment_building/outdoor", "/z/zoo")
    lines(base / "ClassName.txt", names)
    for label, name in enumerate(names):
        for number in range(8):
            picture(base / name[1:] / f"sun_a{label}{number}.jpg", label)
    for split, numbers in {"Training": range(5), "Testing": range(5, 8)}.items():
        rows = [f"{name}/sun_a{label}{n}.jpg" for label, name in enumerate(names) for n in numbers]
        lines(folder / f"Partitions/{split}_01.txt", rows)


@tree
def cars(folder: Path) -> None:
    names = ["AM General Hummer SUV 2000", "Acura RL Sedan 2012", "smart fortwo Convertible 2012"]
    (folder / "devkit").mkdir(parents=True)
    savemat(folder / "devkit/cars_meta.mat", {"class_names": np.array(names, dtype=object)[None]})
    kind = [(key, object) for key in ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2", "class", "fname")]
    for split, count in {"train": 18, "test": 9}.items():
        rows = []
        for number in range(1, count + 1):
            label = 1 + number % 3
            picture(folder / f"cars_{split}/{number:05}.jpg", label)
            rows.append((1, 2, 3, 4, label, f"{number:05}.jpg"))
        table = "devkit/cars_train_annos.mat" if split == "train" else "cars_test_annos_withlabels.mat"
        savemat(folder / table, {"annotations": _struct(rows, kind)})


def _struct(rows, kind):
    table = np.empty((1, len(rows)), dtype=kind)
    for place, row in enumerate(rows):
        table[0, place] = row
    return table


@tree
def aircraft(folder: Path) -> None:
    base = folder / "fgvc-aircraft-2013b/data"
    names = ("707-320", "A300B4", "Yak-42 of two words")
    lines(base / "variants.txt", names)
    for place, split in enumerate(("train", "val", "test")):
        rows = [(f"{100 * place + n:07}", names[n % 3]) for n in range(9)]
        for image, name in rows:
            picture(base / f"images/{image}.jpg", names.index(name))
        lines(base / f"images_variant_{split}.txt", [f"{image} {name}" for image, name in reversed(rows)])


@tree
def pets(folder: Path) -> None:
    names = ("Abyssinian", "american_bulldog", "yorkshire_terrier")
    for label, name in enumerate(names):
        for number in range(1, 10):
            picture(folder / f"images/{name}_{number}.jpg", label)
            picture(folder / f"annotations/trimaps/{name}_{number}.png", label, mode="L")
    for split, numbers in {"trainval": range(1, 7), "test": range(7, 10)}.items():
        rows = [f"{name}_{n} {1 + label} 1 1" for label, name in enumerate(names) for n in numbers]
        lines(folder / f"annotations/{split}.txt", rows)


@tree
def caltech101(folder: Path) -> None:
    counts = {"BACKGROUND_Google": 33, "accordion": 36, "airplanes": 40}
    class_folders(folder / "caltech101/101_ObjectCategories", counts, of=102)


@tree
def cub200(folder: Path) -> None:
    base = folder / "CUB_200_2011"
    names = ("001.Black_footed_Albatross", "002.Laysan_Albatross", "003.Sooty_Albatross")
    class_folders(base / "images", dict.fromkeys(names, 9))
    ids = [f"{name}/{name}_{n}.jpg" for name in names for n in range(1, 10)]
    lines(base / "classes.txt", [f"{1 + n} {name}" for n, name in enumerate(names)])
    lines(base / "images.txt", [f"{1 + n} {one}" for n, one in enumerate(ids)])
    lines(base / "image_class_labels.txt", [f"{1 + n} {1 + n // 9}" for n in range(27)])
    lines(base / "train_test_split.txt", [f"{1 + n} {int(n % 9 < 6)}" for n in range(27)])


@tree
def voc2007(folder: Path) -> None:
    """Dogs, persons and chairs; chairs of every fifth image are difficult, and image 1 shows nothing."""
    base = folder / "VOCdevkit/VOC2007"
    for split, numbers in {"train": range(1, 25), "val": range(25, 41), "test": range(41, 71)}.items():
        lists = base / "ImageSets/Main"
        lines(lists / f"{split}.txt", [f"{number:06}" for number in numbers])
        for name in VOC_CLASSES:
            rows = [(number, voc_label(name, number)) for number in numbers]
            lines(lists / f"{name}_{split}.txt", [f"{number:06} {label:2}" for number, label in rows])
        for number in numbers:
            shown = sum(2**i for i, name in enumerate(_SHOWN) if voc_label(name, number) == 1)
            picture(base / f"JPEGImages/{number:06}.jpg", shown)
    lines(base / "ImageSets/Main/trainval.txt", [f"{number:06}" for number in range(1, 41)])
    lines(base / "Annotations/000001.xml", ["<annotation/>"])


_SHOWN = ("dog", "person", "chair")


def voc_label(name: str, number: int) -> int:
    """Return the label 1, 0 or -1 in the lists of the tree."""
    if name not in _SHOWN:
        return -1
    if name == "chair" and number % 5 == 0:
        return 0
    every = {"dog": 3, "person": 2, "chair": 7}[name]
    return 1 if number % every == 0 else -1
