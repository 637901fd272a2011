import sys
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.neighbors import KNeighborsClassifier

from tests.probes.features import features
from tests.reference import knn as reference
from transferkit.core.errors import NonFiniteError, UsageError
from transferkit.core.files import sorted_json
from transferkit.core.out_of_core import Blocks
from transferkit.core.seeding import generator
from transferkit.probes import PROBES, builtin, knn
from transferkit.probes.builtin import KnnSettings
from transferkit.probes.knn import Vote, classify, knn_scores
from transferkit.probes.probe import ProbeContext

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
    return PROBES["knn"].score(ProbeContext(splits), settings)


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
    settings = KnnSettings(k=(9,), metric=("euclidean",))
    found = classify(test, bank, settings).scores
    expected = reference.euclidean_scores(test.x, bank.x, bank.labels.tolist(), 9, 6)
    assert_allclose(found, expected, atol=1e-4)
    theirs = KNeighborsClassifier(9, weights="distance").fit(bank.x, bank.labels)
    assert_array_equal(found.argmax(1), theirs.predict(test.x))


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
def test_the_protocol():
    found = score(KnnSettings(k=(1, 5, 20)))
    assert found.selected_on == "val"
    assert found.evaluated_on == "test"
    on_val = {
        k: classify(SPLITS["val"], SPLITS["train"], KnnSettings(k=(k,))).accuracy[Vote(k, 0.07, "cosine")]
        for k in (1, 5, 20)
    }
    assert found.chosen == {"k": max(on_val, key=on_val.__getitem__)}
    assert found.value == found.extra_metrics[f"top1@k={found.chosen['k']}"]
    assert found.extra_metrics["bank"] == 150
    assert found.extra_metrics["whole_bank"] == []
    assert {"mean_per_class", "nll", "ece", "top5"} < set(found.extra_metrics)
    sorted_json([found.extra_metrics, found.chosen, KnnSettings().to_json()])  # plain values


def test_one_k_is_not_chosen():
    found = score(KnnSettings(k=(20,)))
    assert (found.selected_on, found.chosen) == ("none", {})
    assert found.value == found.extra_metrics["top1@k=20"]


@pytest.mark.usefixtures("backend")
def test_k_beyond_the_bank_is_answered_by_all_of_it():
    found = score(KnnSettings(k=(150, 200)))
    assert found.extra_metrics["top1@k=200"] == found.extra_metrics["top1@k=150"]
    assert found.extra_metrics["whole_bank"] == [200]


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
    settings = KnnSettings(k=(20,), metric=(metric,))
    assert score(settings, large).value == pytest.approx(score(settings, plain).value, abs=0.01)


def test_a_query_that_stands_in_the_bank():
    settings = KnnSettings(k=(5,), metric=("euclidean",))
    scores = classify(SPLITS["train"], SPLITS["train"], settings).scores
    assert np.isfinite(scores).all()
    assert_array_equal(scores.argmax(1), SPLITS["train"].labels)


def test_ivf_without_faiss_is_refused(monkeypatch):
    monkeypatch.setattr(builtin, "has_faiss", lambda: False)
    with pytest.raises(UsageError, match="--index ivf needs FAISS: run pip install faiss-cpu, or use --index flat"):
        KnnSettings(index="ivf")


def test_every_vote_of_one_search_is_that_vote_asked_alone(monkeypatch):
    searches = []
    plain = knn.neighbours
    monkeypatch.setattr(knn, "neighbours", lambda *a, **b: searches.append(b["metric"]) or plain(*a, **b))
    settings = KnnSettings(k=(20, 3, 7), temperature=(0.02, 0.5), metric=("cosine", "euclidean"))
    together = classify(SPLITS["test"], SPLITS["train"], settings)
    assert searches == ["cosine", "euclidean"]
    assert len(together.accuracy) == settings.candidates == 9
    for vote, accuracy in together.accuracy.items():
        alone = KnnSettings(k=(vote.k,), temperature=(vote.temperature or 1.0,), metric=(vote.metric,))
        found = classify(SPLITS["test"], SPLITS["train"], alone)
        assert found.accuracy == {Vote(vote.k, vote.temperature, vote.metric): accuracy}
        kept = classify(SPLITS["test"], SPLITS["train"], settings, keep=vote)
        assert kept.best == vote
        assert_allclose(kept.scores, found.scores, atol=1e-6)


def test_scores_by_k_agree_with_the_reference_at_every_k_and_temperature():
    test, bank = SPLITS["test"].rows(np.arange(15)), SPLITS["train"]
    settings = KnnSettings(k=(4, 40, 90), temperature=(0.05, 0.7))
    for k in settings.k:
        for temperature in settings.temperature:
            found = classify(test, bank, settings, keep=Vote(k, temperature, "cosine")).scores
            expected = reference.cosine_scores(test.x, bank.x, bank.labels.tolist(), k, temperature, 6)
            assert_allclose(found, expected, atol=1e-5)


def test_temperature_and_metric_are_chosen_on_validation_rows_too():
    settings = KnnSettings(k=(1, 9, 40), temperature=(0.02, 0.07, 0.6), metric=("cosine", "euclidean"))
    found = score(settings)
    on_val = classify(SPLITS["val"], SPLITS["train"], settings)
    assert on_val.accuracy[on_val.best] == max(on_val.accuracy.values())
    assert found.chosen == on_val.best.chosen(settings)
    assert found.value == found.extra_metrics[on_val.best.name(settings)]
    assert {"top1@k=9,T=0.6,metric=cosine", "top1@k=40,metric=euclidean"} < set(found.extra_metrics)
    assert found.selected_on == "val"
    sorted_json([found.extra_metrics, found.chosen, settings.to_json()])


def test_of_equals_the_smallest_k_then_the_usual_temperature_then_the_first_metric_is_taken():
    """The rows have no noise, so every setting is right."""
    splits = {name: features(60, name, classes=3, spread=0.001) for name in ("train", "val", "test")}
    settings = KnnSettings(k=(7, 3, 5), temperature=(0.5, 0.07, 0.02), metric=("euclidean", "cosine"))
    assert score(settings, splits).chosen == {"k": 3, "metric": "euclidean"}
    settings = replace(settings, metric=("cosine", "euclidean"))
    assert score(settings, splits).chosen == {"k": 3, "temperature": 0.07, "metric": "cosine"}
    settings = replace(settings, metric=("cosine",), temperature=(0.5, 0.02))
    assert score(settings, splits).chosen == {"k": 3, "temperature": 0.02}  # by its ratio to 0.07


def test_one_candidate_is_one_whatever_euclidean_makes_of_temperatures():
    settings = KnnSettings(k=(5,), temperature=(0.1, 0.2), metric=("euclidean",))
    assert settings.candidates == 1
    assert score(settings).selected_on == "none"


@pytest.mark.parametrize("k", [1, 12, 150])
def test_predictions_agree_with_scikit_learn_by_brute_force(k):
    bank, test = SPLITS["train"], SPLITS["test"]
    theirs = KNeighborsClassifier(
        min(k, len(bank)), algorithm="brute", metric="cosine", weights=lambda d: np.exp((1 - d) / 0.07)
    ).fit(bank.x, bank.labels)
    ours = classify(test, bank, KnnSettings(k=(k,))).scores
    assert_allclose(ours, theirs.predict_proba(test.x), atol=1e-4)
    assert_array_equal(ours.argmax(1), theirs.predict(test.x))


def test_duplicated_rows():
    bank, test = SPLITS["train"], SPLITS["test"]
    twice = replace(bank, x=np.repeat(bank.x, 2, axis=0), labels=np.repeat(bank.labels, 2), ids=[*bank.ids] * 2)
    assert_allclose(
        classify(test, twice, KnnSettings(k=(18,))).scores,
        classify(test, bank, KnnSettings(k=(9,))).scores,
        atol=1e-5,
    )


def test_features_that_are_not_finite_are_refused():
    x = SPLITS["test"].x.copy()
    x[3, 2] = np.nan
    with pytest.raises(NonFiniteError, match="1 of 120 rows are not finite"):
        score(KnnSettings(), {**SPLITS, "test": replace(SPLITS["test"], x=x)})


def test_a_bank_larger_than_memory_is_answered_alike(monkeypatch):
    monkeypatch.setattr(knn, "IVF_ROWS", 10)
    monkeypatch.setattr(knn, "IVF_QUERIES", 10)  # but it is searched exactly all the same
    lazy = {
        name: replace(part, x=Blocks(part.x.shape, part.x.dtype, lambda x=part.x: iter(np.split(x, 10))))
        for name, part in SPLITS.items()
    }
    assert score(KnnSettings(index="flat")).extra_metrics == score(KnnSettings(), lazy).extra_metrics


def test_the_record_says_what_an_inverted_file_found(monkeypatch):
    settings = KnnSettings(k=(1, 20), metric=("cosine", "euclidean"), index="ivf")
    found, exact = score(settings), score(replace(settings, index="flat"))
    for metric in settings.metric:
        assert found.extra_metrics[f"index@metric={metric}"] == "ivf"
        assert found.extra_metrics[f"nprobe@metric={metric}"] >= 1
        assert 0.9 < found.extra_metrics[f"recall@metric={metric}"] <= 1
    assert found.value == pytest.approx(exact.value, abs=0.03)
    assert not {name for name in exact.extra_metrics if "index" in name}
    monkeypatch.setattr(knn, "IVF_QUERIES", 120)
    monkeypatch.setattr(knn, "IVF_ROWS", 150)  # the rows of train and val: test is searched so, val is not
    assert score(KnnSettings(k=(20,))).extra_metrics["index"] == "ivf"
    for name, value in (("IVF_ROWS", 151), ("IVF_QUERIES", 121)):
        with monkeypatch.context() as patch:
            patch.setattr(knn, name, value)
            assert "index" not in score(KnnSettings(k=(20,))).extra_metrics
