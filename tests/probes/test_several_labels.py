"""The protocols on rows with several labels: one-vs-rest, votes, and what refuses."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from sklearn.linear_model import LogisticRegression

from transferkit.core.errors import DataError, ShapeError, UsageError
from transferkit.core.features import Features, concatenate
from transferkit.core.out_of_core import Blocks
from transferkit.core.seeding import generator
from transferkit.probes import PROBES
from transferkit.probes.builtin import FewshotSettings, KnnSettings, LinearSettings
from transferkit.probes.probe import ProbeContext
from transferkit.probes.ranking import class_precisions
from transferkit.probes.solvers.logistic import logistic_path, one_vs_rest_path

CLASSES = ("bird", "cat", "dog", "sofa")
FEW = LinearSettings(penalties=5, penalty_min=1e-3, penalty_max=1e3)


def tagged(n, split, *, d=8, difficult=0.1):
    """Return rows whose classes are independent; each class has its own direction."""
    rng = generator(0, "tagged", split)
    there = rng.random((n, 4)) < [0.5, 0.3, 0.2, 0.1]
    ways = generator(0, "ways").normal(size=(4, d))
    x = there @ ways + rng.normal(size=(n, d))
    labels = np.where(there, 1, -1)
    labels[rng.random((n, 4)) < difficult] = 0
    return Features(x.astype(np.float32), labels, [f"{split}/{i}" for i in range(n)], CLASSES, split=split)


SPLITS = {name: tagged(n, name) for name, n in {"train": 160, "val": 120, "test": 200}.items()}


def theirs(x, labels, penalty):
    """Scikit-learn's weights ``[d, c]`` and biases ``[c]``, each on the rows that say something of it."""
    fits = []
    for own in labels.T:
        model = LogisticRegression(C=1 / penalty, max_iter=20000, tol=1e-9)
        fits.append(model.fit(x[own != 0].astype(np.float64), own[own != 0] > 0))
    return np.stack([fit.coef_[0] for fit in fits], 1), np.array([fit.intercept_[0] for fit in fits])


@pytest.mark.parametrize(("n", "d"), [(160, 8), (30, 50)])  # in columns, in the row space
@pytest.mark.parametrize("penalty", [0.1, 1.0, 100.0])
def test_one_vs_rest_is_scikit_learns(n, d, penalty):
    rows = tagged(n, "train", d=d)
    path = one_vs_rest_path(torch.from_numpy(rows.x), torch.from_numpy(rows.labels), [penalty])
    weights, biases = theirs(rows.x, rows.labels, penalty)
    expected, found = rows.x @ weights + biases, rows.x @ path.weights[0].numpy() + path.biases[0].numpy()
    assert bool(path.converged.all())
    assert_allclose(found, expected, atol=0.02 * np.abs(expected).max())

    def objective(w, b):
        margins = (rows.x @ w + b) * rows.labels
        return (np.logaddexp(0, -margins) * (rows.labels != 0)).sum() + penalty / 2 * np.square(w).sum()

    least = objective(weights, biases)
    assert least <= objective(path.weights[0].numpy(), path.biases[0].numpy()) <= least * (1 + 1e-4)


def test_each_class_is_fitted_as_if_alone():
    """The weights of a class equal the difference of the weights of a fit with the two classes yes and no."""
    rows, penalties = tagged(160, "train", difficult=0), [10.0, 1.0, 0.1]
    x = torch.from_numpy(rows.x)
    together = one_vs_rest_path(x, torch.from_numpy(rows.labels), penalties)
    for label in range(4):
        alone = logistic_path(x, torch.from_numpy((rows.labels[:, label] == 1).astype(np.int64)), penalties, 2)
        gap = x @ (alone.weights[..., 1] - alone.weights[..., 0]).T + (alone.biases[:, 1] - alone.biases[:, 0])
        own = x @ together.weights[..., label].T + together.biases[:, label]
        assert_allclose(own.numpy(), gap.numpy(), atol=0.02 * float(gap.abs().max()))


def test_the_gradient_is_the_objectives():
    from transferkit.probes.solvers.lbfgs import OneVsRest

    rows = tagged(40, "train")
    x = torch.from_numpy(rows.x) - torch.from_numpy(rows.x).mean(0)
    signs = torch.from_numpy(rows.labels).T.float().contiguous()
    task = OneVsRest(lambda: iter(x.chunk(3)), None, x.square().mean(0), signs)
    w = torch.randn(4, 9, generator=torch.Generator().manual_seed(0)).requires_grad_()
    logits = x.double() @ w[:, :-1].double().T + w[:, -1].double()
    loss = (torch.nn.functional.softplus(-logits * signs.T) * signs.T.abs()).sum() / 40
    loss.backward()
    point = task.at(w.detach())
    assert point.loss == pytest.approx(float(loss.detach()), rel=1e-5)
    assert_allclose(point.gradient.numpy(), w.grad.numpy(), atol=1e-5)


def test_rows_that_say_nothing_of_a_class_do_not_move_it():
    rows = tagged(120, "train", difficult=0)
    moved = rows.labels.copy()
    moved[:20, 2] = 0
    x = torch.from_numpy(rows.x)
    whole, part = (one_vs_rest_path(x, torch.from_numpy(one), [1.0]) for one in (rows.labels, moved))
    only = one_vs_rest_path(x[20:], torch.from_numpy(moved[20:]), [1.0])
    assert_allclose(part.weights[0, :, 2].numpy(), only.weights[0, :, 2].numpy(), atol=5e-3)
    assert_allclose(part.weights[0, :, 0].numpy(), whole.weights[0, :, 0].numpy(), atol=5e-3)
    assert float((part.weights[0, :, 2] - whole.weights[0, :, 2]).abs().max()) > 0.02


def test_classes_that_cannot_be_told_from_anything():
    rows = tagged(60, "train")
    labels = rows.labels.copy()
    labels[:, 0], labels[:, 3] = 1, np.where(labels[:, 3] == 1, 0, labels[:, 3])
    x = torch.from_numpy(rows.x)
    path = one_vs_rest_path(x, torch.from_numpy(labels), [1.0, 0.1])
    assert not path.weights[:, :, [0, 3]].any()
    assert not path.biases[:, [0, 3]].any()
    assert bool(path.weights[:, :, 1].any())
    nothing = one_vs_rest_path(x, torch.zeros(60, 4, dtype=torch.int64), [1.0])
    assert not nothing.weights.any()
    assert bool(nothing.converged.all())
    with pytest.raises(ShapeError, match=r"needs labels \[n, c\], not \[60\]"):
        one_vs_rest_path(x, torch.zeros(60, dtype=torch.int64), [1.0])
    with pytest.raises(UsageError, match="each above 0"):
        one_vs_rest_path(x, torch.from_numpy(labels), [0.0])


def by_scikit_learn(splits, grid):
    """The protocol once more, with scikit-learn's solver."""
    train, val, test = (splits[name] for name in ("train", "val", "test"))

    def precision(fitted, labels, rows, penalty):
        weights, biases = theirs(fitted, labels, penalty)
        return float(np.nanmean(class_precisions(rows.x @ weights + biases, rows.labels)))

    means = {p: precision(train.x, train.labels, val, p) for p in grid}
    best = max(sorted(means, reverse=True), key=means.__getitem__)
    both = np.concatenate([train.x, val.x]), np.concatenate([train.labels, val.labels])
    return best, precision(*both, test, best)


def test_linear_is_the_protocol_by_scikit_learn():
    penalty, value = by_scikit_learn(SPLITS, FEW.grid)
    found = PROBES["linear"].score(ProbeContext(SPLITS), FEW)
    assert (found.metric, found.n, found.selected_on, found.evaluated_on) == ("map11", 200, "val", "test")
    assert found.chosen["penalty"] == pytest.approx(penalty)
    assert found.value == pytest.approx(value, abs=0.01)
    assert found.extra_metrics["unconverged"] == 0
    assert found.extra_metrics["not_fitted"] == found.extra_metrics["absent_from_test"] == []
    assert set(found.extra_metrics["ap11"]) == set(CLASSES)


def test_linear_selects_on_val_and_never_on_test():
    shuffled = replace(SPLITS["test"], labels=np.roll(SPLITS["test"].labels, 7, axis=0))
    found, other = (
        PROBES["linear"].score(ProbeContext(splits), FEW) for splits in (SPLITS, {**SPLITS, "test": shuffled})
    )
    assert found.chosen == other.chosen
    assert found.value > other.value + 0.1
    single = PROBES["linear"].score(ProbeContext(SPLITS), LinearSettings(penalties=1, penalty_min=1.0))
    assert (single.selected_on, single.chosen["penalty"]) == ("none", 1.0)
    held = PROBES["linear"].score(ProbeContext({name: SPLITS[name] for name in ("train", "test")}), FEW)
    assert held.selected_on == "20% of train"


def test_linear_is_refitted_on_train_and_val():
    one = LinearSettings(penalties=1, penalty_min=1.0)
    both = concatenate([SPLITS["train"], SPLITS["val"]], split="train")
    found, joined, alone = (
        PROBES["linear"].score(ProbeContext(splits), one).value
        for splits in (
            SPLITS,
            {"train": both, "test": SPLITS["test"]},
            {name: SPLITS[name] for name in ("train", "test")},
        )
    )
    assert found == joined != alone


def test_linear_of_features_on_the_disk():
    def blocks(x):
        return Blocks(x.shape, x.dtype, lambda: iter(np.array_split(x, 3)))

    large = {name: replace(part, x=blocks(part.x)) for name, part in SPLITS.items()}
    assert PROBES["linear"].score(ProbeContext(large), FEW).value == pytest.approx(
        PROBES["linear"].score(ProbeContext(SPLITS), FEW).value, abs=1e-3
    )


def test_linear_names_classes_that_were_not_fitted():
    never = {
        name: replace(part, labels=np.where(np.arange(4) == 3, -1, part.labels)) if name != "test" else part
        for name, part in SPLITS.items()
    }
    found = PROBES["linear"].score(ProbeContext(never), FEW)
    assert found.extra_metrics["not_fitted"] == ["sofa"]
    own = SPLITS["test"].labels[:, 3]
    assert found.extra_metrics["ap11"]["sofa"] == pytest.approx((own == 1).sum() / (own != 0).sum())  # by chance


def votes_by_hand(k):
    bank = np.concatenate([SPLITS["train"].x, SPLITS["val"].x]).astype(np.float64)
    labels = np.concatenate([SPLITS["train"].labels, SPLITS["val"].labels])
    unit, queries = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (bank, SPLITS["test"].x))
    scores = np.zeros((200, 4))
    for row, near in enumerate(queries @ unit.T):
        nearest = np.argsort(-near)[:k]
        for label in range(4):
            say = [(np.exp(near[i] / 0.07), labels[i, label]) for i in nearest if labels[i, label] != 0]
            total = sum(vote for vote, _ in say)
            scores[row, label] = sum(vote for vote, said in say if said == 1) / total if total else 0
    return class_precisions(scores.astype(np.float32), SPLITS["test"].labels).mean()


def test_knn_ranks_by_shares_of_votes():
    found = PROBES["knn"].score(ProbeContext(SPLITS), KnnSettings(k=(1, 5, 20), index="flat"))
    assert (found.metric, found.selected_on) == ("map11", "val")
    for k in (1, 5, 20):
        assert found.extra_metrics[f"map11@k={k}"] == pytest.approx(votes_by_hand(k), abs=2e-3)
    assert found.value == found.extra_metrics[f"map11@k={found.chosen['k']}"]


@pytest.mark.parametrize(
    ("protocol", "settings", "words"),
    [
        (
            "linear",
            LinearSettings(solver="sgd"),
            "--solver sgd needs one label per image. Use --solver lbfgs.",
        ),
        (
            "linear",
            LinearSettings(select_by="mean_per_class"),
            "--select-by mean_per_class needs one. Leave it out",
        ),
        (
            "fewshot",
            FewshotSettings(),
            "few-shot recognition needs one label per image. Use --protocol linear",
        ),
        ("fewshot", FewshotSettings(scheme="all-way"), "few-shot recognition needs one label per image"),
    ],
)
def test_what_needs_one_label_refuses(protocol, settings, words):
    with pytest.raises(DataError, match=f"array has several labels per image, (and|but) {words}"):
        PROBES[protocol].score(ProbeContext(SPLITS), settings)


@pytest.mark.parametrize(
    ("protocol", "settings", "single"),
    [("linear", FEW, "--penalties 1"), ("knn", KnnSettings(k=(1, 5)), "one --k, --temperature and --metric")],
)
def test_nothing_to_choose_on(protocol, settings, single):
    bare = {**SPLITS, "val": replace(SPLITS["val"], labels=np.full_like(SPLITS["val"].labels, -1))}
    with pytest.raises(DataError, match=f"no validation row has a class. Use {single}, which"):
        PROBES[protocol].score(ProbeContext(bare), settings)


def test_splits_of_both_forms():
    mixed = {**SPLITS, "test": replace(SPLITS["test"], labels=np.zeros(200, np.int64))}
    with pytest.raises(DataError, match="Some splits have one label per row and some have several"):
        PROBES["linear"].score(ProbeContext(mixed), FEW)
