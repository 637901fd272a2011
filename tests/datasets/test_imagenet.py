"""ImageNet unpacked, and read out of the archives of ILSVRC2012."""

import io
import os
import pickle
import tarfile
import time

import numpy as np
import pytest
from scipy.io import savemat

from tests.datasets.trees import picture
from transferkit.core.errors import DataError, UnreadableImageError, UsageError
from transferkit.datasets.tars import tar_index
from transferkit.protocols.dataset_catalog import open_dataset

SYNSETS = ("n01440764", "n01443537", "n02085620")
NUMBERS = {"n01440764": 3, "n01443537": 1, "n02085620": 2}  # the devkit counts in another order
VAL = ("n02085620", "n01440764", "n01443537", "n01440764", "n02085620", "n01443537")  # by the images' names


@pytest.fixture
def folders(tmp_path):
    root = tmp_path / "imagenet"
    for label, synset in enumerate(SYNSETS):
        for number in range(4):
            picture(root / f"train/{synset}/{synset}_{number}.JPEG", label)
    for number, synset in enumerate(VAL, start=1):
        picture(root / f"val/{synset}/ILSVRC2012_val_{number:08}.JPEG", SYNSETS.index(synset))
    return root


def packed(path, files):
    """A tar of name → file or bytes."""
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            data = content if isinstance(content, bytes) else content.read_bytes()
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def devkit(path, truth=VAL, *, synsets=NUMBERS):
    labels = "".join(f"{NUMBERS[one]}\n" for one in truth).encode()
    table = np.empty(len(synsets), dtype=[("ILSVRC2012_ID", object), ("WNID", object)])
    for place, (synset, number) in enumerate(synsets.items()):
        table[place] = (number, synset)
    meta = io.BytesIO()
    savemat(meta, {"synsets": table})
    with tarfile.open(path, "w:gz") as archive:
        for name, data in {
            "ILSVRC2012_validation_ground_truth.txt": labels,
            "meta.mat": meta.getvalue(),
        }.items():
            member = tarfile.TarInfo(f"ILSVRC2012_devkit_t12/data/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


@pytest.fixture
def archives(folders, tmp_path):
    root = tmp_path / "packed"
    root.mkdir()
    inner = {}
    for synset in reversed(SYNSETS):
        files = {path.name: path for path in sorted((folders / "train" / synset).iterdir(), reverse=True)}
        inner[f"{synset}.tar"] = packed(tmp_path / "class.tar", files).read_bytes()
    packed(root / "ILSVRC2012_img_train.tar", inner)
    packed(root / "ILSVRC2012_img_val.tar", {path.name: path for path in folders.glob("val/*/*")})
    devkit(root / "ILSVRC2012_devkit_t12.tar.gz")
    return root


def test_class_folders(folders, data_root):
    dataset = open_dataset(f"imagenet:{folders}", root=data_root)
    assert dataset.spec == f"imagenet:{folders}"
    assert dataset.classes == SYNSETS
    assert {name: len(split) for name, split in dataset.splits.items()} == {"train": 12, "test": 6}
    test = dataset.split("test")
    assert test.ids[0] == "val/n01440764/ILSVRC2012_val_00000002.JPEG"
    assert test.labels.tolist() == [0, 0, 1, 1, 2, 2]


def test_the_archives_hold_the_same_images(folders, archives, data_root):
    unpacked = open_dataset(f"imagenet:{folders}", root=data_root)
    whole = open_dataset(f"imagenet:{archives}", root=data_root)
    assert whole.classes == unpacked.classes
    for split, prefix in {"train": "train/", "test": "val/"}.items():
        expected = {
            one.rpartition("/")[2]: (int(label), unpacked.split(split).reader.image(row))
            for row, (one, label) in enumerate(
                zip(unpacked.split(split).ids, unpacked.split(split).labels, strict=True)
            )
            if one.startswith(prefix)
        }
        rows = whole.split(split)
        reader = pickle.loads(pickle.dumps(rows.reader))
        assert len(rows) == len(expected)
        for row, one in enumerate(rows.ids):
            label, image = expected[one.rpartition("/")[2]]
            assert rows.labels[row] == label
            assert np.array_equal(reader.image(row), image)


def test_the_index_is_cached(archives, data_root, notes):
    for _ in range(2):
        open_dataset(f"imagenet:{archives}", root=data_root, reporter=notes)
    assert len([note for note in notes.notes if note.startswith("Indexing the images of")]) == 2, "one an archive"


def test_a_damaged_index_is_recomputed(archives, data_root, notes):
    path = archives / "ILSVRC2012_img_val.tar"
    first = tar_index(path, cache_dir=data_root)
    (memo,) = data_root.glob("*.npz")
    memo.write_bytes(b"PK\x03\x04 no index")
    again = tar_index(path, cache_dir=data_root, reporter=notes)
    assert again.names == first.names
    assert len(notes.notes) == 1


def test_an_index_that_cannot_be_kept(archives, tmp_path, notes):
    (tmp_path / "file").write_text("")
    index = tar_index(archives / "ILSVRC2012_img_val.tar", cache_dir=tmp_path / "file", reporter=notes)
    assert len(index.names) == 6
    assert any("is not cached" in note for note in notes.notes)


def test_without_validation_images_there_is_train(archives, data_root):
    (archives / "ILSVRC2012_img_val.tar").unlink()
    assert list(open_dataset(f"imagenet:{archives}", root=data_root).splits) == ["train"]


def test_an_archive_that_is_cut_off(archives, data_root):
    path = archives / "ILSVRC2012_img_train.tar"
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(DataError, match=r"ILSVRC2012_img_train\.tar (cannot be read|is truncated)"):
        open_dataset(f"imagenet:{archives}", root=data_root)


def test_an_archive_that_ends_within_an_image(archives, tmp_path):
    path = packed(tmp_path / "short.tar", {"1.jpg": b"x" * 5000})
    os.truncate(path, 2000)
    with pytest.raises(DataError, match=r"short\.tar (cannot be read|is truncated)"):
        tar_index(path, cache_dir=tmp_path / "memory")


def test_an_archive_that_ends_between_two_files(tmp_path):
    path = packed(tmp_path / "short.tar", {"1.jpg": b"x" * 512, "2.jpg": b"x" * 512})
    os.truncate(path, 1024)
    with pytest.raises(DataError, match=r"short\.tar cannot be read .*the end-of-archive block is missing"):
        tar_index(path, cache_dir=tmp_path / "memory")


def test_an_archive_that_changes_is_not_read_at_old_places(archives, data_root):
    split = open_dataset(f"imagenet:{archives}", root=data_root).split("train")
    os.utime(archives / "ILSVRC2012_img_train.tar", ns=(1, 1))
    with pytest.raises(DataError, match=r"img_train\.tar changed after it was opened\. Run the same command"):
        split.reader.image(0)


def test_what_is_no_archive_of_images(archives, data_root):
    path = archives / "ILSVRC2012_img_train.tar"
    path.write_bytes(b"no tar" * 1000)
    with pytest.raises(DataError, match="cannot be read as an uncompressed tar"):
        open_dataset(f"imagenet:{archives}", root=data_root)
    packed(path, {"readme.txt": b"x"})
    with pytest.raises(DataError, match="contains no images"):
        open_dataset(f"imagenet:{archives}", root=data_root)


def test_the_devkit_is_needed(archives, data_root):
    path = archives / "ILSVRC2012_devkit_t12.tar.gz"
    path.unlink()
    with pytest.raises(DataError, match=r"devkit_t12\.tar\.gz is missing: it contains the labels"):
        open_dataset(f"imagenet:{archives}", root=data_root)
    path.write_bytes(b"x")
    with pytest.raises(DataError, match=r"devkit_t12\.tar\.gz cannot be read"):
        open_dataset(f"imagenet:{archives}", root=data_root)
    devkit(path, VAL[:5])
    with pytest.raises(DataError, match=r"has 6 images, ILSVRC2012_devkit_t12\.tar\.gz has 5 labels"):
        open_dataset(f"imagenet:{archives}", root=data_root)
    devkit(path, synsets={**NUMBERS, "n09999999": 3})
    with pytest.raises(DataError, match=r"has the class n09999999, which ILSVRC2012_img_train\.tar lacks"):
        open_dataset(f"imagenet:{archives}", root=data_root)


def test_an_image_that_vanishes(archives, data_root):
    dataset = open_dataset(f"imagenet:{archives}", root=data_root)
    (archives / "ILSVRC2012_img_train.tar").unlink()
    with pytest.raises(UnreadableImageError, match="No such file"):
        dataset.split("train").reader.image(0)


def test_validation_images_that_are_not_sorted(folders, data_root):
    for path in folders.glob("val/*/*"):
        path.rename(folders / "val" / path.name)
    for path in (folders / "val").iterdir():
        if path.is_dir():
            path.rmdir()
    with pytest.raises(DataError, match="val is not sorted into the class folders of train"):
        open_dataset(f"imagenet:{folders}", root=data_root)


@pytest.mark.parametrize("beside", ["val", "others", ""])
def test_the_archives_of_classes_in_train(tmp_path, data_root, beside):
    """The archive of train was unpacked, but the archives inside it were not."""
    (tmp_path / "train").mkdir()
    (tmp_path / beside).mkdir(exist_ok=True)
    with pytest.raises(DataError, match=r"train has no class folders, but nothing\. Expected is"):
        open_dataset(f"imagenet:{tmp_path}", root=data_root)
    for synset in SYNSETS:
        packed(tmp_path / f"train/{synset}.tar", {"1.JPEG": b"x"})
    words = r"but 3 files, such as n01440764\.tar\. Expected is .*/train/n01440764/x\.JPEG: unpack the archive"
    with pytest.raises(DataError, match=words):
        open_dataset(f"imagenet:{tmp_path}", root=data_root)


def test_other_folders(tmp_path, data_root):
    with pytest.raises(DataError, match=r"is not ImageNet\. Expected are .*/train/n01440764/x\.JPEG"):
        open_dataset(f"imagenet:{tmp_path}", root=data_root)
    with pytest.raises(UsageError, match="imagenet: has no path"):
        open_dataset("imagenet:", root=data_root)


def test_the_fingerprint_is_of_the_archive(archives, data_root):
    before = open_dataset(f"imagenet:{archives}", root=data_root).split("train").fingerprint
    path = archives / "ILSVRC2012_img_train.tar"
    content = bytearray(path.read_bytes())
    content[content.rindex(b"\xff\xd9") - 4] ^= 1
    path.write_bytes(content)
    os.utime(path, (time.time() - 60,) * 2)
    assert open_dataset(f"imagenet:{archives}", root=data_root).split("train").fingerprint != before
