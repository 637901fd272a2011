import pytest

from tests.datasets.trees import class_folders, picture, table
from transferkit.core.errors import DataError, UsageError
from transferkit.protocols.dataset_catalog import open_dataset

CLASSES = {"train": ("n01", "n02", "n03"), "val": ("n04", "n05"), "test": ("n06", "n07")}


@pytest.fixture(params=["tables", "folders"])
def folder(request, tmp_path):
    root = tmp_path / "mini"
    for part, names in CLASSES.items():
        if request.param == "folders":
            class_folders(root / part, dict.fromkeys(names, 10))
            continue
        rows = [(f"{name}{number:08}.jpg", name) for name in names for number in range(10)]
        table(root / f"{part}.csv", ("filename", "label"), rows)
        for file, name in rows:
            picture(root / "images" / file, int(name[1:]))
    return root


def test_the_base_classes_are_train(folder, data_root):
    dataset = open_dataset(f"miniimagenet:{folder}", root=data_root)
    assert list(dataset.splits) == ["train"]
    assert dataset.classes == CLASSES["train"]
    split = dataset.split("train")
    assert len(split) == 30
    assert split.labels.tolist() == [0] * 10 + [1] * 10 + [2] * 10
    assert split.reader.image(0).shape == (16, 20, 3)


@pytest.mark.parametrize("part", ["val", "test"])
def test_novel_classes_are_a_set_of_their_own(part, folder, data_root):
    dataset = open_dataset(f"miniimagenet:{folder}#{part}", root=data_root)
    assert dataset.spec == f"miniimagenet:{folder}#{part}"
    assert dataset.classes == CLASSES[part]
    assert {name: len(split) for name, split in dataset.splits.items()} == {"train": 14, "test": 6}


def test_missing_images_are_counted(tmp_path, data_root, notes):
    table(tmp_path / "train.csv", ("filename", "label"), [("a.jpg", "n1"), ("b.jpg", "n2"), ("c.jpg", "n2")])
    picture(tmp_path / "images/a.jpg", 0)
    picture(tmp_path / "images/b.jpg", 0)
    open_dataset(f"miniimagenet:{tmp_path}", root=data_root, reporter=notes)
    assert any("1 label of missing images left out, such as c.jpg" in n for n in notes.notes)
    (tmp_path / "images/a.jpg").unlink()
    (tmp_path / "images/b.jpg").unlink()
    with pytest.raises(DataError, match=r"lacks the images that train\.csv names"):
        open_dataset(f"miniimagenet:{tmp_path}", root=data_root)


def test_other_folders(tmp_path, data_root):
    with pytest.raises(DataError, match=r"is not mini-ImageNet\. Expected are train\.csv and images"):
        open_dataset(f"miniimagenet:{tmp_path}", root=data_root)
    for rest in ("", f"{tmp_path}#base"):
        with pytest.raises(UsageError, match=r"is invalid\. Use miniimagenet:PATH, miniimagenet:PATH#val"):
            open_dataset(f"miniimagenet:{rest}", root=data_root)
