from dataclasses import replace

import numpy as np
import pytest

from tests.probes.features import features
from transferkit.core.errors import DataError, NonFiniteError
from transferkit.core.features import Features
from transferkit.core.outcomes import row_outcomes
from transferkit.core.proportions import accuracy_interval, class_mean_interval
from transferkit.core.seeding import generator
from transferkit.core.statistics import wilson_interval
from transferkit.probes import PROBES
from transferkit.probes.builtin import FewshotSettings, KnnSettings, LinearSettings
from transferkit.probes.calibration import calibration, fitted_temperature, tempered
from transferkit.probes.classification import (
    Selection,
    calibration_record,
    classification_score,
    selection,
    train_and_test,
)
from transferkit.probes.probe import ProbeContext


def test_val_joins_train_to_fit():
    splits = {"train": features(6, "train"), "val": features(4, "val"), "test": features(3, "test")}
    fitting, test = train_and_test(splits)
    assert fitting.ids == [*splits["train"].ids, *splits["val"].ids]
    assert fitting.split == "train+val"
    assert test is splits["test"]


def test_official_val_selects():
    splits = {"train": features(6, "train"), "val": features(4, "val")}
    train, held, name = selection(splits, seed=0)
    assert (train, held, name) == (splits["train"], splits["val"], "val")


def test_without_val_a_fifth_of_train_is_held_out():
    train = features(100, "train", classes=4)
    kept, held, name = selection({"train": train}, seed=3)
    assert name == "20% of train"
    assert (len(kept), len(held)) == (80, 20)
    assert sorted([*kept.ids, *held.ids]) == sorted(train.ids)
    assert np.bincount(held.labels).tolist() == [5, 5, 5, 5]
    assert selection({"train": train}, seed=3)[1].ids == held.ids
    assert selection({"train": train}, seed=4)[1].ids != held.ids


def test_rows_that_cannot_be_divided_are_refused():
    with pytest.raises(DataError, match=r"The 3 rows of train leave none to select .* a single candidate"):
        selection({"train": features(3, "train", classes=3)}, seed=0)


@pytest.mark.parametrize(
    ("splits", "words"),
    [
        ({"train": features(6, "train")}, r"only: train \(6 rows\)"),
        ({"train": features(6, "train"), "test": features(0, "test")}, r"test \(0 rows\)"),
    ],
)
def test_missing_rows_are_refused(splits, words):
    with pytest.raises(DataError, match=words):
        train_and_test(splits)


def test_features_that_are_not_finite_are_refused():
    splits = {"train": features(6, "train"), "test": features(3, "test")}
    splits["test"].x[1, 0] = np.nan
    with pytest.raises(NonFiniteError, match="array test, layer last: 1 of 3 rows are not finite, first 'test/1'"):
        train_and_test(splits)


def scored(n_classes):
    probabilities = np.full((8, n_classes), 0.4 / (n_classes - 1))
    probabilities[:, 0] = 0.6
    labels = np.array([0, 0, 0, 0, 0, 0, 1, 2])
    test = replace(features(8, "test", classes=n_classes), labels=labels)
    return classification_score(
        probabilities, test, Selection("val", {"k": 3}), extra_metrics={"bank": 5}, seconds={"fit": 1.0}
    )


def test_the_score_says_all_it_should():
    score = scored(3)
    assert (score.metric, score.value, score.n) == ("top1", 0.75, 8)
    assert score.interval == wilson_interval(6, 8)
    assert (score.selected_on, score.evaluated_on) == ("val", "test")
    assert (score.chosen, score.seconds) == ({"k": 3}, {"fit": 1.0})
    calibrated = score.extra_metrics["calibration"]
    assert score.extra_metrics == {
        "mean_per_class": pytest.approx(1 / 3),
        "mean_per_class_interval": score.extra_metrics["mean_per_class_interval"],
        "nll": pytest.approx(-(6 * np.log(0.6) + 2 * np.log(0.2)) / 8),
        "ece": pytest.approx(0.15),
        "calibration": calibrated,
        "bank": 5,
    }
    assert (calibrated["before"]["nll"], calibrated["before"]["ece"]) == (
        score.extra_metrics["nll"],
        score.extra_metrics["ece"],
    )


def test_the_score_says_what_became_of_each_row():
    ids = [f"test/{i}" for i in range(8)]
    assert scored(3).outcomes == row_outcomes(ids, [1, 1, 1, 1, 1, 1, 0, 0])


def test_intervals_are_over_classes_and_over_groups():
    rng = generator(0, "per class")
    labels = np.repeat([0, 1], [400, 20])
    correct = np.where(labels == 0, rng.random(420) < 0.9, rng.random(420) < 0.5)
    probabilities = np.eye(2)[np.where(correct, labels, 1 - labels)]
    test = replace(features(420, "test", classes=2), labels=labels)
    patients = replace(test, groups=[str(row // 4) for row in range(420)])
    for rows in (test, patients):
        score = classification_score(probabilities, rows, Selection(), extra_metrics={}, seconds={})
        spread = class_mean_interval(correct, labels, rows.groups)
        assert score.extra_metrics["mean_per_class_interval"] == [spread.low, spread.high]
        assert score.interval == accuracy_interval(correct, rows.groups)
        assert score.outcomes == row_outcomes(rows.ids, correct, groups=rows.groups)
    assert score.interval.method == "wilson over 105 groups"
    assert score.outcomes.sizes == (4,) * 105


def test_top_5_needs_more_than_five_classes():
    assert "top5" not in scored(5).extra_metrics
    assert scored(6).extra_metrics["top5"] == 1.0


def test_the_temperature_comes_from_the_rows_that_selected():
    rng = generator(0, "held")
    held = rng.dirichlet(np.ones(3), size=60), rng.integers(3, size=60)
    tested = rng.dirichlet(np.ones(3), size=40), rng.integers(3, size=40)
    record = calibration_record(*tested, Selection("20% of train", {}, held))
    temperature = fitted_temperature(*held)
    assert temperature is not None
    assert record == {
        "before": calibration(*tested),
        "after": calibration(tempered(tested[0], temperature), tested[1]),
        "temperature": temperature,
        "fitted_on": "20% of train",
    }
    flipped = tested[0], (tested[1] + 1) % 3
    assert calibration_record(*flipped, Selection("20% of train", {}, held))["temperature"] == temperature


def test_without_answers_to_fit_it_to_there_is_no_temperature():
    tested = np.array([[0.6, 0.4]]), np.array([0])
    assert calibration_record(*tested, Selection()) == {"before": calibration(*tested), "temperature": None}
    all_right = np.array([[0.6, 0.4], [0.4, 0.6]]), np.array([0, 1])
    assert calibration_record(*tested, Selection("val", {}, all_right)) == {
        "before": calibration(*tested),
        "temperature": None,
        "fitted_on": "val",
    }


def with_groups(part, size):
    """Features of which neighbours, ``size`` each, are of one group."""
    return replace(part, groups=tuple(f"{part.split} {row // size}" for row in range(len(part))))


def test_without_val_whole_groups_are_held_out():
    train = with_groups(features(120, "train", classes=4), 6)
    kept, held, _ = selection({"train": train}, seed=3)
    assert not set(kept.groups) & set(held.groups)
    assert (len(kept), len(held)) == (96, 24)
    assert set(held.labels.tolist()) == {0, 1, 2, 3}
    assert selection({"train": train}, seed=4)[1].ids != held.ids


def test_one_group_per_class_cannot_be_divided():
    train = features(30, "train", classes=3)
    train = replace(train, groups=tuple(map(str, train.labels.tolist())))
    with pytest.raises(DataError, match=r"every class has only one group\. Use a single candidate"):
        selection({"train": train}, seed=0)


def test_splits_that_share_a_group_are_refused():
    train, test = (replace(features(6, name), groups=tuple("aabbcc")) for name in ("train", "test"))
    with pytest.raises(DataError, match="the group 'a' has rows in train and in test"):
        train_and_test({"train": train, "test": test})


def small_splits(labels, *, names=("train", "val", "test")):
    """Nine rows a split, with these labels."""
    return {
        name: Features(
            generator(0, "small", name).normal(size=(len(labels), 5)).astype(np.float32),
            labels,
            [f"{name}{i}" for i in range(len(labels))],
            ("a", "b", "c"),
            split=name,
        )
        for name in names
    }


ALL_PROBES = pytest.mark.parametrize(
    ("protocol", "settings"),
    [
        ("linear", LinearSettings(penalties=3)),
        ("linear", LinearSettings(solver="sgd")),
        ("knn", KnnSettings(k=(1, 5))),
        ("fewshot", FewshotSettings(ways=2, shots=1, queries=1, episodes=20)),
        ("fewshot", FewshotSettings(scheme="all-way", shots=1)),
    ],
)


@ALL_PROBES
@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint64", "bool", ">i4"])
def test_labels_of_any_integer_type_give_the_same_score(protocol, settings, dtype):
    labels = np.arange(12) % (2 if dtype == "bool" else 3)
    expected = PROBES[protocol].score(ProbeContext(small_splits(labels)), settings)
    found = PROBES[protocol].score(ProbeContext(small_splits(labels.astype(dtype))), settings)
    assert (found.value, found.n) == (expected.value, expected.n)


@ALL_PROBES
def test_rows_of_one_class_are_refused(protocol, settings):
    with pytest.raises(DataError, match=r"a probe needs at least two\. Add rows|need 2 classes .*Use fewer"):
        PROBES[protocol].score(ProbeContext(small_splits(np.zeros(9, int))), settings)


@pytest.mark.parametrize(
    ("protocol", "settings", "remedy"),
    [
        ("linear", LinearSettings(penalties=3), "--penalties 1"),
        ("linear", LinearSettings(solver="sgd"), "--penalties 1"),
        ("knn", KnnSettings(k=(1, 2)), "one --k"),
        ("fewshot", FewshotSettings(ways=2, shots=1, queries=2), "--queries 1 is possible"),
    ],
)
def test_one_row_of_each_class_is_refused_with_what_would_do(protocol, settings, remedy):
    with pytest.raises(DataError, match=remedy):
        PROBES[protocol].score(ProbeContext(small_splits(np.arange(3), names=("train", "test"))), settings)


@pytest.mark.parametrize(
    ("protocol", "settings"),
    [("linear", LinearSettings(penalties=1)), ("knn", KnnSettings(k=(1,)))],
)
def test_one_row_of_each_class_is_enough_where_nothing_is_chosen(protocol, settings):
    splits = small_splits(np.arange(3), names=("train", "test"))
    assert 0 <= PROBES[protocol].score(ProbeContext(splits), settings).value <= 1
