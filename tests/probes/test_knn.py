import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.neighbors import KNeighborsClassifier

from tests.probes.features import features
from tests.reference import knn as reference
from transferkit.core.errors import ShapeError, UsageError
from transferkit.core.files import sorted_json
from transferkit.core.seeding import generator
from transferkit.probes import PROBES, knn
from transferkit.probes.knn import KnnSettings, knn_scores, neighbours

SPLITS = {
    "train": features(90, "train", classes=6, spread=1.5),
    "val": features(60, "val", classes=6, spread=1.5),
    "test": features(120, "test", classes=6, spread=1.5),
}


def unit(n, d, name="rows"):
    x = generator(0, name, n, d).normal(size=(n, d)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


QUERIES, BANK = unit(20, 6, "queries"), unit(50, 6, "bank")
LABELS = np.arange(50) % 4


@pytest.fixture(params=["faiss", "torch"])
def backend(request, monkeypatch):
    if request.param == "torch":
        monkeypatch.setitem(sys.modules, "faiss", None)  # as if it were not installed
    return request.param


def score(settings, splits=SPLITS):
    return PROBES["knn"].score(splits, settings, seed=0)


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("k", [1, 7, 50])
@pytest.mark.parametrize("temperature", [0.07, 1.0])
def test_scores_agree_with_the_reference(k, temperature):
    found = knn_scores(QUERIES, BANK, LABELS, k=k, temperature=temperature, n_classes=5)
    expected = reference.cosine_scores(QUERIES, BANK, LABELS.tolist(), k, temperature, 5)
    assert_allclose(found, expected, atol=1e-5)
    assert_allclose(found.sum(1), 1, atol=1e-6)


@pytest.mark.usefixtures("backend")
def test_euclidean_scores_agree_with_the_reference_and_scikit_learn():
    bank, test = SPLITS["train"], SPLITS["test"]
    settings = KnnSettings(k=(9,), metric="euclidean")
    found = knn._scores(test, bank, settings)[9]
    expected = reference.euclidean_scores(test.x, bank.x, bank.labels.tolist(), 9, 6)
    assert_allclose(found, expected, atol=1e-4)
    theirs = KNeighborsClassifier(9, weights="distance").fit(bank.x, bank.labels)
    assert_array_equal(found.argmax(1), theirs.predict(test.x))


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_faiss_and_torch_find_the_same_rows(metric, monkeypatch):
    with_faiss = neighbours(QUERIES, BANK, k=13, metric=metric)
    monkeypatch.setitem(sys.modules, "faiss", None)
    monkeypatch.setattr(knn, "CHUNK", 200)  # four queries at once
    monkeypatch.setattr(knn, "_search_faiss", None)
    without = neighbours(QUERIES, BANK, k=13, metric=metric)
    assert_allclose(with_faiss[0], without[0], atol=1e-5)
    assert_array_equal(with_faiss[1], without[1])


@pytest.mark.usefixtures("backend")
def test_order_of_the_bank_and_rotation_do_not_matter():
    order = generator(0, "order").permutation(50)
    turn = np.linalg.qr(generator(0, "turn").normal(size=(6, 6)))[0].astype(np.float32)
    plain = knn_scores(QUERIES, BANK, LABELS, k=9, temperature=0.1, n_classes=4)
    moved = knn_scores(QUERIES @ turn, (BANK @ turn)[order], LABELS[order], k=9, temperature=0.1, n_classes=4)
    assert_allclose(moved, plain, atol=1e-4)


def test_no_temperature_is_the_nearest_neighbour():
    cold = knn_scores(QUERIES, BANK, LABELS, k=50, temperature=1e-4, n_classes=4)
    nearest = LABELS[(QUERIES @ BANK.T).argmax(1)]
    assert_array_equal(cold.argmax(1), nearest)
    assert np.isfinite(cold).all()


def test_boundless_temperature_counts_heads():
    hot = knn_scores(QUERIES, BANK, LABELS, k=50, temperature=1e6, n_classes=4)
    assert_allclose(hot, np.tile(np.bincount(LABELS) / 50, (20, 1)), atol=1e-5)


@pytest.mark.usefixtures("backend")
def test_equals_stand_in_the_order_of_the_bank():
    twice = np.concatenate([BANK, BANK])
    _, rows = neighbours(QUERIES, twice, k=100, metric="cosine")
    assert (rows[:, 1::2] - rows[:, ::2] == 50).all()


@pytest.mark.usefixtures("backend")
def test_the_protocol():
    found = score(KnnSettings(k=(1, 5, 20)))
    assert found.selected_on == "val"
    assert found.evaluated_on == "test"
    on_val = {
        k: (
            knn._scores(SPLITS["val"], SPLITS["train"], KnnSettings())[k].argmax(1) == SPLITS["val"].labels
        ).mean()
        for k in (1, 5, 20)
    }
    assert found.chosen == {"k": max(on_val, key=on_val.__getitem__)}
    assert found.value == found.also[f"top1@k={found.chosen['k']}"]
    assert found.also["bank"] == 150
    assert found.also["whole_bank"] == []
    assert {"mean_per_class", "nll", "ece", "top5"} < set(found.also)
    sorted_json([found.also, found.chosen, KnnSettings().to_json()])  # plain values


def test_one_k_is_not_chosen():
    found = score(KnnSettings(k=(20,)))
    assert (found.selected_on, found.chosen) == ("none", {})
    assert found.value == found.also["top1@k=20"]


@pytest.mark.usefixtures("backend")
def test_k_beyond_the_bank_is_answered_by_all_of_it():
    found = score(KnnSettings(k=(150, 200)))
    assert found.also["top1@k=200"] == found.also["top1@k=150"]
    assert found.also["whole_bank"] == [200]


def test_cosine_forgets_the_length_of_rows_and_survives_none():
    longer = {name: replace(part, x=part.x * np.float32(7)) for name, part in SPLITS.items()}
    assert score(KnnSettings(), longer).value == score(KnnSettings()).value
    nothing = {name: replace(part, x=np.zeros_like(part.x)) for name, part in SPLITS.items()}
    assert score(KnnSettings(), nothing).value == pytest.approx(1 / 6)


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_float16_features_do_not_overflow(metric):
    large = {name: replace(part, x=(part.x * 8000).astype(np.float16)) for name, part in SPLITS.items()}
    plain = {name: replace(part, x=part.x * 8000) for name, part in SPLITS.items()}
    settings = KnnSettings(k=(20,), metric=metric)
    assert score(settings, large).value == pytest.approx(score(settings, plain).value, abs=0.01)


def test_a_query_that_stands_in_the_bank():
    scores = knn._scores(SPLITS["train"], SPLITS["train"], KnnSettings(k=(5,), metric="euclidean"))[5]
    assert np.isfinite(scores).all()
    assert_array_equal(scores.argmax(1), SPLITS["train"].labels)


@pytest.mark.parametrize(
    ("queries", "bank", "k", "words"),
    [
        (QUERIES, BANK, 51, "A bank of 50 rows has no 51 neighbours: ask for 1 … 50"),
        (QUERIES, BANK, 0, "no 0 neighbours"),
        (QUERIES[:, :3], BANK, 1, r"Queries \[20, 3\] and bank \[50, 6\]"),
        (QUERIES[0], BANK, 1, r"Queries \[6\]"),
    ],
)
def test_a_search_that_cannot_be_answered_is_refused(queries, bank, k, words):
    with pytest.raises(ShapeError, match=words):
        neighbours(queries, bank, k=k, metric="cosine")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"k": ()}, "--k"),
        ({"k": (5, 0)}, "--k 5,0"),
        ({"temperature": 0.0}, "--temperature 0 must be above 0"),
        ({"metric": "manhattan"}, "--metric 'manhattan' is unknown. Choose from: cosine, euclidean"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(settings, words):
    with pytest.raises(UsageError, match=words):
        KnnSettings(**settings)


def test_torch_and_faiss_share_a_process():
    """Both bring an OpenMP; two threads, in turn, within a minute."""
    code = """
import numpy as np, torch
from transferkit.probes.knn import neighbours
torch.set_num_threads(2)
x = np.random.default_rng(0).normal(size=(2000, 64)).astype(np.float32)
for _ in range(5):
    torch.from_numpy(x) @ torch.from_numpy(x).T
    neighbours(x, x, k=5, metric="euclidean")
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_faiss_is_loaded_when_first_needed():
    code = "import sys, transferkit.probes; sys.exit('faiss' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
