import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from transferkit.core.errors import DataError, UnreadableImageError, UsageError
from transferkit.data import fingerprints
from transferkit.data.dataset import DATASETS
from transferkit.data.folder import open_folder


def opened(folder, root, *, seed=0, **options):
    return open_folder(str(folder), root=root, seed=seed, **options)


def hashes(dataset):
    return {name: split.fingerprint for name, split in dataset.splits.items()}


def test_a_class_a_folder(make_folder, data_root):
    folder = make_folder({"dog": 10, "cat": 20, "ant": 3})
    dataset = opened(folder, data_root)
    assert dataset.spec == f"folder:{folder}"
    assert dataset.classes == ("ant", "cat", "dog")
    assert {name: len(split) for name, split in dataset.splits.items()} == {"train": 19, "val": 7, "test": 7}
    every = sorted(one for split in dataset.splits.values() for one in split.ids)
    assert every == sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))
    for split in dataset.splits.values():
        assert list(split.ids) == sorted(split.ids)
        assert [split.classes[label] for label in split.labels] == [one.split("/")[0] for one in split.ids]
        assert set(split.labels.tolist()) == {0, 1, 2}
        for row, one in enumerate(split.ids):
            assert (split.reader.image(row) == np.asarray(Image.open(folder / one))).all()


def test_the_split_depends_on_the_seed_alone(make_folder, data_root, tmp_path):
    folder = make_folder({"dog": 10, "cat": 20})
    first = opened(folder, data_root)
    assert hashes(opened(folder, data_root)) == hashes(first)
    assert hashes(opened(folder, tmp_path / "elsewhere")) == hashes(first)
    assert opened(folder, data_root, seed=1).split("test").ids != first.split("test").ids
    assert first.split("test").ids == (
        "cat/0.png",
        "cat/17.png",
        "cat/2.png",
        "cat/5.png",
        "dog/0.png",
        "dog/3.png",
    )


@pytest.mark.parametrize("val", ["val", "valid", "validation"])
def test_official_splits_are_used(make_folder, data_root, val, notes):
    folder = make_folder({"train/cat": 3, "train/dog": 1, f"{val}/cat": 1, "test/dog": 2, "test/cat": 0})
    dataset = opened(folder, data_root, reporter=notes)
    assert {name: split.ids for name, split in dataset.splits.items()} == {
        "train": ("train/cat/0.png", "train/cat/1.png", "train/cat/2.png", "train/dog/0.png"),
        "val": (f"{val}/cat/0.png",),
        "test": ("test/dog/0.png", "test/dog/1.png"),
    }
    assert list(dataset.splits) == ["train", "val", "test"]
    assert dataset.split("test").labels.tolist() == [1, 1]
    assert dataset.split("val").classes == ("cat", "dog")
    assert not notes.notes


def test_val_may_be_absent(make_folder, data_root):
    dataset = opened(make_folder({"train/a": 1, "train/b": 1, "test/a": 1}), data_root)
    assert list(dataset.splits) == ["train", "test"]


def test_without_test_a_fifth_of_train_is_set_apart(make_folder, data_root, notes):
    folder = make_folder({"train/a": 10, "train/b": 10, "val/a": 2})
    dataset = opened(folder, data_root, reporter=notes)
    assert {name: len(split) for name, split in dataset.splits.items()} == {"train": 16, "val": 2, "test": 4}
    assert list(dataset.splits) == ["train", "val", "test"]
    assert notes.notes == [
        f"{folder} has no test folder: 20 % of train become test. To score on val, rename it to test."
    ]


def test_train_alone_is_divided_like_a_whole(make_folder, data_root):
    dataset = opened(make_folder({"train/a": 10, "train/b": 10}), data_root)
    assert {name: len(split) for name, split in dataset.splits.items()} == {"train": 12, "val": 4, "test": 4}


def test_trains_can_be_a_class(make_folder, data_root):
    dataset = opened(make_folder({"bus": 3, "train": 3}), data_root)
    assert dataset.classes == ("bus", "train")


NAMES = ["with space", 'it\'s "quoted"', "größe", "日本語", "a,b", "%s{x}", "UPPER", "line\nbreak"]


def test_names_of_all_kinds(make_folder, data_root, tmp_path):
    folder = make_folder(dict.fromkeys(NAMES, 3), tmp_path / "a folder's ünïcode")
    for name in NAMES:
        (folder / name / "1.png").rename(folder / name / f"{name}.PNG")
    dataset = opened(folder, data_root)
    assert dataset.classes == tuple(sorted(NAMES))
    for split in dataset.splits.values():
        for row in range(len(split)):
            assert split.reader.image(row).shape == (4, 5, 3)
    assert "日本語/日本語.PNG" in [one for split in dataset.splits.values() for one in split.ids]


def test_the_order_is_that_of_code_points(make_folder, data_root):
    folder = make_folder({"train/Z": 1, "train/a": 1, "train/é": 1, "train/b": 1, "test/a": 1})
    assert opened(folder, data_root).split("train").ids == (
        "train/Z/0.png",
        "train/a/0.png",
        "train/b/0.png",
        "train/é/0.png",
    )


def test_what_is_not_an_image_is_left_out(make_folder, data_root, notes):
    folder = make_folder({"a": 3, "b": 3, ".git": 1, "__MACOSX": 1})
    for name in ("readme.txt", "labels.csv", "meta.json", "Thumbs.db", ".DS_Store", ".hidden.png"):
        (folder / "a" / name).touch()
        (folder / name).touch()
    dataset = opened(folder, data_root, reporter=notes)
    assert sum(map(len, dataset.splits.values())) == 6
    assert dataset.classes == ("a", "b")
    assert notes.notes == []


def test_similar_names_are_suggested(make_folder, data_root, notes):
    folder = make_folder({"a": 3, "b": 3})
    (folder / "loose.jpg").touch()
    (folder / "a" / "raw.heic").touch()
    (folder / "b" / "noextension").touch()
    dataset = opened(folder, data_root, reporter=notes)
    assert sum(map(len, dataset.splits.values())) == 6
    assert notes.notes == [
        f"{folder}: 1 left out, in no class folder, such as loose.jpg",
        f"{folder}: 2 left out, not an image by its name, such as a/raw.heic",
    ]


def test_images_without_class_folders_are_all_train_and_of_no_class(make_folder, data_root, notes):
    folder = make_folder({".": 3})
    dataset = opened(folder, data_root, reporter=notes)
    assert {name: part.ids for name, part in dataset.splits.items()} == {"train": ("0.png", "1.png", "2.png")}
    assert dataset.classes == ("unlabelled",)
    assert dataset.split("train").labels.tolist() == [0, 0, 0]
    assert notes.notes == [f"{folder} has no class folders: its images have no labels, and all are train."]


def test_corrupt_files_keep_their_rows(make_folder, data_root):
    folder = make_folder({"train/a": 1, "train/b": 1, "test/a": 1})
    (folder / "test/a/empty.jpg").touch()
    (folder / "test/a/text.jpg").write_text("not an image")
    test = opened(folder, data_root).split("test")
    assert test.ids == ("test/a/0.png", "test/a/empty.jpg", "test/a/text.jpg")
    with pytest.raises(UnreadableImageError, match="the file is empty"):
        test.reader.image(1)
    with pytest.raises(UnreadableImageError, match="not an image of a known format"):
        test.reader.image(2)


def test_links_are_followed(make_folder, data_root, tmp_path):
    away = make_folder({"x": 1}, tmp_path / "away") / "x"
    folder = make_folder({"train/a": 1, "train/b": 1, "test/a": 0})
    (folder / "test/a/link.png").symlink_to(away / "0.png")
    (folder / "test/a/nothing.png").symlink_to(away / "absent.png")
    (folder / "train/c").symlink_to(away)
    os.mkfifo(folder / "test/a/pipe.png")
    dataset = opened(folder, data_root)
    assert dataset.split("train").ids[-1] == "train/c/0.png"
    test = dataset.split("test")
    assert test.ids == ("test/a/link.png", "test/a/nothing.png")
    assert test.reader.image(0).shape == (4, 5, 3)
    with pytest.raises(UnreadableImageError, match="No such file or directory"):
        test.reader.image(1)


@pytest.fixture
def open_place():
    """A folder that other users may enter, as ``tmp_path`` is not."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@contextmanager
def without_privileges():
    """Run the block without the privileges of root; other users have none."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


def test_an_image_without_the_right_to_read_it(make_folder, data_root, open_place):
    folder = make_folder({"train/a": 2, "train/b": 1, "test/a": 1}, open_place / "images")
    free = hashes(opened(folder, data_root / "1"))
    (folder / "train/a/1.png").chmod(0)
    with without_privileges():
        dataset = opened(folder, data_root / "2")
        with pytest.raises(UnreadableImageError, match="Permission denied"):
            dataset.split("train").reader.image(1)
    assert hashes(dataset)["train"] != free["train"]
    assert hashes(dataset)["test"] == free["test"]


def test_a_class_without_the_right_to_list_it(make_folder, data_root, open_place):
    folder = make_folder({"a": 3, "b": 3}, open_place / "images")
    (folder / "b").chmod(0)
    with (
        without_privileges(),
        pytest.raises(DataError, match=f"{folder / 'b'} cannot be listed: Permission denied"),
    ):
        opened(folder, data_root)
    (folder / "b").chmod(0o755)


def test_copies_have_the_same_fingerprints(make_folder, data_root, tmp_path):
    folder = make_folder({"a": 5, "b": 5})
    copy = shutil.copytree(folder, tmp_path / "copy")
    assert hashes(opened(copy, data_root)) == hashes(opened(folder, data_root))


def changed(folder):
    image = folder / "train/a/0.png"
    image.write_bytes(image.read_bytes() + b"trailing")


def changed_in_place(folder):
    """Same size, same modification time."""
    image = folder / "train/a/0.png"
    before = image.stat()
    data = bytearray(image.read_bytes())
    data[-1] ^= 1
    image.write_bytes(data)
    os.utime(image, ns=(before.st_atime_ns, before.st_mtime_ns))


def swapped(folder):
    a, b, c = (folder / f"train/a/{name}.png" for name in ("0", "1", "x"))
    a.rename(c)
    b.rename(a)
    c.rename(b)


CHANGES = {
    "changed": changed,
    "changed in place": changed_in_place,
    "swapped": swapped,
    "added": lambda folder: shutil.copy(folder / "train/a/0.png", folder / "train/a/9.png"),
    "removed": lambda folder: (folder / "train/a/2.png").unlink(),
    "renamed": lambda folder: (folder / "train/a/0.png").rename(folder / "train/a/00.png"),
    "moved": lambda folder: (folder / "train/a/0.png").rename(folder / "train/b/9.png"),
    "class renamed": lambda folder: (folder / "train/a").rename(folder / "train/aa"),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("settled_ns", [2 * 10**9, -(10**12)], ids=["young", "settled"])
def test_changes_change_the_fingerprint(make_folder, data_root, monkeypatch, change, settled_ns):
    monkeypatch.setattr(fingerprints, "_SETTLED_NS", settled_ns)
    folder = make_folder({"train/a": 3, "train/b": 2, "test/b": 1})
    before = hashes(opened(folder, data_root))
    CHANGES[change](folder)
    after = hashes(opened(folder, data_root))
    assert after["train"] != before["train"]
    assert (after["test"] == before["test"]) is (change != "class renamed")


@pytest.mark.parametrize("change", ["changed", "removed"])
def test_a_change_after_opening_is_noticed(make_folder, data_root, change):
    folder = make_folder({"train/a": 3, "train/b": 2, "test/b": 1})
    train = opened(folder, data_root).split("train")
    CHANGES[change](folder)
    row = {"changed": 0, "removed": 2}[change]
    with pytest.raises(DataError, match=r"changed after its folder was opened\. Run the same command again") as caught:
        train.reader.image(row)
    assert not isinstance(caught.value, UnreadableImageError)
    assert train.reader.image(1).shape == (4, 5, 3)


def test_paths_are_made_absolute(make_folder, data_root, tmp_path, monkeypatch):
    folder = make_folder({"a": 3, "b": 3})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for path in ("images", "./images/", "other/../images", "~/images"):
        dataset = opened(path, data_root)
        assert dataset.spec == dataset.split("val").dataset == f"folder:{folder}"
    assert DATASETS["folder"] is open_folder


def refusal(folder, root):
    with pytest.raises(DataError) as caught:
        opened(folder, root)
    return str(caught.value)


def test_no_path(data_root):
    with pytest.raises(UsageError, match="Give the path of a folder, as in folder:photos"):
        opened("", data_root)


def test_an_absent_folder(data_root, tmp_path):
    assert refusal(tmp_path / "absent", data_root) == f"There is no folder {tmp_path / 'absent'}."


def test_a_file(data_root, tmp_path):
    (tmp_path / "file").touch()
    assert f"{tmp_path / 'file'} is a file: name the folder" in refusal(tmp_path / "file", data_root)


EXPECTED = "Expected are {0}/cat/1.jpg and {0}/dog/2.jpg, or {0}/train/cat/1.jpg and {0}/test/cat/2.jpg."


@pytest.mark.parametrize("counts", [{}, {"a": 0, "b": 0}, {"train/a": 0, "test/a": 0}])
def test_no_images(make_folder, data_root, counts):
    folder = make_folder(counts)
    words = refusal(folder, data_root)
    assert "holds no images in class folders. " + EXPECTED.format(folder) in words


def test_a_split_without_images(make_folder, data_root):
    folder = make_folder({"train/a": 1, "train/b": 1, "test/a": 1, "val/a": 0})
    assert refusal(folder, data_root).startswith(f"{folder}: val holds no images")


def test_one_class(make_folder, data_root):
    words = refusal(make_folder({"cat": 9}), data_root)
    assert "has one class, 'cat', but two or more are needed." in words


def test_too_few_images_of_a_class(make_folder, data_root, tmp_path):
    counts = {"a": 2, "b": 3, "c": 1, "d": 0}
    words = refusal(make_folder(counts), data_root)
    assert "classes with too few images: 'a' (2), 'c' (1), 'd' (0). Each needs 3 or more in train" in words
    for fewest, others in ((2, ["val/a"]), (1, ["test/a"])):
        folder = make_folder(
            {"train/a": fewest, "train/b": fewest - 1, **dict.fromkeys(others, 1)}, tmp_path / others[0]
        )
        assert f"'b' ({fewest - 1}). Each needs {fewest} or more" in refusal(folder, data_root)


def test_many_classes_with_too_few_images(make_folder, data_root):
    words = refusal(make_folder({"z": 3} | {f"c{i}": 1 for i in range(9)}), data_root)
    assert "'c3' (1), 'c4' (1) and 4 more. Each" in words


def test_nested_classes(make_folder, data_root):
    folder = make_folder({"images/cat": 3, "images/dog": 3})
    words = refusal(folder, data_root)
    assert f"The class folder {folder}/images holds folders with images, such as {folder}/images/" in words
    assert EXPECTED.format(folder) in words
    assert words.endswith(f"If {folder}/images is the data set itself, name folder:{folder}/images.")
    deep = make_folder({"train/cat/tabby/old": 1, "train/dog": 1}, folder.parent / "deep")
    assert f"such as {deep}/train/cat/tabby/old/0.png" in refusal(deep, data_root)


def test_empty_folders_in_a_class_do_no_harm(make_folder, data_root):
    folder = make_folder({"a": 3, "b": 3, "a/notes": 0})
    assert sum(map(len, opened(folder, data_root).splits.values())) == 6


def test_test_classes_that_train_lacks(make_folder, data_root):
    words = refusal(make_folder({"train/a": 1, "train/b": 1, "test/a": 1, "test/B": 1, "test/c": 1}), data_root)
    assert "test has classes that train lacks: 'B', 'c'. Add images of them to train, or remove" in words


def test_two_names_of_val(make_folder, data_root):
    folder = make_folder({"train/a": 1, "train/b": 1, "val/a": 1, "valid/a": 1})
    assert f"{folder} has both val and valid: keep one of them" in refusal(folder, data_root)


@pytest.mark.parametrize("counts", [{"train": 3, "test": 3}, {"val/a": 3, "test/a": 3}])
def test_splits_without_classes_or_without_train(make_folder, data_root, counts):
    folder = make_folder(counts)
    words = refusal(folder, data_root)
    assert f"but no class folders in {folder}/train. Expected" in words


def test_names_that_are_no_text(make_folder, data_root):
    folder = make_folder({"a": 3, "b": 3})
    (folder / "a" / "0.png").rename(folder / "a" / os.fsdecode(b"\xff.png"))
    assert r"the name 'a/\udcff.png' is not valid UTF-8. Rename it" in refusal(folder, data_root)
    (folder / "a").rename(folder / os.fsdecode(b"\xfe"))
    assert r"the name '\udcfe" in refusal(folder, data_root)
