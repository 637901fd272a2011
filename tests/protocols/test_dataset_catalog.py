import subprocess
import sys

import pytest

from tests.datasets.trees import TREES
from transferkit import mini
from transferkit.core.errors import UnknownNameError, UsageError
from transferkit.data.dataset import DATASETS
from transferkit.datasets import PUBLISHED
from transferkit.protocols import dataset_catalog as catalog
from transferkit.protocols.dataset_catalog import GROUPS, expand_datasets, known_datasets, open_dataset


def test_a_folder_is_opened(make_folder, data_root, notes):
    folder = make_folder({"train/a": 1, "train/b": 1, "val/a": 1, "test/a": 1})
    dataset = open_dataset(f"folder:{folder}", root=data_root, seed=3, reporter=notes)
    assert dataset.spec == f"folder:{folder}"
    assert notes.tasks == [(f"Hashing {folder}", 4, "images")]


def test_the_seed_arrives(make_folder, data_root):
    folder = make_folder({"a": 20, "b": 20})
    first, same, other = (open_dataset(f"folder:{folder}", root=data_root, seed=seed) for seed in (0, 0, 1))
    assert first.split("test").ids == same.split("test").ids
    assert first.split("test").ids != other.split("test").ids


def test_a_registered_name_is_opened(data_root):
    dataset = open_dataset("mini/digits", root=data_root)
    assert dataset.spec == "mini/digits"


def test_the_suite_is_its_twelve_downstream_sets():
    expanded = expand_datasets(["mini"])
    assert expanded == list(mini.DOWNSTREAM)
    assert len(expanded) == 12
    assert "mini/objects" not in expanded
    assert set(expanded) <= set(DATASETS)


def test_lists_and_groups_each_once_in_order(make_folder):
    first, second, *_ = mini.DOWNSTREAM
    assert expand_datasets([f"{second}, {first},", second]) == [second, first]
    assert expand_datasets([second, "mini"]) == [second, *(one for one in mini.DOWNSTREAM if one != second)]
    assert expand_datasets(["mini/objects,folder:/a b"]) == ["mini/objects", "folder:/a b"]


def test_a_folder_whose_path_has_commas(make_folder, tmp_path):
    folder = make_folder({"a": 1}, tmp_path / "cats, dogs")
    assert expand_datasets([f"folder:{folder}"]) == [f"folder:{folder}"]


@pytest.mark.parametrize(
    ("spec", "hint"),
    [
        ("mini/digit", "Did you mean 'mini/digits'"),
        ("minni", "Did you mean 'mini'"),
        ("folders", "Did you mean 'folder:PATH'"),
        ("zzz", "Choose from: mini, paper12, kornblith12, folder:PATH"),
        ("fodler:photos", "Did you mean 'folder:photos'"),
    ],
)
def test_unknown_names(spec, hint, data_root):
    for ask in (lambda: open_dataset(spec, root=data_root), lambda: expand_datasets(["mini", spec])):
        with pytest.raises(UnknownNameError, match=f"No data set named '{spec}'. {hint}"):
            ask()


def test_a_bare_path(make_folder, tmp_path, monkeypatch, data_root):
    folder = make_folder({"a": 1})
    monkeypatch.chdir(tmp_path)
    for spec in ("images", "./images", str(folder)):
        for ask in (lambda s=spec: open_dataset(s, root=data_root), lambda s=spec: expand_datasets([s])):
            with pytest.raises(UsageError, match=f"{spec} is a path.*write folder:{spec}"):
                ask()


def test_a_group_is_not_one_data_set(data_root):
    with pytest.raises(UsageError, match=r"mini is a group of data sets\. Choose one of them: mini/"):
        open_dataset("mini", root=data_root)


@pytest.mark.parametrize("specs", [[], ["", " , "]])
def test_no_data_set(specs):
    with pytest.raises(
        UsageError, match=r"No data set is named\. Choose from: mini, paper12, kornblith12, folder:PATH"
    ):
        expand_datasets(specs)


def test_what_is_known():
    known = {one.name: one for one in known_datasets()}
    assert list(known)[:5] == ["mini", "paper12", "kornblith12", "folder:PATH", "imagenet:PATH"]
    assert {name.removesuffix(":PATH") for name in known} == DATASETS.keys() | GROUPS.keys()
    assert known["mini/digits"].domain == "symbolic"
    assert known["mini/digits"].classes == 10
    assert known["mini"].classes is None
    assert all(one.description for one in known.values())
    assert (known["svhn"].state, known["svhn"].images) == ("absent", 99_289)
    assert known["mini/digits"].state == "embedded"


def test_what_is_there(data_root):
    TREES["eurosat"](data_root / "eurosat")
    (data_root / "dtd/labels").mkdir(parents=True)
    known = {one.name: one for one in known_datasets(data_root)}
    size_bytes = sum(path.stat().st_size for path in (data_root / "eurosat").rglob("*") if path.is_file())
    assert (known["eurosat"].state, known["eurosat"].size_bytes) == ("ready", size_bytes)
    assert (known["dtd"].state, known["svhn"].state) == ("partial", "absent")
    assert known["svhn"].size_bytes == PUBLISHED["svhn"].size_bytes


def test_sizes_of_many_files_are_not_measured(data_root, monkeypatch):
    TREES["eurosat"](data_root / "eurosat")
    monkeypatch.setattr(catalog, "_MAX_FILES", 5)
    known = {one.name: one for one in known_datasets(data_root)}
    assert known["eurosat"].size_bytes == PUBLISHED["eurosat"].size_bytes


def test_groups_are_of_registered_names():
    assert len(GROUPS["paper12"]) == 12
    assert {name for members in GROUPS.values() for name in members} <= DATASETS.keys()
    assert len(set(GROUPS["paper12"]) & set(GROUPS["kornblith12"])) == 2


def test_names_are_known_without_torch():
    script = (
        "import sys; from transferkit.protocols.dataset_catalog import known_datasets; known_datasets(); "
        "assert not {'torch', 'scipy', 'skimage'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
