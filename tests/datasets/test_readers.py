"""The twelve readers on trees in their archives' layouts; torchvision is the reference where it has one."""

import pickle
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from scipy.io import loadmat, savemat
from torchvision import datasets as theirs

from tests.datasets.trees import CHESTX, TREES, empty_folders, picture, table
from transferkit.core.errors import DataError, UsageError
from transferkit.data.detection import DETECTION
from transferkit.datasets import PAPER12, PUBLISHED
from transferkit.datasets.opening import PublishedOpener
from transferkit.download.publication import state_of
from transferkit.protocols.dataset_catalog import open_dataset


@pytest.fixture
def planted(data_root):
    """Write a set's tree into the data folder: ``planted("dtd")`` is the folder."""

    def plant(name):
        TREES[name](data_root / name)
        return data_root / name

    return plant


def labels_of(split):
    return dict(zip(split.ids, split.labels.tolist(), strict=True))


@pytest.mark.parametrize("name", PAPER12)
def test_every_set_opens_from_its_tree(name, planted, data_root):
    planted(name)
    assert state_of(PUBLISHED[name], data_root / name) == "ready"
    dataset = open_dataset(name, root=data_root)
    assert (dataset.spec, dataset.domain) == (name, PUBLISHED[name].domain)
    assert {"train", "test"} <= dataset.splits.keys()
    assert dataset.licence
    seen = set()
    for split in dataset.splits.values():
        assert split.labels.min() >= 0
        assert split.labels.max() < len(split.classes)
        assert not seen & set(split.ids), "a row lies in two splits"
        seen |= set(split.ids)
        for row in (0, len(split) - 1):
            assert split.reader.image(row).shape[2] == 3
        again = pickle.loads(pickle.dumps(split.reader))
        assert np.array_equal(again.image(0), split.reader.image(0))


@pytest.mark.parametrize("name", PAPER12)
def test_another_folder_around_it_changes_nothing(name, planted, data_root):
    folder = planted(name)
    plain = open_dataset(name, root=data_root)
    folder.rename(data_root / "inner")
    folder.mkdir()
    (data_root / "inner").rename(folder / "unpacked")
    wrapped = open_dataset(name, root=data_root)
    for split, rows in plain.splits.items():
        assert wrapped.split(split).ids == rows.ids
        assert wrapped.split(split).fingerprint == rows.fingerprint


@pytest.mark.parametrize("name", PAPER12)
def test_the_error_of_an_absent_set_describes_how_to_get_it(name, data_root):
    expected = rf"{name} is absent: expected is {data_root / name} with .*datasets prepare {name}"
    with pytest.raises(DataError, match=expected):
        open_dataset(name, root=data_root)


def test_an_incomplete_set_is_partial(planted, data_root):
    folder = planted("flowers102")
    (folder / "setid.mat").unlink()
    assert state_of(PUBLISHED["flowers102"], folder) == "partial"
    with pytest.raises(DataError, match="flowers102 is incomplete"):
        open_dataset("flowers102", root=data_root)


@pytest.mark.parametrize("name", ["cropdisease", "eurosat", "resisc45", "sketch", "dtd"])
def test_a_set_without_one_of_its_class_folders_is_incomplete(name, planted, data_root):
    folder = planted(name)
    next(folder.rglob("without_images_000")).rmdir()
    assert state_of(PUBLISHED[name], folder) == "partial"
    with pytest.raises(DataError, match=rf"is incomplete: .*\({PUBLISHED[name].n_classes} class folders in all\)"):
        open_dataset(name, root=data_root)


@pytest.mark.parametrize("name", PAPER12)
def test_statements(name):
    one = PUBLISHED[name]
    assert one.name == name
    assert one.citation
    assert one.homepage.startswith("http")
    assert bool(one.downloads) != bool(one.steps)
    assert all(d.url.startswith("http") and d.file for d in one.downloads)
    assert all(d.digest == "" or d.digest.split(":")[0] in ("md5", "sha256") for d in one.downloads)


def test_downloads_without_a_published_checksum():
    """These files have no published checksum; the list should become shorter."""
    every = [*PUBLISHED.values(), *(o.published for o in DETECTION.values() if o.published is not None)]
    bare = {one.name: [d.file for d in one.downloads if not d.digest] for one in every}
    assert {name: files for name, files in bare.items() if files} == {
        "deepweeds": ["images.zip"],
        "isic": ["ISIC2018_Task3_Training_Input.zip", "ISIC2018_Task3_Training_GroundTruth.zip"],
    }
    length = {"md5": 32, "sha256": 64}
    digests = [download.digest.split(":") for one in every for download in one.downloads if download.digest]
    assert all(len(hexadecimal) == length[kind] for kind, hexadecimal in digests)


def test_the_table_of_the_study():
    table = {name: (PUBLISHED[name].n_classes, sum(PUBLISHED[name].counts.values())) for name in PAPER12}
    assert table == {
        "cropdisease": (38, 54_305),
        "deepweeds": (9, 17_509),
        "flowers102": (102, 8_189),
        "eurosat": (10, 27_000),
        "resisc45": (45, 31_500),
        "omniglot": (659, 13_180),
        "svhn": (10, 99_289),
        "isic": (7, 10_015),
        "chestx": (7, 25_848),
        "kaokore": (8, 8_215),
        "sketch": (1000, 50_889),
        "dtd": (47, 5_640),
    }


def test_kaokore_is_the_version_of_the_study():
    """The counts are those of labels.csv in dataset_v1.1; version 1.2 has 6 756, 845 and 845."""
    assert PUBLISHED["kaokore"].counts == {"train": 6_568, "val": 826, "test": 821}
    assert "--dataset_version 1.1" in " ".join(PUBLISHED["kaokore"].steps)


def test_flowers_count_from_one(planted, data_root, monkeypatch):
    folder = planted("flowers102")
    ours = open_dataset("flowers102", root=data_root)
    monkeypatch.setattr(theirs.Flowers102, "_check_integrity", lambda self: True)
    folder.rename(data_root / "flowers-102")
    for split, rows in ours.splits.items():
        reference = theirs.Flowers102(data_root, split=split)
        by_name = {path.name: label for path, label in zip(reference._image_files, reference._labels, strict=True)}
        assert labels_of(rows) == by_name
    assert ours.classes == ("1", "2", "3")


def test_flowers_whose_files_disagree(planted, data_root):
    folder = planted("flowers102")
    savemat(folder / "imagelabels.mat", {"labels": np.ones((1, 5), np.uint8)})
    with pytest.raises(DataError, match=r"names the images \d+ to 34, but imagelabels\.mat has labels of 1 to 5\."):
        open_dataset("flowers102", root=data_root)
    savemat(folder / "imagelabels.mat", {"labels": np.arange(40)[None]})
    with pytest.raises(DataError, match=r"imagelabels\.mat has the label 0, but labels start at 1"):
        open_dataset("flowers102", root=data_root)


@pytest.mark.parametrize(
    ("content", "words"), [(b"no matlab", "cannot be read"), (None, "cannot be read: it has no labels")]
)
def test_a_broken_matlab_file(planted, data_root, content, words):
    path = planted("flowers102") / "imagelabels.mat"
    if content is None:
        savemat(path, {"others": [1]})
    else:
        path.write_bytes(content)
    with pytest.raises(DataError, match=rf"imagelabels\.mat {words}.*published archive"):
        open_dataset("flowers102", root=data_root)


def test_the_ten_of_svhn_is_a_zero(planted, data_root):
    folder = planted("svhn")
    ours = open_dataset("svhn", root=data_root)
    written = loadmat(folder / "train_32x32.mat")
    digits = [label if label != 10 else 0 for label in written["y"].ravel()]
    assert ours.split("train").labels.tolist() == digits
    assert 0 in digits
    assert ours.classes[0] == "0"
    assert np.array_equal(ours.split("train").reader.image(9), written["X"][:, :, :, 9])


def test_svhn_hashes_the_two_files(planted, data_root):
    folder = planted("svhn")
    before = open_dataset("svhn", root=data_root).split("train").fingerprint
    content = loadmat(folder / "train_32x32.mat")
    content["X"][0, 0, 0, 0] ^= 1
    savemat(folder / "train_32x32.mat", {"X": content["X"], "y": content["y"]})
    assert open_dataset("svhn", root=data_root).split("train").fingerprint != before


def test_a_label_beyond_the_digits(planted, data_root):
    folder = planted("svhn")
    savemat(folder / "test_32x32.mat", {"X": np.zeros((32, 32, 3, 1), np.uint8), "y": [[11]]})
    with pytest.raises(DataError, match=r"test_32x32\.mat has the label 11; labels are 0 to 10"):
        open_dataset("svhn", root=data_root)


def test_isic_reads_the_one_hot_table(planted, data_root):
    planted("isic")
    rows = {}
    for split in open_dataset("isic", root=data_root).splits.values():
        rows |= labels_of(split)
    assert rows == {f"ISIC_{24306 + n:07}.jpg": n % 7 for n in range(56)}


@pytest.mark.parametrize(("marked", "count"), [("0,0,0,0,0,0,0", 0), ("1,1,0,0,0,0,0", 2), ("x,0,0,0,0,0,0", 0)])
def test_isic_rows_that_mark_no_single_class(planted, data_root, marked, count):
    truth = planted("isic") / "ISIC2018_Task3_Training_GroundTruth"
    path = truth / f"{truth.name}.csv"
    path.write_text(path.read_text() + f"ISIC_0099999,{marked}\n")
    with pytest.raises(DataError, match=rf"marks {count} classes of ISIC_0099999, not one"):
        open_dataset("isic", root=data_root)


def test_chestx_keeps_single_findings_of_the_seven(planted, data_root, notes):
    planted("chestx")
    dataset = open_dataset("chestx", root=data_root, reporter=notes)
    assert dataset.classes == CHESTX
    assert sum(map(len, dataset.splits.values())) == 56
    assert [note for note in notes.notes if note.startswith("chestx")] == [
        "chestx: 2 images left out: several findings",
        "chestx: 1 image left out: No Finding",
        "chestx: 1 image left out: Pneumonia",
        "chestx: 1 image left out: Hernia",
        "chestx: 56 images, not the published 25848. Check with: transferkit datasets verify chestx",
    ]


def test_a_set_of_the_published_size_is_not_remarked_on(planted, data_root, notes, monkeypatch):
    planted("eurosat")
    whole = replace(PUBLISHED["eurosat"], counts={"all": 36})
    PublishedOpener(whole)("", root=data_root, seed=0, reporter=notes)
    assert not notes.notes


def test_multispectral_files_of_eurosat_are_ignored(planted, data_root):
    folder = planted("eurosat")
    before = open_dataset("eurosat", root=data_root)
    picture(folder / "EuroSAT_MS/Forest/Forest_1.tif", 1)
    assert open_dataset("eurosat", root=data_root).split("train").ids == before.split("train").ids


def test_the_later_table_of_chestx(planted, data_root):
    folder = planted("chestx")
    first = open_dataset("chestx", root=data_root)
    (folder / "Data_Entry_2017.csv").rename(folder / "Data_Entry_2017_v2020.csv")
    assert open_dataset("chestx", root=data_root).split("test").fingerprint == first.split("test").fingerprint


def test_kaokore_counts_vanished_images(planted, data_root, notes):
    planted("kaokore")
    dataset = open_dataset("kaokore", root=data_root, reporter=notes)
    assert {name: len(split) for name, split in dataset.splits.items()} == {
        "train": 46,
        "val": 15,
        "test": 24,
    }
    assert "kaokore: 3 labels of missing images left out, such as 00000005.jpg" in notes.notes
    assert dataset.classes[5] == "female warrior"
    assert labels_of(dataset.split("train"))["00000030.jpg"] == 5  # female, warrior


@pytest.mark.parametrize("row", ["x.jpg,2,0,train", "x.jpg,0,4,train", "x.jpg,0,0,all", "x.jpg,,0,train"])
def test_invalid_kaokore_labels_are_rejected(planted, data_root, row):
    path = planted("kaokore") / "labels.csv"
    path.write_text(path.read_text() + row + "\n")
    with pytest.raises(DataError, match=r"labels\.csv has invalid values for x\.jpg: gender"):
        open_dataset("kaokore", root=data_root)


def test_omniglot_is_the_evaluation_alphabets_by_default(planted, data_root, monkeypatch):
    folder = planted("omniglot")
    few, every = (open_dataset(spec, root=data_root) for spec in ("omniglot", "omniglot:all"))
    assert {name.split("/")[0] for name in few.classes} == {"Angelic", "Tibetan"}
    assert {name.split("/")[0] for name in every.classes} == {"Angelic", "Greek", "Latin", "Tibetan"}
    assert every.spec == "omniglot:all"
    monkeypatch.setattr(theirs.Omniglot, "_check_integrity", lambda self: True)
    folder.rename(data_root / "omniglot-py")
    reference = theirs.Omniglot(data_root, background=False)
    assert sum(map(len, few.splits.values())) == len(reference)
    assert few.classes == tuple(sorted(reference._characters))


def test_omniglot_keeps_its_dark_ink(planted, data_root):
    planted("omniglot")
    image = open_dataset("omniglot", root=data_root).split("train").reader.image(0)
    assert image.mean() > 128
    assert image.min() == 0


def test_omniglot_without_the_background(planted, data_root):
    shutil.rmtree(planted("omniglot") / "images_background")
    open_dataset("omniglot", root=data_root)
    with pytest.raises(DataError, match="lacks images_background/ALPHABET"):
        open_dataset("omniglot:all", root=data_root)


@pytest.mark.parametrize("fold", [1, 3])
def test_folds_of_dtd(planted, data_root, fold):
    folder = planted("dtd")
    ours = open_dataset("dtd" if fold == 1 else f"dtd:{fold}", root=data_root)
    shutil.copytree(folder, data_root / "theirs" / "dtd")
    for split, rows in ours.splits.items():
        reference = theirs.DTD(data_root / "theirs", split=split, partition=fold)
        by_name = {
            f"{path.parent.name}/{path.name}": label
            for path, label in zip(reference._image_files, reference._labels, strict=True)
        }
        assert labels_of(rows) == by_name
        assert ours.classes == tuple(reference.classes)


def test_the_first_fold_has_one_name(planted, data_root):
    planted("dtd")
    assert open_dataset("dtd:1", root=data_root).spec == "dtd"


def test_folds_of_deepweeds(planted, data_root):
    folder = planted("deepweeds")
    fold = open_dataset("deepweeds:2", root=data_root)
    for split, rows in fold.splits.items():
        lines = (folder / f"labels/{split}_subset2.csv").read_text().split()[1:]
        written = dict(line.split(",") for line in lines)
        number = {"0": 0, "1": 1, "8": 2}
        assert labels_of(rows) == {name: number[label] for name, label in written.items()}
    assert fold.classes == ("Chinee apple", "Lantana", "Negative")
    assert open_dataset("deepweeds", root=data_root).splits.keys() == {"train", "test"}


def test_a_fold_that_names_what_the_labels_lack(planted, data_root):
    path = planted("deepweeds") / "labels/test_subset0.csv"
    path.write_text(path.read_text() + "other.jpg,1\n")
    with pytest.raises(DataError, match=r"test_subset0\.csv names other\.jpg, which labels\.csv lacks"):
        open_dataset("deepweeds:0", root=data_root)


def test_weeds_without_numbers(planted, data_root):
    path = planted("deepweeds") / "labels/labels.csv"
    path.write_text(path.read_text() + "other.jpg,weed,Weed\n")
    with pytest.raises(DataError, match="labels that are not numbers"):
        open_dataset("deepweeds", root=data_root)


def test_an_image_without_a_label(planted, data_root, notes):
    folder = planted("deepweeds")
    picture(folder / "images/stray.jpg", 1)
    open_dataset("deepweeds", root=data_root, reporter=notes)
    assert "deepweeds: 1 image without a label left out, such as stray.jpg" in notes.notes


@pytest.mark.parametrize(
    ("spec", "words"), [("dtd:11", "dtd has no option '11'"), ("eurosat:x", "eurosat has no option 'x'")]
)
def test_options_that_do_not_exist(spec, words, data_root):
    with pytest.raises(UsageError, match=words):
        open_dataset(spec, root=data_root)


def test_crops_that_only_test_has(planted, data_root):
    folder = planted("cropdisease")
    picture(folder / "dataset/test/Weed/1.jpg", 0)
    with pytest.raises(DataError, match="lacks the class 'Weed' in train, which test has"):
        open_dataset("cropdisease", root=data_root)


def test_a_crop_archive_without_images(data_root):
    for split in ("train", "test"):
        (data_root / f"cropdisease/{split}/Apple___Apple_scab").mkdir(parents=True)
    empty_folders(data_root / "cropdisease/train", 37)
    with pytest.raises(DataError, match="lacks images in train/CLASS"):
        open_dataset("cropdisease", root=data_root)


def test_images_as_published_are_turned_and_coloured(data_root, planted):
    """Decoding handles EXIF rotation and CMYK for all data sets."""
    folder = planted("sketch")
    exif = Image.Exif()
    exif[0x0112] = 6
    grey = np.full((8, 30), 200, np.uint8)
    Image.fromarray(grey).convert("CMYK").save(folder / "sketch/n01440764/sketch_0.JPEG")
    Image.fromarray(grey).save(folder / "sketch/n01440764/sketch_1.JPEG", exif=exif)
    images = {}
    for split in open_dataset("sketch", root=data_root).splits.values():
        images |= {one: split.reader.image(row) for row, one in enumerate(split.ids)}
    assert images["n01440764/sketch_0.JPEG"].shape == (8, 30, 3)
    assert abs(int(images["n01440764/sketch_0.JPEG"].mean()) - 200) < 5
    assert images["n01440764/sketch_1.JPEG"].shape == (30, 8, 3)


def test_a_table_writer_that_names_an_image_twice(planted, data_root):
    folder = planted("kaokore")
    rows = [("a.jpg", 0, 0, "train"), ("a.jpg", 1, 0, "test")]
    table(folder / "labels.csv", ("image", "gender", "status", "set"), rows)
    with pytest.raises(DataError, match=r"labels\.csv names 1 image twice, such as a\.jpg"):
        open_dataset("kaokore", root=data_root)
