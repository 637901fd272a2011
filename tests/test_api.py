"""The same from Python: any network over any map-style data set."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

import transferkit
from transferkit.api import _train_val_test
from transferkit.core.errors import DataError, UsageError
from transferkit.core.features import Features
from transferkit.data.arrays import from_arrays


class Tiny(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Conv2d(3, 8, 3, padding=1)
        self.head = nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x).relu().mean((2, 3)))


def coloured(n: int, seed: int) -> TensorDataset:
    """Return images of two classes: class 0 is reddish, class 1 bluish."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    images = rng.integers(0, 120, (n, 3, 16, 16), dtype=np.uint8)
    images[np.arange(n), labels * 2] += 80
    return TensorDataset(torch.from_numpy(images), torch.from_numpy(labels))


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    """Tests run in an empty folder, where the default workspace is."""
    monkeypatch.chdir(tmp_path)


SETTINGS = {"size": 16, "device": "cpu", "precision": "fp32", "workers": 0, "quiet": True}


def test_features_by_layer_and_split_are_cached(tmp_path):
    data = {"train": coloured(40, 0), "test": coloured(30, 1)}
    features = transferkit.extract(Tiny(), data, ["body", "last"], workspace=tmp_path, **SETTINGS)
    assert {layer: {s: f.x.shape for s, f in parts.items()} for layer, parts in features.items()} == {
        "body": {"train": (40, 8), "test": (30, 8)},
        "last": {"train": (40, 8), "test": (30, 8)},
    }
    times = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.h5")}
    assert times
    transferkit.extract(Tiny(), data, ["body", "last"], workspace=tmp_path, **SETTINGS)
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.h5")} == times


def test_other_weights_or_other_pixels_are_not_mistaken(tmp_path):
    one = transferkit.extract(Tiny(), coloured(10, 0), workspace=tmp_path, **SETTINGS)["last"]["all"]
    changed = Tiny()
    with torch.no_grad():
        changed.body.weight += 0.1
    two = transferkit.extract(changed, coloured(10, 0), workspace=tmp_path, **SETTINGS)["last"]["all"]
    three = transferkit.extract(Tiny(), coloured(10, 5), workspace=tmp_path, **SETTINGS)["last"]["all"]
    assert not np.array_equal(one.x, two.x)
    assert not np.array_equal(one.x, three.x)


@pytest.mark.parametrize(("protocol", "settings"), [("linear", {"penalties": 3}), ("knn", {"k": (1, 3)})])
def test_every_layer_gives_one_result(tmp_path, protocol, settings):
    data = {"train": coloured(40, 0), "test": coloured(30, 1)}
    features = transferkit.extract(Tiny(), data, ["body", "last"], workspace=tmp_path, **SETTINGS)
    results = transferkit.probe(features, protocol, **settings)
    assert [result.layer for result in results] == ["body", "last"]
    assert all(result.value > 0.9 for result in results)
    assert all(result.evaluated_on == "test" for result in results)
    assert "<table>" in results._repr_html_()
    assert "last" in str(results)


def test_a_single_data_set_is_divided(tmp_path):
    features = transferkit.extract(Tiny(), coloured(100, 0), workspace=tmp_path, **SETTINGS)
    (result,) = transferkit.probe(features, "linear", penalties=3)
    assert (result.n, result.selected_on, result.evaluated_on) == (20, "val", "test")
    (again,) = transferkit.probe(features["last"]["all"], "linear", penalties=3)
    assert again.value == result.value


def test_several_shots_are_one_curve(tmp_path):
    features = transferkit.extract(Tiny(), coloured(40, 0), ["last"], workspace=tmp_path, **SETTINGS)
    settings = {"ways": 2, "queries": 3, "episodes": 4}
    curve = transferkit.probe(features, "fewshot", shots=(1, 5), **settings)
    assert [(one.settings["shots"], one.settings["min_rows_per_class"]) for one in curve] == [(1, 8), (5, 8)]
    (alone,) = transferkit.probe(features, "fewshot", shots=5, **settings)
    assert (alone.settings["min_rows_per_class"], alone.value) == (0, curve[1].value)


def test_html_escapes_names():
    from tests.reports.records import record

    html = transferkit.Results([record("<script>alert(1)</script>", "x", 0.5)])._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


def test_what_is_no_model_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"A int is not a model: pass a spec, an nn\.Module or an Encoder"):
        transferkit.extract(3, coloured(10, 0), workspace=tmp_path)
    with pytest.raises(UsageError, match="The linear protocol has no setting 'shots': it belongs to fewshot"):
        transferkit.probe({}, "linear", shots=5)
    features = transferkit.extract(Tiny(), coloured(40, 0), workspace=tmp_path, **SETTINGS)
    with pytest.raises(UsageError, match=r"views=4 needs images, but probe\(\) has only features"):
        transferkit.probe(features, "linear", solver="sgd", views=4)


def test_results_are_recorded_and_reused_until_the_values_change(tmp_path, monkeypatch):
    features = transferkit.extract(Tiny(), coloured(40, 0), workspace=tmp_path, **SETTINGS)["last"]["all"]
    settings = {"workspace": tmp_path, "k": (1,)}
    (first,) = transferkit.probe(features, "knn", **settings)
    assert len(list((tmp_path / "results").glob("*.json"))) == 1
    monkeypatch.setattr("transferkit.probes.knn.classify", None)  # nothing is left to score
    (again,) = transferkit.probe(features, "knn", **settings)
    assert again == first
    changed = replace(features, x=features.x[:, ::-1].copy())  # the fingerprint of the images stays the same
    for other, more in ((changed, {}), (features, {"force": True}), (features, {"seed": 1})):
        with pytest.raises(TypeError):
            transferkit.probe(other, "knn", **settings, **more)


def test_arrays_without_a_name_leave_no_record(tmp_path):
    labels = np.arange(40) % 2
    rows = Features(x=np.eye(40, dtype=np.float32), labels=labels, ids=[str(n) for n in range(40)], classes=("a", "b"))
    transferkit.probe(rows, "knn", k=(1,), workspace=tmp_path)
    assert not list((tmp_path / "results").glob("*.json"))


def test_the_public_names_are_these():
    assert sorted(transferkit.__all__) == dir(transferkit)
    for name in transferkit.__all__:
        assert getattr(transferkit, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = transferkit.nothing


def test_the_same_weights_in_another_network_are_not_mistaken(tmp_path):
    def network(activation: nn.Module) -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(3, 4, 3), activation)

    settings = {"workspace": tmp_path, **SETTINGS}
    one = transferkit.extract(network(nn.ReLU()), coloured(6, 0), ["1"], **settings)["1"]["all"]
    two = transferkit.extract(network(nn.Tanh()), coloured(6, 0), ["1"], **settings)["1"]["all"]
    assert not np.array_equal(one.x, two.x)


def test_features_with_several_labels_are_divided_by_chance_and_ranked():
    rng = np.random.default_rng(0)
    labels = rng.choice([1, 0, -1], p=[0.4, 0.1, 0.5], size=(60, 3))
    x = (labels @ rng.normal(size=(3, 6)) + rng.normal(size=(60, 6))).astype(np.float32)
    features = transferkit.Features(x, labels, [str(row) for row in range(60)], ("cat", "dog", "sofa"))
    (record,) = transferkit.probe(features, protocol="linear", penalties=3)
    assert (record.metric, record.n, record.selected_on) == ("map11", 12, "val")


def of_patients(data, size):
    data.groups = [f"patient {row // size}" for row in range(len(data))]
    return data


def test_images_of_one_patient_are_divided_together(tmp_path):
    data = of_patients(coloured(100, 0), 4)
    features = transferkit.extract(Tiny(), data, workspace=tmp_path, **SETTINGS)
    whole = features["last"]["all"]
    assert whole.groups == tuple(data.groups)
    parts = _train_val_test({"all": whole}, 0)
    groups = [set(part.groups) for part in parts.values()]
    assert sum(map(len, groups)) == 25
    assert [len(part) for part in parts.values()] == [60, 20, 20]
    grouped, plain = (transferkit.probe(one, "linear", penalties=3)[0] for one in (whole, replace(whole, groups=None)))
    assert grouped.cell != plain.cell


def test_splits_that_share_a_patient_are_refused(tmp_path):
    data = {"train": of_patients(coloured(40, 0), 4), "test": of_patients(coloured(30, 1), 4)}
    with pytest.raises(DataError, match="'patient 0' has rows in train and in test"):
        transferkit.extract(Tiny(), data, workspace=tmp_path, **SETTINGS)


def test_a_split_made_elsewhere_is_taken_as_it_is(tmp_path):
    images = np.zeros((6, 16, 16, 3), np.uint8)
    split = replace(from_arrays(images, [0, 1] * 3, name="mine", split="all"), groups=tuple("aabbcc"))
    features = transferkit.extract(Tiny(), {"train": split}, workspace=tmp_path, **SETTINGS)
    assert features["last"]["train"].groups == tuple("aabbcc")
    assert features["last"]["train"].split == "train"


def test_too_few_patients_to_be_divided_are_named(tmp_path):
    data = of_patients(coloured(40, 0), 20)
    features = transferkit.extract(Tiny(), data, workspace=tmp_path, **SETTINGS)
    with pytest.raises(
        DataError, match="The 40 rows have 2 groups in total, but train, val and test need at least one each"
    ):
        transferkit.probe(features, "knn")


def test_groups_that_hold_whole_classes_leave_nothing_for_test():
    labels = np.arange(40) % 4
    groups = tuple(map(str, labels))
    x = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    features = transferkit.Features(x, labels, [str(row) for row in range(40)], tuple("abcd"), groups=groups)
    with pytest.raises(DataError, match="so few groups per class that none is left for test"):
        transferkit.probe(features, "knn")
