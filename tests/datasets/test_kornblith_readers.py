"""Torchvision is the reference: both read the same tree, row by row."""

import re
import shutil
from collections import Counter

import numpy as np
import pytest
from torchvision import datasets as theirs

from tests.datasets.kornblith_trees import TREES
from tests.datasets.trees import picture
from transferkit.core.errors import DataError
from transferkit.core.labels import require_labels
from transferkit.datasets import KORNBLITH12, PUBLISHED
from transferkit.download.publication import state_of
from transferkit.protocols.dataset_catalog import open_dataset


@pytest.fixture
def planted(data_root, monkeypatch):
    """Write a set's tree into the data folder; torchvision takes it for whole."""
    monkeypatch.setattr(theirs.CIFAR10, "_check_integrity", lambda self: True)
    for kind in (theirs.CIFAR10, theirs.CIFAR100):
        monkeypatch.setattr(kind, "meta", {**kind.meta, "md5": None})

    def plant(name):
        TREES[name](data_root / name)
        return data_root / name

    return plant


def labels_of(split):
    return dict(zip(split.ids, split.labels.tolist(), strict=True))


def of_paths(paths, labels, root):
    return {path.relative_to(root).as_posix(): label for path, label in zip(paths, labels, strict=True)}


@pytest.mark.parametrize("name", TREES)
def test_every_set_opens_from_its_tree(name, planted, data_root, notes):
    planted(name)
    assert state_of(PUBLISHED[name], data_root / name) == "ready"
    dataset = open_dataset(name, root=data_root, reporter=notes)
    (note,) = notes.notes
    assert re.fullmatch(rf"{name}: \d+ images, not the published \d+\. Check with: .* verify {name}", note)
    rows = [one for split in dataset.splits.values() for one in split.ids]
    assert len(rows) == len(set(rows))
    for split in dataset.splits.values():
        require_labels(split.labels, len(split.classes))
        assert split.reader.image(len(split) - 1).dtype == np.uint8


@pytest.mark.parametrize("name", ["caltech101", "food101"])
def test_a_set_without_one_of_its_class_folders_is_incomplete(name, planted):
    folder = planted(name)
    next(folder.rglob("without_images_000")).rmdir()
    assert state_of(PUBLISHED[name], folder) == "partial"


def test_the_group_is_covered():
    assert set(KORNBLITH12) == TREES.keys() | {"dtd", "flowers102"}


@pytest.mark.parametrize(("name", "kind"), [("cifar10", theirs.CIFAR10), ("cifar100", theirs.CIFAR100)])
def test_cifar(name, kind, planted, data_root):
    folder = planted(name)
    ours = open_dataset(name, root=data_root)
    for split, rows in ours.splits.items():
        reference = kind(folder, train=split == "train")
        assert rows.labels.tolist() == reference.targets
        assert rows.classes == tuple(reference.classes)
        assert np.array_equal(rows.reader.image(5), np.asarray(reference[5][0]))


def test_cifar_that_is_not_as_published(data_root):
    """Without the fixture that makes torchvision trust the files, their checksums are wrong and no pickle is opened."""
    TREES["cifar10"](data_root / "cifar10")
    with pytest.raises(DataError, match="does not contain CIFAR10 as published: Dataset not found or corrupted"):
        open_dataset("cifar10", root=data_root)


def test_food101(planted, data_root):
    folder = planted("food101")
    ours = open_dataset("food101", root=data_root)
    for split, rows in ours.splits.items():
        reference = theirs.Food101(folder, split=split)
        expected = of_paths(reference._image_files, reference._labels, folder / "food-101/images")
        assert labels_of(rows) == expected
        assert rows.classes == tuple(reference.classes)


def test_sun397(planted, data_root):
    folder = planted("sun397")
    ours, every = (open_dataset(spec, root=data_root) for spec in ("sun397", "sun397:all"))
    reference = theirs.SUN397(folder)
    expected = of_paths(reference._image_files, reference._labels, folder / "SUN397")
    for dataset in (ours, every):
        found = labels_of(dataset.split("train")) | labels_of(dataset.split("test"))
        assert found == expected
        assert dataset.classes == tuple(reference.classes)
    assert (len(ours.split("train")), len(ours.split("test"))) == (15, 9)


def test_sun397_without_its_partitions(planted, data_root):
    shutil.rmtree(planted("sun397") / "Partitions")
    with pytest.raises(DataError, match=r"sun397 is incomplete: .*Training_01\.txt"):
        open_dataset("sun397", root=data_root)


def test_sun397_with_a_foreign_scene(planted, data_root):
    path = planted("sun397") / "Partitions/Testing_01.txt"
    path.write_text(path.read_text() + "/m/moon/sun_x.jpg\n")
    with pytest.raises(DataError, match=r"lacks the class of m/moon/sun_x\.jpg in ClassName\.txt"):
        open_dataset("sun397", root=data_root)


def test_cars(planted, data_root):
    folder = planted("cars")
    ours = open_dataset("cars", root=data_root)
    folder.rename(data_root / "stanford_cars")
    for split, rows in ours.splits.items():
        reference = theirs.StanfordCars(data_root, split=split)
        assert labels_of(rows) == {
            f"cars_{split}/{path.rpartition('/')[2]}": label for path, label in reference._samples
        }
        assert rows.classes == tuple(reference.classes)


def test_cars_with_more_classes_than_names(planted, data_root):
    from scipy.io import savemat

    folder = planted("cars")
    savemat(folder / "devkit/cars_meta.mat", {"class_names": np.array(["one", "two"], dtype=object)[None]})
    with pytest.raises(DataError, match=r"lacks a name in cars_meta\.mat for every class"):
        open_dataset("cars", root=data_root)


def test_aircraft(planted, data_root):
    folder = planted("aircraft")
    ours = open_dataset("aircraft", root=data_root)
    assert list(ours.splits) == ["train", "val", "test"]
    for split, rows in ours.splits.items():
        reference = theirs.FGVCAircraft(folder, split=split)
        paths = [path.rpartition("/")[2] for path in reference._image_files]
        assert labels_of(rows) == dict(zip(paths, reference._labels, strict=True))
        assert rows.classes == tuple(reference.classes)


def test_an_aircraft_without_a_variant(planted, data_root):
    path = planted("aircraft") / "fgvc-aircraft-2013b/data/images_variant_test.txt"
    path.write_text(path.read_text() + "0000001 Concorde\n")
    with pytest.raises(DataError, match=r"lacks the variant 'Concorde' in variants\.txt"):
        open_dataset("aircraft", root=data_root)


def test_pets(planted, data_root):
    folder = planted("pets")
    ours = open_dataset("pets", root=data_root)
    folder.rename(data_root / "oxford-iiit-pet")
    for split, theirs_split in {"train": "trainval", "test": "test"}.items():
        reference = theirs.OxfordIIITPet(data_root, split=theirs_split)
        names = [path.name for path in reference._images]
        assert labels_of(ours.split(split)) == dict(zip(names, reference._labels, strict=True))
    spelled = [" ".join(part.title() for part in name.split("_")) for name in ours.classes]
    assert spelled == reference.classes


def test_caltech101_trains_on_thirty_a_class(planted, data_root):
    folder = planted("caltech101")
    ours = open_dataset("caltech101", root=data_root)
    assert Counter(ours.split("train").labels.tolist()) == {0: 30, 1: 30, 2: 30}
    assert Counter(ours.split("test").labels.tolist()) == {0: 3, 1: 6, 2: 10}
    reference = theirs.Caltech101(folder)
    filled = [name for name in reference.categories if not name.startswith("without_images")]
    assert ours.classes == ("BACKGROUND_Google", *filled)


def test_cub200(planted, data_root):
    folder = planted("cub200") / "CUB_200_2011"
    ours = open_dataset("cub200", root=data_root)
    names = dict(line.split() for line in (folder / "images.txt").read_text().splitlines())
    labels = dict(line.split() for line in (folder / "image_class_labels.txt").read_text().splitlines())
    side = dict(line.split() for line in (folder / "train_test_split.txt").read_text().splitlines())
    for split, mark in {"train": "1", "test": "0"}.items():
        expected = {names[key]: int(labels[key]) - 1 for key in names if side[key] == mark}
        assert labels_of(ours.split(split)) == expected
    assert ours.classes[0] == "Black footed Albatross"


def test_birds_whose_files_disagree(planted, data_root):
    path = planted("cub200") / "CUB_200_2011/image_class_labels.txt"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(DataError, match=r"images\.txt, image_class_labels\.txt.* are inconsistent"):
        open_dataset("cub200", root=data_root)


@pytest.mark.parametrize("name", ["food101", "pets", "aircraft", "cub200"])
def test_labels_and_images_without_each_other(name, planted, data_root, notes):
    images = next(path for path in planted(name).rglob("images") if path.is_dir())
    picked = min(path for path in images.rglob("*.jpg"))
    picture(picked.with_name("stray.jpg"), 0)
    picked.unlink()
    open_dataset(name, root=data_root, reporter=notes)
    assert any("1 label of missing images left out, such as" in note for note in notes.notes)
    assert any(note.endswith("stray.jpg") for note in notes.notes)
