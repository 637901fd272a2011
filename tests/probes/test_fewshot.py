from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import LogisticRegression
from torch.testing import assert_close

from tests.probes.features import features
from tests.reference import fewshot as reference
from tests.reference import logistic
from transferkit.core.errors import DataError, NonFiniteError, UsageError
from transferkit.core.files import sorted_json
from transferkit.core.seeding import generator
from transferkit.core.statistics import mean_interval
from transferkit.probes import PROBES, fewshot
from transferkit.probes.episodes import Episodes
from transferkit.probes.fewshot import FewshotSettings, fewshot_accuracies, lr_scores, nn_scores, proto_scores

SPLITS = {
    "train": features(120, "train", classes=6, d=12, spread=1.5),
    "test": features(90, "test", classes=6, d=12, spread=1.5),
}
FEW = FewshotSettings(ways=3, shots=2, queries=5, episodes=40)
METHODS = ("lr", "proto", "nn")


def episode_rows(b, ways, shots, queries, d, *, spread=1.5):
    """Unit rows of ``b`` episodes: support ``[b, ways·shots, d]``, query ``[b, ways·queries, d]``."""
    rng = generator(0, "episodes", b, ways, shots, d)
    means = rng.normal(size=(b, ways, 1, d))
    rows = [means + spread * rng.normal(size=(b, ways, k, d)) + 1 for k in (shots, queries)]
    return tuple(
        torch.nn.functional.normalize(torch.from_numpy(r).float().flatten(1, 2), dim=2) for r in rows
    )


def products(support, query):
    return support @ support.mT, query @ support.mT


def score(settings=FEW, splits=SPLITS, probe=PROBES["fewshot"]):
    return probe.score(splits, settings, seed=0)


@pytest.mark.parametrize(("ways", "shots", "d"), [(5, 1, 64), (5, 5, 64), (2, 5, 20), (3, 20, 6)])
@pytest.mark.parametrize("penalty", [0.01, 1.0, 100.0])
def test_lr_agrees_with_scikit_learn(ways, shots, d, penalty):
    support, query = episode_rows(20, ways, shots, 15, d)
    found = lr_scores(*products(support, query), shots=shots, penalty=penalty).argmax(2).numpy()
    labels = np.repeat(np.arange(ways), shots)
    theirs = [
        LogisticRegression(C=1 / penalty, tol=1e-7, max_iter=5000).fit(s.double(), labels).predict(q.double())
        for s, q in zip(support, query, strict=True)
    ]
    assert (found == np.array(theirs)).mean() >= 0.999


@pytest.mark.parametrize(("ways", "shots", "d"), [(3, 2, 10), (3, 4, 5)])
def test_lr_satisfies_its_defining_equation(ways, shots, d):
    support, _ = episode_rows(2, ways, shots, 1, d)
    labels = np.repeat(np.arange(ways), shots).tolist()
    ends = torch.cat([torch.zeros(1, d), torch.eye(d)])  # logits there are the biases, and these plus weights
    for s in support:
        logits = lr_scores(*products(s[None], ends[None]), shots=shots, penalty=0.5)[0].double()
        weights, biases = logits[1:] - logits[0], logits[0]
        by_weight, by_bias = logistic.gradient(s, labels, weights, biases, 0.5)
        assert_allclose(by_weight, 0, atol=1e-5)
        assert_allclose(by_bias, 0, atol=1e-5)


def test_lr_solves_each_episode_as_if_alone():
    support, query = episode_rows(6, 5, 3, 4, 16)
    together = lr_scores(*products(support, query), shots=3, penalty=0.1)
    alone = torch.cat(
        [
            lr_scores(*products(s[None], q[None]), shots=3, penalty=0.1)
            for s, q in zip(support, query, strict=True)
        ]
    )
    assert_close(together, alone, atol=1e-4, rtol=0)


def test_lr_forgets_rotation():
    support, query = episode_rows(6, 5, 3, 4, 16)
    turn = torch.linalg.qr(torch.from_numpy(generator(0, "turn").normal(size=(16, 16)))).Q.float()
    assert_close(
        lr_scores(*products(support @ turn, query @ turn), shots=3, penalty=1.0),
        lr_scores(*products(support, query), shots=3, penalty=1.0),
        atol=1e-5,
        rtol=0,
    )


def test_lr_under_a_strong_penalty_asks_class_means():
    """For λ → ∞ the weights tend to Sᵀ(Y − 1/c)/λ: inner products with class means."""
    support, query = episode_rows(6, 4, 3, 5, 16)
    found = lr_scores(*products(support, query), shots=3, penalty=1e5)
    means = support.unflatten(1, (4, 3)).mean(2) - support.mean(1, keepdim=True)
    expected = (query - support.mean(1, keepdim=True)) @ means.mT * 3 / 1e5
    assert_close(found.float(), expected, rtol=1e-2, atol=1e-7)


def test_lr_of_rows_that_are_all_alike():
    logits = lr_scores(torch.ones(1, 6, 6), torch.ones(1, 2, 6), shots=2, penalty=1.0)
    assert logits.abs().max() < 1e-9


@pytest.mark.parametrize("shots", [1, 4])
def test_proto_and_nn_agree_with_the_reference(shots):
    support, query = episode_rows(5, 4, shots, 6, 10)
    proto = proto_scores(*products(support, query), shots=shots).argmax(2)
    nearest = nn_scores(*products(support, query), shots=shots).argmax(2)
    for e in range(5):
        rows, asked = support[e].double().unflatten(0, (4, shots)).tolist(), query[e].double().tolist()
        assert proto[e].tolist() == reference.proto_predictions(rows, asked)
        assert nearest[e].tolist() == reference.nn_predictions(rows, asked)


def test_one_shot_makes_proto_and_nn_the_same():
    support, query = episode_rows(5, 4, 1, 6, 10)
    assert_array_equal(
        proto_scores(*products(support, query), shots=1).argmax(2),
        nn_scores(*products(support, query), shots=1).argmax(2),
    )


@pytest.mark.parametrize("method", METHODS)
def test_chunks_do_not_matter(method, monkeypatch):
    support, query = (generator(0, name).integers(50, size=(7, 3, 4)) for name in ("support", "query"))
    x = torch.nn.functional.normalize(torch.from_numpy(generator(0, "x").normal(size=(50, 9))).float())
    together = fewshot_accuracies(x, support, query, method=method, penalty=1.0)
    monkeypatch.setattr(fewshot, "CHUNK", 1)
    assert_array_equal(fewshot_accuracies(x, support, query, method=method, penalty=1.0), together)


@pytest.mark.parametrize("method", METHODS)
def test_the_protocol(method):
    found = score(replace(FEW, method=method))
    assert (found.metric, found.n, found.selected_on, found.evaluated_on) == ("accuracy", 40, "none", "all")
    assert 1 / 3 < found.interval.low < found.value < found.interval.high < 1
    assert found.interval.high - found.interval.low < 0.2
    assert found.also["classes"] == 6
    assert found.also["classes_left_out"] == 0
    assert len(found.also["episodes"]) == 64
    sorted_json(found.also)  # plain values


def test_the_interval_is_over_episodes():
    support = np.arange(6).reshape(3, 2, 1)
    accuracies = fewshot_accuracies(torch.eye(6), support, support, method="proto", penalty=1.0)
    assert accuracies.tolist() == [1, 1, 1]
    found = score()
    x, labels, names = fewshot._pool(SPLITS, "all")
    drawn = fewshot.episodes_for(None, labels, names, FEW.shape, seed=0)
    accuracies = fewshot_accuracies(x, *drawn.rows(names), method="lr", penalty=1.0)
    assert found.interval == mean_interval(accuracies)


def test_kept_episodes_are_replayed_for_another_model(tmp_path):
    keeping = replace(PROBES["fewshot"], folder=tmp_path)
    first = score(probe=keeping)
    assert first.value == score().value  # the same in memory
    (path,) = tmp_path.iterdir()
    assert first.also["episodes"] == Episodes.load(path).digest
    other = {name: replace(part, x=part.x[:, ::-1].copy(), model="other") for name, part in SPLITS.items()}
    assert score(splits=other, probe=keeping).also["episodes"] == first.also["episodes"]
    assert list(tmp_path.iterdir()) == [path]


def test_order_of_rows_does_not_matter():
    order = generator(0, "order").permutation(120)
    shuffled = {**SPLITS, "train": SPLITS["train"].rows(order)}
    assert score(splits=shuffled).value == score().value
    assert score(splits=shuffled).also == score().also


def test_one_split_alone():
    found = score(replace(FEW, split="test"))
    assert found.evaluated_on == "test"
    assert found.value == score(splits={"test": SPLITS["test"]}, settings=replace(FEW, split="test")).value
    with pytest.raises(DataError, match="no split 'val' to draw episodes from, only train, test"):
        score(replace(FEW, split="val"))


def test_ids_that_two_splits_share_are_two_rows():
    alike = {name: replace(part, ids=[str(i) for i in range(len(part))]) for name, part in SPLITS.items()}
    assert score(splits=alike).n == 40


@pytest.mark.parametrize("method", METHODS)
def test_float16_features_do_not_overflow(method):
    large = {name: replace(part, x=(part.x * 8000).astype(np.float16)) for name, part in SPLITS.items()}
    settings = replace(FEW, method=method)
    assert score(settings, large).value == pytest.approx(score(settings).value, abs=0.02)


def test_features_that_are_not_finite_are_refused():
    x = SPLITS["test"].x.copy()
    x[4, 2] = np.inf
    with pytest.raises(NonFiniteError, match="array test, layer last: 1 of 90 rows"):
        score(splits={**SPLITS, "test": replace(SPLITS["test"], x=x)})


def test_too_few_rows_are_refused():
    with pytest.raises(DataError, match="0 of 6 have them"):
        score(replace(FEW, shots=50))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"ways": 1}, "--ways 1 is too few"),
        ({"shots": 0}, "--shots 0 is too few"),
        ({"method": "svm"}, "--method 'svm' is unknown. Choose from: lr, proto, nn"),
        ({"split": "dev"}, "--split 'dev' is unknown. Choose from: all, train, val, test"),
        ({"penalty": 0.0}, "--penalty 0 must be above 0"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(settings, words):
    with pytest.raises(UsageError, match=words):
        FewshotSettings(**settings)


def test_defaults_are_the_studys():
    assert FewshotSettings().to_json() == {
        "ways": 5,
        "shots": 1,
        "queries": 15,
        "episodes": 600,
        "method": "lr",
        "penalty": 1.0,
        "split": "all",
    }
