import builtins
import io

import numpy as np
import pytest
from PIL import Image

from transferkit.core.errors import DataError, MissingExtraError, UnreadableImageError, UsageError
from transferkit.core.preprocessing import Preprocessing
from transferkit.data.dataset import DATASETS
from transferkit.data.hugging import Source, _source_of, parse_source
from transferkit.data.loading import load_batches


def opened(spec, root, seed=0, **options):
    return DATASETS["hf"](str(spec), root=root, seed=seed, **options)


def test_names_configurations_splits_and_folders(tmp_path, monkeypatch):
    assert parse_source("user/birds:small#test") == Source("user/birds", "small", "test", False)
    assert parse_source("beans").spec == "hf:beans"
    (tmp_path / "saved").mkdir()
    monkeypatch.chdir(tmp_path)
    assert parse_source("saved#train") == Source(str(tmp_path / "saved"), "", "train", True)
    assert parse_source("./saved").spec == f"hf:{tmp_path}/saved"
    with pytest.raises(UsageError, match=r"hf: has no name\. Give a name or a path"):
        parse_source("")
    with pytest.raises(UsageError, match=r"hf:\./nowhere: there is no folder .*/nowhere"):
        parse_source("./nowhere")


def test_cells_hold_bytes_or_a_path_or_nothing(tmp_path):
    assert _source_of({"bytes": b"x", "path": "y"}) == b"x"
    assert _source_of({"bytes": None, "path": str(tmp_path)}) == tmp_path
    for empty in (None, {"bytes": None, "path": None}, {}):
        with pytest.raises(UnreadableImageError, match="the row has no image"):
            _source_of(empty)


def test_without_the_package_its_extra_is_named(data_root, monkeypatch):
    importing = builtins.__import__

    def without(name, *rest):
        if name == "datasets":
            raise ModuleNotFoundError(name)
        return importing(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"datasets is needed for data sets of Hugging Face.*\[hf\]"):
        opened("beans", data_root)


@pytest.fixture
def library():
    return pytest.importorskip("datasets", reason="datasets of Hugging Face is not installed (extra hf)")


def cell(level):
    buffer = io.BytesIO()
    Image.fromarray(np.full((4, 5, 3), level, np.uint8)).save(buffer, "PNG")
    return {"bytes": buffer.getvalue(), "path": None}


def table(library, n, start=0, **columns):
    features = {"image": library.Image(), "label": library.ClassLabel(names=["cat", "dog"])}
    values = {"image": [cell(start + i) for i in range(n)], "label": [i % 2 for i in range(n)]}
    for name, (feature, column) in columns.items():
        features[name], values[name] = feature, column
    return library.Dataset.from_dict(values, features=library.Features(features))


def levels(split):
    return [int(split.reader.image(row)[0, 0, 0]) for row in range(len(split))]


def test_a_saved_folder_with_splits(library, tmp_path, data_root, notes):
    parts = {"train": table(library, 6), "validation": table(library, 4, 20), "test": table(library, 2, 40)}
    library.DatasetDict(parts).save_to_disk(tmp_path / "saved")
    dataset = opened(tmp_path / "saved", data_root, reporter=notes)
    assert dataset.spec == f"hf:{tmp_path / 'saved'}"
    assert {name: levels(split) for name, split in dataset.splits.items()} == {
        "train": list(range(6)), "val": list(range(20, 24)), "test": [40, 41]
    }  # fmt: skip
    assert dataset.classes == ("cat", "dog")
    assert dataset.split("train").labels.tolist() == [0, 1] * 3
    assert len(notes.tasks) == 3
    again = opened(tmp_path / "saved", data_root, reporter=notes)
    assert len(notes.tasks) == 3, "fingerprints are remembered"
    assert again.split("val").fingerprint == dataset.split("val").fingerprint
    alone = opened(f"{tmp_path / 'saved'}#train", data_root)
    assert sum(map(len, alone.splits.values())) == 6


def test_a_saved_table_is_divided(library, tmp_path, data_root):
    table(library, 20).save_to_disk(tmp_path / "saved")
    dataset = opened(tmp_path / "saved", data_root)
    assert {name: len(split) for name, split in dataset.splits.items()} == {"train": 12, "val": 4, "test": 4}
    assert levels(dataset.split("test")) == [int(one[-2:]) for one in dataset.split("test").ids]
    train = dataset.split("train")
    batches = load_batches(train, Preprocessing(resize=4, crop=4), np.array_split(np.arange(12), 3), workers=2)
    assert [level for batch in batches for level in batch.images[:, 0, 0, 0].tolist()] == levels(train)


def test_fingerprints_see_the_images(library, tmp_path, data_root):
    hashes = set()
    for start in (0, 1):
        table(library, 20, start).save_to_disk(tmp_path / f"{start}")
        hashes.add(opened(tmp_path / f"{start}", data_root).split("train").fingerprint)
    assert len(hashes) == 2


def labelled(library, labels, kind):
    """A table whose labels are of another kind than declared classes."""
    features = library.Features({"image": library.Image(), "label": kind})
    return library.Dataset.from_dict({"image": [cell(i) for i in range(len(labels))], "label": labels}, features)


def test_names_as_labels_are_classes_in_sorted_order(library, tmp_path, data_root):
    text = library.Value("string")
    train = labelled(library, ["fox", "cat", "fox", "dog"], text)
    parts = {"train": train, "test": labelled(library, ["dog", "cat"], text)}
    library.DatasetDict(parts).save_to_disk(tmp_path / "saved")
    dataset = opened(tmp_path / "saved", data_root)
    assert dataset.classes == ("cat", "dog", "fox")
    assert dataset.split("train").labels.tolist() == [2, 0, 2, 1]
    assert dataset.split("test").labels.tolist() == [1, 0]
    foreign = {"train": train, "test": labelled(library, ["dog", "wolf"], text)}
    library.DatasetDict(foreign).save_to_disk(tmp_path / "foreign")
    with pytest.raises(DataError, match=r"row 1 of test has the label 'wolf', which train lacks\. Leave such"):
        opened(tmp_path / "foreign", data_root)
    mixed = {"train": labelled(library, [0, 1], library.Value("int64")), "test": parts["test"]}
    library.DatasetDict(mixed).save_to_disk(tmp_path / "mixed")
    with pytest.raises(DataError, match=r"has 'dog' in row 0 of test, not one whole number\. Leave such"):
        opened(tmp_path / "mixed", data_root)


def test_numbers_as_labels_are_classes_up_to_the_largest(library, tmp_path, data_root):
    labelled(library, [0, 2] * 5, library.Value("int64")).save_to_disk(tmp_path / "saved")
    with pytest.raises(DataError, match="its class '1' has 0 images"):
        opened(tmp_path / "saved", data_root)
    labelled(library, [1, 0] * 5, library.Value("int64")).save_to_disk(tmp_path / "both")
    assert opened(tmp_path / "both", data_root).classes == ("0", "1")


@pytest.mark.parametrize(
    ("labels", "kind", "value"),
    [
        (["cat", None], "string", "None"),
        ([1, None], "int64", "None"),
        ([None, None], "string", "None"),
        ([0.0, 1.5], "float32", r"0\.0"),
        ([[0], [0, 1]], ["int64"], r"\[0\]"),
    ],
)
def test_labels_that_are_no_classes(library, tmp_path, data_root, labels, kind, value):
    feature = [library.Value(kind[0])] if isinstance(kind, list) else library.Value(kind)
    labelled(library, labels, feature).save_to_disk(tmp_path / "saved")
    words = rf"the column label has {value} in row \d of train, not one (whole number|name, as in train)\. Leave"
    with pytest.raises(DataError, match=words):
        opened(tmp_path / "saved", data_root)


def test_invalid_columns_are_rejected(library, tmp_path, data_root):
    several = table(library, 6, other=(library.ClassLabel(names=["a"]), [0] * 6)).rename_column("label", "kind")
    several.save_to_disk(tmp_path / "several")
    with pytest.raises(DataError, match="several columns of labels, kind, other: name one of them label"):
        opened(tmp_path / "several", data_root)
    table(library, 6).remove_columns("image").save_to_disk(tmp_path / "none")
    with pytest.raises(DataError, match="should have one column of images, or one named image; it has none"):
        opened(tmp_path / "none", data_root)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty cannot be loaded: "):
        opened(tmp_path / "empty", data_root)
    library.DatasetDict({"other": table(library, 6)}).save_to_disk(tmp_path / "odd")
    with pytest.raises(DataError, match=r"has no split train\. Choose one: .*#other"):
        opened(tmp_path / "odd", data_root)
    with pytest.raises(DataError, match="there is no split 'dev', only other"):
        opened(f"{tmp_path / 'odd'}#dev", data_root)
