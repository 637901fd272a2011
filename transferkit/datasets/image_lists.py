"""Food-101, SUN397, Aircraft, Pets and CUB-200: text files list the classes and splits of the images."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ..core.errors import DataError
from ..data.published import PUBLISHED, WHOLE, Listing, Option, Published, Rows
from ..download.publication import Download
from .contents import Contents, images_by_path_end, left_out, only_present


def read_food101(folder: Path) -> Listing:
    """List ``food-101/images/CLASS/1.jpg``, ``meta/train.txt`` and ``meta/test.txt``."""
    contents = Contents.of(folder)
    ids_of_split = {
        split: [f"{line}.jpg" for line in contents.lines(f"meta/{split}.txt")] for split in ("train", "test")
    }
    return _by_folder(ids_of_split, images_by_path_end(contents, 2))


def read_sun397(folder: Path) -> Listing:
    """List ``SUN397/a/abbey/sun_1.jpg``, ``ClassName.txt``, ``Training_01.txt`` and ``Testing_01.txt``."""
    contents = Contents.of(folder)
    files = {"train": "Training_01.txt", "test": "Testing_01.txt"}
    return _sun397(contents, {split: contents.lines(name) for split, name in files.items()})


def read_all_of_sun397(folder: Path) -> Listing:
    """List all images of SUN397, without the partitions."""
    return _sun397(Contents.of(folder), None)


def _sun397(contents: Contents, ids_of_split: Mapping[str, Sequence[str]] | None) -> Listing:
    names = [line.lstrip("/") for line in contents.lines("ClassName.txt")]  # a/abbey, a/apartment_building/outdoor
    number = {name: label for label, name in enumerate(names)}
    images = _below(contents, number)
    ids = {WHOLE: sorted(images)} if ids_of_split is None else ids_of_split
    parts: dict[str, Rows] = {}
    for split, lines in ids.items():
        parts[split] = {}
        for line in sorted(one.lstrip("/") for one in lines):
            if line.rpartition("/")[0] not in number:
                raise contents.missing(f"the class of {line} in ClassName.txt")
            parts[split][line] = number[line.rpartition("/")[0]]
    present = {split: only_present(rows, images) for split, rows in parts.items()}
    labelled = {one for rows in parts.values() for one in rows}
    notes = left_out(parts, labelled & images.keys())  # most images are in no partition
    return Listing(present, tuple(name[2:] for name in names), notes, images)


def _below(contents: Contents, classes: Iterable[str]) -> dict[str, str]:
    """Map ``CLASS/x.jpg`` to the path, where a class is two or three folders deep."""
    known, found = set(classes), {}
    for path in contents.images:
        pieces = path.split("/")
        for depth in (4, 3):
            if "/".join(pieces[-depth:-1]) in known:
                found["/".join(pieces[-depth:])] = path
                break
    return found


def read_aircraft(folder: Path) -> Listing:
    """List ``data/images/0034309.jpg``, ``data/variants.txt``, ``data/images_variant_train.txt`` and so on."""
    contents = Contents.of(folder)
    classes = tuple(contents.lines("variants.txt"))
    number = {name: label for label, name in enumerate(classes)}
    parts: dict[str, Rows] = {}
    for split in ("train", "val", "test"):
        rows = [line.partition(" ") for line in contents.lines(f"images_variant_{split}.txt")]
        if unknown := [variant for _, _, variant in rows if variant not in number]:
            raise contents.missing(f"the variant {unknown[0]!r} in variants.txt")
        parts[split] = {f"{name}.jpg": number[variant] for name, _, variant in sorted(rows)}
    return _present(parts, classes, _inside_images(contents))


def read_pets(folder: Path) -> Listing:
    """List ``images/Abyssinian_1.jpg``, ``annotations/trainval.txt`` and ``annotations/test.txt``."""
    contents = Contents.of(folder)
    ids_of_split = {
        split: [line.split() for line in contents.lines(f"annotations/{name}.txt")]
        for split, name in {"train": "trainval", "test": "test"}.items()
    }
    breeds = {int(row[1]): row[0].rpartition("_")[0] for rows in ids_of_split.values() for row in rows}
    number = {label: index for index, label in enumerate(sorted(breeds))}  # labels start at 1 in the files
    parts = {
        split: {f"{row[0]}.jpg": number[int(row[1])] for row in sorted(rows)} for split, rows in ids_of_split.items()
    }
    return _present(parts, tuple(breeds[label] for label in number), _inside_images(contents))


def read_cub200(folder: Path) -> Listing:
    """List ``images/CLASS/x.jpg``, ``images.txt``, ``image_class_labels.txt`` and ``train_test_split.txt``."""
    contents = Contents.of(folder)
    names = _numbered(contents, "images.txt")
    labels, in_train = (_numbered(contents, f"{name}.txt") for name in ("image_class_labels", "train_test_split"))
    species = _numbered(contents, "classes.txt")
    number = {label: index for index, label in enumerate(sorted(species, key=int))}
    if not names.keys() == labels.keys() == in_train.keys() or not set(labels.values()) <= species.keys():
        raise DataError(
            f"{folder}: images.txt, image_class_labels.txt, train_test_split.txt and classes.txt are inconsistent. "
            "Take all of them from the published archive."
        )
    parts: dict[str, Rows] = {"train": {}, "test": {}}
    for key, name in names.items():
        parts["train" if in_train[key] == "1" else "test"][name] = number[labels[key]]
    classes = tuple(species[label].partition(".")[2].replace("_", " ") for label in number)
    return _present(parts, classes, images_by_path_end(contents, 2))


def _inside_images(contents: Contents) -> dict[str, str]:
    """Map names to paths for files in ``images``, without masks in other folders."""
    placed = images_by_path_end(contents, 2)
    return {one.partition("/")[2]: path for one, path in placed.items() if one.startswith("images/")}


def _numbered(contents: Contents, name: str) -> dict[str, str]:
    """Map each number to the rest of its line."""
    return {line.split(" ", 1)[0]: line.partition(" ")[2] for line in contents.lines(name)}


def _by_folder(ids_of_split: Mapping[str, Sequence[str]], placed: Mapping[str, str]) -> Listing:
    """Build a listing in which the class of an image is its folder."""
    classes = tuple(sorted({one.partition("/")[0] for ids in ids_of_split.values() for one in ids}))
    number = {name: label for label, name in enumerate(classes)}
    parts = {split: {one: number[one.partition("/")[0]] for one in sorted(ids)} for split, ids in ids_of_split.items()}
    return _present(parts, classes, placed)


def _present(parts: Mapping[str, Rows], classes: tuple[str, ...], placed: Mapping[str, str]) -> Listing:
    """Build a listing of the existing images, with notes on the missing ones."""
    present = {split: only_present(rows, placed) for split, rows in parts.items()}
    return Listing(present, classes, left_out(parts, placed), placed)


_OXFORD = "https://www.robots.ox.ac.uk/~vgg/data/"
_SUN = "http://vision.princeton.edu/projects/2010/SUN"

for _one in (
    Published(
        name="food101",
        domain="natural",
        n_classes=101,
        counts={"train": 75_750, "test": 25_250},
        licence="for research; the images keep their owners' rights",
        citation="Bossard, Guillaumin and Van Gool, Food-101: mining discriminative components with random "
        "forests, ECCV 2014",
        homepage="https://data.vision.ee.ethz.ch/cvl/datasets_extra/food-101/",
        layout="food-101/images/CLASS/*.jpg, food-101/meta/train.txt, test.txt",
        split_rule="train and test as published",
        read=read_food101,
        marks=("images/apple_pie", "meta/train.txt"),
        class_folders=True,
        downloads=(
            Download(
                "http://data.vision.ee.ethz.ch/cvl/food-101.tar.gz",
                "food-101.tar.gz",
                4_996_278_331,
                "md5:85eeb15f3717b99a5da872d97d918f87",
            ),
        ),
        size_bytes=5_000_000_000,
        group="kornblith12",
    ),
    Published(
        name="sun397",
        domain="natural",
        n_classes=397,
        counts={"train": 19_850, "test": 19_850},
        licence="for research; the images keep their owners' rights",
        citation="Xiao et al., SUN database: large-scale scene recognition from abbey to zoo, CVPR 2010",
        homepage="https://vision.princeton.edu/projects/2010/SUN/",
        layout="SUN397/a/abbey/*.jpg, ClassName.txt; Training_01.txt, Testing_01.txt of Partitions.zip",
        split_rule="the first of the ten published partitions; sun397:all is all images, "
        "70 % train, 30 % test of each class, by the SHA-256 of sun397/ID",
        read=read_sun397,
        marks=("ClassName.txt", "Training_01.txt", "Testing_01.txt"),
        downloads=(
            Download(f"{_SUN}/SUN397.tar.gz", "SUN397.tar.gz", digest="md5:8ca2778205c41d23104230ba66911c7a"),
            Download(  # digest from torchvision's prototype of this data set
                f"{_SUN}/download/Partitions.zip",
                "Partitions.zip",
                digest="sha256:e3311ea5f812d4cc6faef194688343d1111f6cd6f70f2c62f393c2b8d6ba1ec9",
            ),
        ),
        options={"all": Option(read_all_of_sun397, counts={"all": 108_754})},
        size_bytes=39_000_000_000,
        group="kornblith12",
    ),
    Published(
        name="aircraft",
        domain="natural",
        n_classes=100,
        counts={"train": 3_334, "val": 3_333, "test": 3_333},
        licence="for non-commercial research",
        citation="Maji et al., Fine-grained visual classification of aircraft, arXiv 1306.5151, 2013",
        homepage=f"{_OXFORD}fgvc-aircraft/",
        layout="fgvc-aircraft-2013b/data/images/*.jpg, data/variants.txt, data/images_variant_*.txt",
        split_rule="train, val and test as published, by variant",
        read=read_aircraft,
        marks=("data/images", "data/variants.txt"),
        downloads=(
            Download(
                f"{_OXFORD}fgvc-aircraft/archives/fgvc-aircraft-2013b.tar.gz",
                "fgvc-aircraft-2013b.tar.gz",
                2_753_340_328,
                "md5:d4acdd33327262359767eeaa97a4f732",  # as R's torchvision and NEVIS'22 verify this address
            ),
        ),
        metric="mean_per_class",
        size_bytes=2_800_000_000,
        group="kornblith12",
    ),
    Published(
        name="pets",
        domain="natural",
        n_classes=37,
        counts={"train": 3_680, "test": 3_669},
        licence="CC BY-SA 4.0",
        citation="Parkhi et al., Cats and dogs, CVPR 2012",
        homepage=f"{_OXFORD}pets/",
        layout="images/*.jpg, annotations/trainval.txt, annotations/test.txt",
        split_rule="trainval and test as published",
        read=read_pets,
        marks=("images", "annotations/trainval.txt"),
        downloads=(
            Download(
                f"{_OXFORD}pets/data/images.tar.gz",
                "images.tar.gz",
                791_918_971,
                "md5:5c4f3ee8e5d25df40f4fd59a7f44e54c",
            ),
            Download(
                f"{_OXFORD}pets/data/annotations.tar.gz",
                "annotations.tar.gz",
                19_173_078,
                "md5:95a8c909bbe2e81eed6a22bccdf3f68f",
            ),
        ),
        metric="mean_per_class",
        size_bytes=800_000_000,
        group="kornblith12",
    ),
    Published(
        name="cub200",
        domain="natural",
        n_classes=200,
        counts={"train": 5_994, "test": 5_794},
        licence="for non-commercial research; the images keep their owners' rights",
        citation="Wah et al., The Caltech-UCSD Birds-200-2011 dataset, CNS-TR-2011-001",
        homepage="https://www.vision.caltech.edu/datasets/cub_200_2011/",
        layout="CUB_200_2011/images/CLASS/*.jpg, images.txt, image_class_labels.txt, train_test_split.txt",
        split_rule="train and test of train_test_split.txt",
        read=read_cub200,
        marks=("images", "images.txt", "image_class_labels.txt", "train_test_split.txt"),
        downloads=(
            Download(
                "https://data.caltech.edu/records/65de6-vp158/files/CUB_200_2011.tgz",
                "CUB_200_2011.tgz",
                1_150_585_339,
                "md5:97eceeb196236b17998738112f37df78",
            ),
        ),
        size_bytes=1_200_000_000,
        group="kornblith12",
    ),
):
    PUBLISHED.register(_one.name)(_one)
