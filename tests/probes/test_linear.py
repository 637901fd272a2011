from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from tests.probes.features import features
from transferkit.core.errors import UsageError
from transferkit.core.files import sorted_json
from transferkit.core.out_of_core import Blocks
from transferkit.probes import PROBES, linear
from transferkit.probes.builtin import LinearProtocol, LinearSettings
from transferkit.probes.probe import ProbeContext

SPLITS = {
    "train": features(120, "train", classes=6, spread=1.5),
    "val": features(60, "val", classes=6, spread=1.5),
    "test": features(300, "test", classes=6, spread=1.5),
}
FEW = LinearSettings(penalties=7)


def score(splits=SPLITS, settings=FEW, seed=0):
    return PROBES["linear"].score(ProbeContext(splits, seed), settings)


def by_scikit_learn(splits, settings):
    """The protocol once more, with scikit-learn's solver."""
    train, val, test = (splits[name] for name in ("train", "val", "test"))

    def fit(x, labels, penalty):
        model = LogisticRegression(C=1 / penalty, max_iter=5000, tol=1e-6)
        return model.fit(x.astype(np.float64), labels)

    accuracy = {p: fit(train.x, train.labels, p).score(val.x, val.labels) for p in settings.grid}
    penalty = max(sorted(accuracy, reverse=True), key=accuracy.__getitem__)
    both = np.concatenate([train.x, val.x]), np.concatenate([train.labels, val.labels])
    return penalty, fit(*both, penalty).score(test.x, test.labels)


def test_the_protocol_agrees_with_scikit_learn():
    penalty, accuracy = by_scikit_learn(SPLITS, FEW)
    found = score()
    assert found.chosen == {"penalty": penalty, "C": 1 / penalty, "at_edge": False}
    assert found.value == pytest.approx(accuracy, abs=0.005)
    assert (found.metric, found.n, found.selected_on, found.evaluated_on) == ("top1", 300, "val", "test")
    assert set(found.extra_metrics) == {
        *("mean_per_class", "mean_per_class_interval", "nll", "ece", "calibration", "top5"),
        *("iterations", "gradient", "unconverged"),
    }
    assert found.extra_metrics["unconverged"] == 0
    assert set(found.seconds) == {"fit", "score"}
    sorted_json([found.extra_metrics, found.chosen])  # plain values


def test_the_test_split_selects_nothing():
    swapped = {**SPLITS, "test": replace(SPLITS["test"], labels=(SPLITS["test"].labels + 1) % 6)}
    assert score(swapped).chosen == score().chosen


def test_without_val_a_fifth_of_train_selects():
    splits = {name: SPLITS[name] for name in ("train", "test")}
    found = score(splits)
    assert found.selected_on == "20% of train"
    assert found.value == score(splits).value


def test_one_penalty_is_not_chosen():
    found = score(settings=LinearSettings(penalties=1, penalty_min=0.1))
    assert (found.selected_on, found.chosen) == ("none", {"penalty": 0.1, "C": 10.0, "at_edge": False})


def test_a_choice_at_the_edge_is_marked():
    assert score(settings=LinearSettings(penalties=3, penalty_min=1e4, penalty_max=1e6)).chosen["at_edge"]


def test_of_equals_the_strongest_penalty_is_chosen():
    easy = {name: features(60, name, spread=0.01) for name in ("train", "val", "test")}
    found = score(easy, LinearSettings(penalties=4, penalty_min=1e-6, penalty_max=1e-3))
    assert (found.value, found.chosen["penalty"]) == (1.0, 1e-3)


def test_float16_features_do_not_overflow():
    def half(part, factor):
        return replace(part, x=(part.x * factor).astype(np.float16))

    for normalize in ("none", "l2", "standardize"):
        settings = LinearSettings(penalties=7, normalize=normalize)
        large = score({name: half(part, 8000) for name, part in SPLITS.items()}, settings)
        assert large.value > 0.6
        assert np.isfinite(large.extra_metrics["nll"])


def test_standardizing_forgets_scale_and_shift():
    scale = np.geomspace(1e-2, 1e2, 8, dtype=np.float32)
    moved = {name: replace(part, x=part.x * scale + 5) for name, part in SPLITS.items()}
    settings = LinearSettings(penalties=7, normalize="standardize")
    assert score(moved, settings).value == pytest.approx(score(SPLITS, settings).value, abs=0.004)


def test_l2_ignores_the_length_of_rows_and_accepts_length_0():
    longer = np.linspace(1, 9, 300, dtype=np.float32)[:, None]
    moved = {**SPLITS, "test": replace(SPLITS["test"], x=SPLITS["test"].x * longer)}
    settings = LinearSettings(penalties=7, normalize="l2")
    assert score(moved, settings).value == score(SPLITS, settings).value
    empty = {**SPLITS, "train": replace(SPLITS["train"], x=np.zeros_like(SPLITS["train"].x))}
    assert np.isfinite(score(empty, settings).extra_metrics["nll"])


def test_only_a_class_without_training_rows_is_never_predicted():
    train = SPLITS["train"]
    splits = {"train": train.rows(train.labels != 2), "test": SPLITS["test"]}
    found = score(splits)
    assert found.value == pytest.approx(score().value * 5 / 6, abs=0.06)
    assert np.isfinite(found.extra_metrics["nll"])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"penalty_min": 2, "penalty_max": 1}, "--penalty-min 2 is more than --penalty-max 1"),
        ({"solver": "sgd", "penalties": 5}, "no penalties: leave out --penalties, or"),
        ({"views": 2}, "--views 2 is invalid with --solver lbfgs. Give 1 or more with --solver sgd"),
        ({"solver": "sgd", "select_by": "mean_per_class"}, "which --solver sgd does not have"),
        ({"solver": "sgd", "penalty_max": 1.0}, "no penalties: leave out --penalty-max, or"),
    ],
)
def test_invalid_settings_are_refused(settings, words):
    with pytest.raises(UsageError, match=words):
        LinearSettings(**settings)


def test_defaults_are_kornbliths():
    grid = LinearSettings().grid
    assert grid == pytest.approx(np.logspace(-6, 5, 45))
    assert LinearSettings().to_json() == {
        "penalties": 45,
        "penalty_min": 1e-6,
        "penalty_max": 1e5,
        "normalize": "none",
        "solver": "lbfgs",
        "views": 0,
        "select_by": "top1",
    }


@pytest.mark.parametrize("select_by", ["top1", "mean_per_class"])
def test_the_penalty_is_best_by_the_metric_that_selects(select_by):
    """One class has 90 % of the rows: strong penalties always predict it, at the cost of the other classes."""
    rare = np.flatnonzero(SPLITS["train"].labels != 0)[::8]
    kept = np.sort(np.concatenate([np.flatnonzero(SPLITS["train"].labels == 0), rare]))
    splits = {**SPLITS, "train": SPLITS["train"].rows(kept)}
    settings = LinearSettings(penalties=12, penalty_max=1e3, select_by=select_by)
    means = {}
    for penalty in settings.grid[::-1]:  # the strongest of equals
        alone = LinearSettings(penalties=1, penalty_min=penalty, penalty_max=penalty)
        judged = score({"train": splits["train"], "test": replace(splits["val"], split="test")}, alone)
        means[penalty] = judged.value if select_by == "top1" else judged.extra_metrics["mean_per_class"]
    assert score(splits, settings).chosen["penalty"] == max(means, key=means.get)


def test_selection_by_the_classes_differs_where_classes_are_unequal():
    hits = torch.tensor([[90, 0], [80, 6]])
    labels = np.repeat([0, 1], [90, 10])
    assert [linear._best(hits, labels, metric) for metric in ("top1", "mean_per_class")] == [0, 1]
    without = np.zeros(90, np.int64)  # a class without rows does not count
    assert linear._best(torch.tensor([[80, 0], [90, 0]]), without, "mean_per_class") == 1


@pytest.mark.parametrize("normalize", ["none", "l2", "standardize"])
@pytest.mark.parametrize("held_out", [True, False], ids=["val", "part of train"])
def test_features_out_of_memory_score_as_in_memory(normalize, held_out):
    def streamed(part):
        return replace(part, x=Blocks(part.x.shape, part.x.dtype, lambda: iter(np.split(part.x, (5, 50)))))

    names = ("train", "val", "test") if held_out else ("train", "test")
    settings = LinearSettings(penalties=5, normalize=normalize)
    found = score({name: streamed(SPLITS[name]) for name in names}, settings)
    whole = score({name: SPLITS[name] for name in names}, settings)
    assert (found.value, found.chosen) == (pytest.approx(whole.value, abs=0.004), whole.chosen)
    assert found.extra_metrics["nll"] == pytest.approx(whole.extra_metrics["nll"], rel=1e-3)


def test_few_logits_at_once_score_the_same(monkeypatch):
    whole = score()
    monkeypatch.setattr(linear, "MAX_LOGITS", 300)
    assert (score().value, score().chosen) == (whole.value, whole.chosen)


@pytest.mark.parametrize("solver", ["lbfgs", "sgd"])
def test_an_offset_that_float32_cannot_hold_changes_nothing_in_float64(solver):
    settings = LinearSettings(penalties=3) if solver == "lbfgs" else LinearSettings(solver="sgd")
    here = {name: features(60, name, dtype=np.float64) for name in ("train", "test")}
    there = {name: replace(part, x=part.x + 1e9) for name, part in here.items()}
    one, other = (LinearProtocol().score(ProbeContext(splits), settings) for splits in (here, there))
    assert one.value > 0.8
    assert other.value == pytest.approx(one.value, abs=0.02)
