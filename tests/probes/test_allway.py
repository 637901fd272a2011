import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import LogisticRegression
from torch.nn.functional import normalize

from tests.probes.features import features
from tests.reference import allway as reference
from transferkit.core.seeding import generator
from transferkit.probes import allway
from transferkit.probes.allway import allway_predictions, draw_shots

LABELS = np.repeat(np.arange(4), [30, 12, 3, 30])
NAMES = [f"leaf/{i:03}.jpg" for i in range(len(LABELS))]


def drawn(shots=5, labels=LABELS, names=NAMES, seed=0, repeat=0):
    return draw_shots(labels, names, shots=shots, seed=seed, repeat=repeat)


def problem(n=60, d=8, spread=2.0):
    train, test = (features(k, split, classes=4, d=d, spread=spread) for k, split in ((n, "a"), (300, "b")))
    return torch.from_numpy(train.x), torch.from_numpy(train.labels), torch.from_numpy(test.x)


def test_shots_of_every_class_or_all_it_has():
    assert np.bincount(LABELS[drawn()]).tolist() == [5, 5, 3, 5]
    assert len(set(drawn().tolist())) == 18


def test_draws_nest_over_shots():
    for few, more in ((1, 5), (5, 10), (10, 25)):
        assert set(drawn(few).tolist()) < set(drawn(more).tolist())


def test_draws_are_by_name():
    order = generator(0, "order").permutation(len(NAMES))
    again = drawn(labels=LABELS[order], names=[NAMES[i] for i in order])
    assert_array_equal(order[again], drawn())


def test_repeats_and_seeds_differ():
    assert_array_equal(drawn(), drawn())
    assert set(drawn().tolist()) != set(drawn(repeat=1).tolist())
    assert set(drawn().tolist()) != set(drawn(seed=1).tolist())


@pytest.mark.parametrize(("n", "d"), [(60, 8), (20, 50)])
@pytest.mark.parametrize("penalty", [1.0, 1024.0, 1e6])
def test_ridge_agrees_with_the_reference(n, d, penalty):
    x, labels, queries = problem(n, d)
    x, labels = x[: n - 5], labels[: n - 5]  # classes of unequal numbers
    found = allway_predictions(x, labels, queries, method="ridge", penalty=penalty)
    expected = reference.scores(x, labels.tolist(), queries, penalty)
    assert_allclose(allway.ridge_scores(x, labels, penalty)(queries), expected, atol=1e-9)
    assert_array_equal(found, expected.argmax(1))


def test_lr_agrees_with_scikit_learn():
    x, labels, queries = problem()
    found = allway_predictions(x, labels, queries, method="lr", penalty=1.0)
    theirs = LogisticRegression(C=1, tol=1e-7).fit(normalize(x).double(), labels)
    assert (found.numpy() == theirs.predict(normalize(queries).double())).mean() >= 0.99


def test_proto_and_nn_by_distances():
    x, labels, queries = problem()
    unit, asked = normalize(x).double(), normalize(queries).double()
    means = torch.stack([unit[labels == c].mean(0) for c in range(4)])
    proto = allway_predictions(x, labels, queries, method="proto", penalty=1.0)
    assert_array_equal(proto, torch.cdist(asked, means).argmin(1))
    nearest = allway_predictions(x, labels, queries, method="nn", penalty=1.0)
    assert_array_equal(nearest, labels[torch.cdist(asked, unit).argmin(1)])


@pytest.mark.gpu
@pytest.mark.parametrize("values", [1, 2**26])
@pytest.mark.parametrize("method", ["lr", "ridge", "proto", "nn"])
def test_a_gpu_answers_as_the_processor_does(method, values, monkeypatch):
    monkeypatch.setattr(allway, "GPU_QUERY_VALUES", values)
    x, labels, queries = problem()
    on_cpu = allway_predictions(x, labels * 2, queries, method=method, penalty=1.0)
    device = torch.device("cuda")
    found = allway_predictions(x, labels * 2, queries, method=method, penalty=1.0, device=device)
    assert found.device.type == "cpu"
    assert (found == on_cpu).float().mean() >= (0.99 if method == "lr" else 1)  # which stops near the minimum


@pytest.mark.parametrize("method", ["lr", "ridge", "proto", "nn"])
def test_a_class_without_rows_is_never_named(method):
    x, labels, queries = problem()
    dense = allway_predictions(x, labels, queries, method=method, penalty=1.0)
    sparse = allway_predictions(x, labels * 3 + 2, queries, method=method, penalty=1.0)
    assert_array_equal(sparse, dense * 3 + 2)


def test_pieces_do_not_matter(monkeypatch):
    x, labels, queries = problem()
    together = allway_predictions(x, labels, queries, method="nn", penalty=1.0)
    monkeypatch.setattr(allway, "MAX_SIMILARITIES", 1)
    assert_array_equal(allway_predictions(x, labels, queries, method="nn", penalty=1.0), together)


def test_one_class_and_constant_features():
    x = torch.ones(3, 4)
    for method in ("lr", "ridge", "proto", "nn"):
        found = allway_predictions(x, torch.tensor([2, 2, 2]), x, method=method, penalty=1.0)
        assert found.tolist() == [2, 2, 2]
