import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import LogisticRegression, Ridge
from torch.testing import assert_close

from tests.reference import fewshot as reference
from tests.reference import logistic
from transferkit.core.seeding import generator
from transferkit.probes.solvers import gram
from transferkit.probes.solvers.gram import lr_scores, nn_scores, proto_scores, ridge_scores


def episode_rows(b, ways, shots, queries, d, *, spread=1.5):
    """Unit rows of ``b`` episodes: support ``[b, ways·shots, d]``, query ``[b, ways·queries, d]``."""
    rng = generator(0, "episodes", b, ways, shots, d)
    means = rng.normal(size=(b, ways, 1, d))
    rows = [means + spread * rng.normal(size=(b, ways, k, d)) + 1 for k in (shots, queries)]
    return tuple(torch.nn.functional.normalize(torch.from_numpy(r).float().flatten(1, 2), dim=2) for r in rows)


def products(support, query):
    return support @ support.mT, query @ support.mT


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
    ends = torch.cat([torch.zeros(1, d), torch.eye(d)])  # their logits are the biases, and biases plus weights
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
        [lr_scores(*products(s[None], q[None]), shots=3, penalty=0.1) for s, q in zip(support, query, strict=True)]
    )
    assert_close(together, alone, atol=1e-4, rtol=0)


def test_lr_is_invariant_to_rotation():
    support, query = episode_rows(6, 5, 3, 4, 16)
    rotation = torch.linalg.qr(torch.from_numpy(generator(0, "turn").normal(size=(16, 16)))).Q.float()
    assert_close(
        lr_scores(*products(support @ rotation, query @ rotation), shots=3, penalty=1.0),
        lr_scores(*products(support, query), shots=3, penalty=1.0),
        atol=1e-5,
        rtol=0,
    )


def test_lr_with_a_strong_penalty_uses_class_means():
    """For λ → ∞ the weights tend to Sᵀ(Y − 1/c)/λ, so that scores are inner products with class means."""
    support, query = episode_rows(6, 4, 3, 5, 16)
    found = lr_scores(*products(support, query), shots=3, penalty=1e5)
    means = support.unflatten(1, (4, 3)).mean(2) - support.mean(1, keepdim=True)
    expected = (query - support.mean(1, keepdim=True)) @ means.mT * 3 / 1e5
    assert_close(found.float(), expected, rtol=1e-2, atol=1e-7)


def test_lr_of_identical_rows_gives_zero_logits():
    logits = lr_scores(torch.ones(1, 6, 6), torch.ones(1, 2, 6), shots=2, penalty=1.0)
    assert logits.abs().max() < 1e-9


@pytest.mark.parametrize("shots", [1, 4])
def test_proto_and_nn_agree_with_the_reference(shots):
    support, query = episode_rows(5, 4, shots, 6, 10)
    proto = proto_scores(*products(support, query), shots=shots).argmax(2)
    nearest = nn_scores(*products(support, query), shots=shots).argmax(2)
    for e in range(5):
        rows, queries = support[e].double().unflatten(0, (4, shots)).tolist(), query[e].double().tolist()
        assert proto[e].tolist() == reference.proto_predictions(rows, queries)
        assert nearest[e].tolist() == reference.nn_predictions(rows, queries)


def test_proto_equals_nn_with_one_shot():
    support, query = episode_rows(5, 4, 1, 6, 10)
    assert_array_equal(
        proto_scores(*products(support, query), shots=1).argmax(2),
        nn_scores(*products(support, query), shots=1).argmax(2),
    )


@pytest.mark.parametrize("penalty", [1e-4, 0.01, 1.0, 100.0])
@pytest.mark.parametrize(("ways", "shots", "d"), [(5, 1, 64), (2, 5, 20), (5, 5, 64), (3, 20, 6)])
def test_lr_ends_long_before_its_limit(ways, shots, d, penalty, monkeypatch):
    """This includes linearly dependent support rows, and products in float32."""
    steps = []
    monkeypatch.setattr(gram, "_step", lambda *a, step=gram._step: steps.append(1) or step(*a))
    lr_scores(*products(*episode_rows(20, ways, shots, 3, d)), shots=shots, penalty=penalty)
    assert len(steps) < 2000


@pytest.mark.parametrize("length", [0.1, 1.0, 4.0])
def test_a_step_lowers_the_loss(length):
    """The loss decreases along the negative gradient, also where a Newton step would overshoot."""
    rng = generator(0, "step", str(length))
    labels = np.arange(8) % 4
    for _ in range(20):
        x, weights, biases = length * rng.normal(size=(8, 3)), rng.normal(size=(3, 4)), rng.normal(size=4)
        down, down_bias = (-np.array(g) for g in logistic.gradient(x, labels, weights, biases, 0.1))
        p = torch.from_numpy((x @ weights + biases).T).softmax(0)
        decrease, curvature = (down**2).sum() + (down_bias**2).sum(), 0.1 * (down**2).sum()
        change = torch.from_numpy((x @ down + down_bias).T)
        number = torch.tensor([[[decrease]], [[curvature]]])
        t = gram._step(p[None], change[None], number[:1], number[1:]).item()
        before = logistic.objective(x, labels, weights, biases, 0.1)
        after = logistic.objective(x, labels, weights + t * down, biases + t * down_bias, 0.1)
        assert t > 0
        assert after < before


@pytest.mark.parametrize(("ways", "shots", "d"), [(5, 1, 64), (5, 5, 12), (2, 5, 20), (3, 20, 6)])
@pytest.mark.parametrize("penalty", [0.01, 1.0, 100.0])
def test_ridge_agrees_with_scikit_learn(ways, shots, d, penalty):
    support, query = episode_rows(5, ways, shots, 6, d)
    support, query = support.double(), query.double()
    found = ridge_scores(*products(support, query), shots=shots, penalty=penalty)
    targets = 2 * np.eye(ways).repeat(shots, 0) - 1
    for e in range(5):
        theirs = Ridge(alpha=penalty).fit(support[e].numpy(), targets).predict(query[e].numpy())
        assert_allclose(found[e].numpy(), theirs, atol=1e-9)


def test_ridge_with_a_strong_penalty_uses_class_means():
    support, query = episode_rows(6, 4, 3, 5, 16)
    found = ridge_scores(*products(support, query), shots=3, penalty=1e6) + 0.5
    means = support.unflatten(1, (4, 3)).mean(2) - support.mean(1, keepdim=True)
    expected = 2 * (query - support.mean(1, keepdim=True)) @ means.mT * 3 / 1e6
    assert_close(found.float(), expected, rtol=1e-2, atol=1e-7)
