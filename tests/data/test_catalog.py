import pytest

from transferkit.core.errors import UnknownNameError, UsageError
from transferkit.data import mini
from transferkit.data.catalog import GROUPS, expand_datasets, known_datasets, open_dataset
from transferkit.data.dataset import DATASETS


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
        ("zzz", "Choose from: mini, folder:PATH, mini/objects"),
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
    with pytest.raises(UsageError, match=r"mini is a group of data sets\. Open one of it: mini/"):
        open_dataset("mini", root=data_root)


@pytest.mark.parametrize("specs", [[], ["", " , "]])
def test_no_data_set(specs):
    with pytest.raises(UsageError, match=r"No data set is named\. Choose from: mini, folder:PATH"):
        expand_datasets(specs)


def test_what_is_known():
    known = {one.name: one for one in known_datasets()}
    assert list(known)[:3] == ["mini", "folder:PATH", "mini/objects"]
    assert {name.removesuffix(":PATH") for name in known} == DATASETS.keys() | GROUPS.keys()
    assert known["mini/digits"].domain == "symbolic"
    assert known["mini/digits"].classes == 10
    assert known["mini"].classes is None
    assert all(one.description for one in known.values())
