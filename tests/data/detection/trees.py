"""Tiny detection sets in the layouts that their archives unpack to, and those archives."""

import json
import tarfile
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

CATEGORIES = [{"id": 90, "name": "toothbrush"}, {"id": 1, "name": "person"}, {"id": 13, "name": "stop sign"}]
WIDTH, HEIGHT = 40, 24

OBJECT = (
    "<object><name>{name}</name><pose>Left</pose><truncated>0</truncated><difficult>{difficult}</difficult>"
    "<bndbox><xmin>{0}</xmin><ymin>{1}</ymin><xmax>{2}</xmax><ymax>{3}</ymax></bndbox>{parts}</object>"
)


def an_object(name, box, difficult=0, parts=""):
    return OBJECT.format(*box, name=name, difficult=difficult, parts=parts)


def annotation(stem, objects, size=(20, 12)):
    return (
        f"<annotation><folder>VOC</folder><filename>{stem}.jpg</filename><size><width>{size[0]}</width>"
        f"<height>{size[1]}</height><depth>3</depth></size><segmented>0</segmented>{objects}</annotation>"
    )


def marked(number, image, box, category=1, crowd=0, **more):
    return {
        "id": number, "image_id": image, "bbox": box, "category_id": category, "iscrowd": crowd, **more
    }  # fmt: skip


def picture(path, seed):
    """A picture that no other looks like."""
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC).save(path)


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


VOC_LISTS = {("VOC2007", "trainval"): "123", ("VOC2012", "trainval"): "45", ("VOC2007", "test"): "678"}
VOC_ARCHIVES = {
    "VOCtrainval_06-Nov-2007.tar": ("VOC2007", "trainval"),
    "VOCtest_06-Nov-2007.tar": ("VOC2007", "test"),
    "VOCtrainval_11-May-2012.tar": ("VOC2012", "trainval"),
}


def voc_tree(folder):
    """Write five training and three test images: a dog in each, and a difficult person in all but the last."""
    for (year, name), digits in VOC_LISTS.items():
        place = folder / "VOCdevkit" / year
        write(place / "ImageSets/Main" / f"{name}.txt", "".join(f"00000{digit}\n" for digit in digits))
        write(place / "ImageSets/Main" / f"dog_{name}.txt", "000001  1\n")
        for digit in digits:
            objects = an_object("dog", (1, 1, int(digit), 12))
            if digit != "8":
                objects += an_object("person", (3, 2, 20, 5), difficult=1)
            write(
                place / "Annotations" / f"00000{digit}.xml",
                annotation(f"00000{digit}", objects, (WIDTH, HEIGHT)),
            )
            picture(place / "JPEGImages" / f"00000{digit}.jpg", int(digit))
    return folder


def voc_archives(tree, folder):
    """The three tars, each with the images of its list."""
    folder.mkdir(parents=True)
    for file, (year, name) in VOC_ARCHIVES.items():
        with tarfile.open(folder / file, "w") as packed:
            for path in sorted((tree / "VOCdevkit" / year).rglob("*.*")):
                if path.stem[-1] in VOC_LISTS[year, name] or path.stem.endswith(name):
                    packed.add(path, path.relative_to(tree).as_posix())
    return folder


def coco_tree(folder):
    """Three images of train and two of val; the last of each without objects."""
    for part, numbers in {"train2017": (1, 2, 3), "val2017": (4, 5)}.items():
        images = [
            {"id": number, "file_name": f"{number:012}.jpg", "height": HEIGHT, "width": WIDTH} for number in numbers
        ]
        marks = [
            mark
            for number in numbers[:-1]
            for mark in (
                marked(10 * number, number, [1, 2, 3, 4], 90, area=6.5),
                marked(10 * number + 1, number, [0, 0, 16, 10], 13, crowd=1),
                marked(10 * number + 2, number, [5, 5, 9, 9]),
            )
        ]
        content = {"info": {}, "images": images, "annotations": marks, "categories": CATEGORIES}
        write(folder / "annotations" / f"instances_{part}.json", json.dumps(content))
        write(folder / "annotations" / f"captions_{part}.json", "{}")
        for number in numbers:
            picture(folder / part / f"{number:012}.jpg", 100 + number)
    return folder


def coco_archives(tree, folder):
    """The three zips."""
    folder.mkdir(parents=True)
    for file, top in {
        "train2017.zip": "train2017",
        "val2017.zip": "val2017",
        "annotations_trainval2017.zip": "annotations",
    }.items():
        with zipfile.ZipFile(folder / file, "w") as packed:
            for path in sorted((tree / top).iterdir()):
                packed.write(path, path.relative_to(tree).as_posix())
    return folder


TREES = {"voc0712": (voc_tree, voc_archives), "coco": (coco_tree, coco_archives)}
"""Name → writes the set into a folder; packs that folder's archives into another."""


def archives_of(name, place: Path) -> Path:
    """A folder below ``place`` that holds the archives of a set."""
    tree, archives = TREES[name]
    return archives(tree(place / f"{name}-tree"), place / f"{name}-archives")
