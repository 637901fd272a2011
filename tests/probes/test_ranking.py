from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import stats
from sklearn.metrics import precision_recall_curve

from tests.reference.ranking import devkit_average_precision, pooled_average_precision
from transferkit.core.errors import DataError, ShapeError
from transferkit.core.features import Features
from transferkit.core.files import sorted_json
from transferkit.probes import ranking
from transferkit.probes.classification import Selection
from transferkit.probes.ranking import class_precisions, mean_average_precision, ranking_score

rows_of = st.lists(st.tuples(st.integers(0, 6), st.sampled_from([1, 0, -1])), min_size=1, max_size=40)


def column(values):
    return np.array(values, np.float64)[:, None]


def tags(values):
    return np.array(values)[:, None]


def drawn(n, c, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, c)), rng.choice([1, 0, -1], p=[0.25, 0.1, 0.65], size=(n, c))


@pytest.mark.parametrize("seed", range(20))
def test_average_precision_is_the_development_kits(seed):
    scores, labels = drawn(60, 1, seed)
    expected = devkit_average_precision(scores[:, 0].tolist(), labels[:, 0].tolist())
    assert_allclose(class_precisions(scores, labels), [expected], atol=1e-12)


@given(rows_of)
def test_equal_scores_are_one_step(rows):
    scores, labels = zip(*rows, strict=True)
    for reading, every in (("eleven", False), ("all", True)):
        found = class_precisions(column(scores), tags(labels), reading)
        if 1 not in labels:
            assert np.isnan(found).all()
        else:
            assert_allclose(found, [pooled_average_precision(scores, labels, every=every)], atol=1e-12)


@pytest.mark.parametrize(
    ("labels", "eleven", "every"),
    [
        ([1, 1, -1, -1], 1, 1),
        ([-1, -1, 1], 1 / 3, 1 / 3),
        ([1, -1, 1], (6 * 1 + 5 * 2 / 3) / 11, 1 / 2 + 1 / 3),  # recalls 0 … .5, then .6 … 1
        ([-1, 1, -1, 1, 1], 3 / 5, 3 / 5),  # later precision is better: the envelope
        ([0, 1, 0, 0], 1, 1),
        ([0, -1, 0, 1], 1 / 2, 1 / 2),
        ([1] * 3 + [-1] * 7 + [1] * 7, (4 * 1 + 7 * 10 / 17) / 11, 0.3 + 0.7 * 10 / 17),  # .3 is reached
    ],
)
def test_by_hand(labels, eleven, every):
    scores = column(range(len(labels), 0, -1))
    assert class_precisions(scores, tags(labels))[0] == pytest.approx(eleven, abs=1e-12)
    assert class_precisions(scores, tags(labels), "all")[0] == pytest.approx(every, abs=1e-12)


def test_without_difficult_rows_it_is_what_scikit_learns_curve_gives():
    scores, labels = drawn(80, 1)
    labels[labels == 0] = -1
    precision, recall, _ = precision_recall_curve(labels[:, 0] == 1, scores[:, 0])
    precision, recall = precision[:-1], recall[:-1]  # the last is a precision of 1 that no row has
    expected = sum(precision[recall >= t / 10 - 1e-12].max() for t in range(11)) / 11
    assert_allclose(class_precisions(scores, labels), [expected])


def test_what_changes_nothing():
    scores, labels = drawn(50, 4)
    scores = scores.round(1)  # with ties
    found = class_precisions(scores, labels)
    order = np.random.default_rng(1).permutation(50)
    assert_allclose(class_precisions(scores[order], labels[order]), found, atol=1e-12)
    assert_allclose(class_precisions(np.exp(3 * scores) - 7, labels), found, atol=1e-12)
    assert_allclose(class_precisions(np.tile(scores, (2, 1)), np.tile(labels, (2, 1))), found, atol=1e-12)
    difficult = np.zeros_like(labels)
    more = class_precisions(np.concatenate([scores, scores + 9]), np.concatenate([labels, difficult]))
    assert_allclose(more, found, atol=1e-12)


def test_weights_are_repetitions():
    scores, labels = drawn(30, 1)
    times = np.random.default_rng(2).integers(0, 4, 30)
    weighted = ranking.ranking(scores[:, 0], labels[:, 0]).precision(times[None].astype(float), "eleven")
    repeated = class_precisions(np.repeat(scores, times, 0), np.repeat(labels, times, 0))
    assert_allclose(weighted, repeated, atol=1e-12)


def test_limits():
    scores, labels = drawn(40, 3)
    assert mean_average_precision(labels.astype(float), labels) == 1
    constant = class_precisions(np.zeros((40, 3)), labels)  # one step: the share of the class
    assert_allclose(constant, (labels == 1).sum(0) / (labels != 0).sum(0), atol=1e-12)
    labels[:, 1] = -1
    assert np.isnan(class_precisions(scores, labels)).tolist() == [False, True, False]
    assert mean_average_precision(scores, np.zeros_like(labels)) is None
    with pytest.raises(ShapeError, match=r"labels \[n, c\] .* not \[40, 3\] and \[40\]"):
        class_precisions(scores, labels[:, 0])
    with pytest.raises(ShapeError, match="without NaN"):
        class_precisions(np.full((40, 3), np.nan), labels)


def test_the_score_says_which_classes_count():
    scores, labels = drawn(120, 3)
    labels[:, 2] = np.where(labels[:, 2] == 1, -1, labels[:, 2])
    test = Features(np.zeros((120, 1)), labels, list(map(str, range(120))), ("cat", "dog", "sofa"), data="d")
    found = ranking_score(scores, test, Selection("val", {"penalty": 1.0}), seed=0, extra_metrics={"x": 1}, seconds={})
    eleven, every = class_precisions(scores, labels), class_precisions(scores, labels, "all")
    assert (found.metric, found.n, found.selected_on, found.evaluated_on) == ("map11", 120, "val", "test")
    assert found.value == pytest.approx(eleven[:2].mean())
    assert found.extra_metrics["map"] == pytest.approx(every[:2].mean())
    assert found.extra_metrics["ap11"] == pytest.approx({"cat": eleven[0], "dog": eleven[1]})
    assert found.extra_metrics["ap"] == pytest.approx({"cat": every[0], "dog": every[1]})
    assert (found.extra_metrics["absent_from_test"], found.extra_metrics["x"]) == (["sofa"], 1)
    assert found.outcomes is None
    sorted_json([found.extra_metrics, found.chosen])  # plain values
    again = ranking_score(scores, test, Selection(), seed=0, extra_metrics={}, seconds={})
    assert again.interval == found.interval

    def slowly(draws, rng):
        means = []
        for _ in range(draws):
            rows = rng.integers(120, size=120)
            means.append(np.nanmean(class_precisions(scores[rows], labels[rows])[:2]))
        return np.std(means)

    half = stats.t.ppf(0.975, 119) * slowly(600, np.random.default_rng(5))
    assert (found.interval.low, found.interval.high) == pytest.approx(
        (found.value - half, found.value + half), abs=0.015
    )
    assert found.interval.low < found.value < found.interval.high

    copied = Features(
        np.zeros((600, 1)),
        np.repeat(labels, 5, 0),
        list(map(str, range(600))),
        test.classes,
        groups=[str(row // 5) for row in range(600)],
    )
    of_groups = ranking_score(np.repeat(scores, 5, 0), copied, Selection(), seed=0, extra_metrics={}, seconds={})
    assert of_groups.interval.method == "bootstrap of 2000 draws of 120 groups"
    assert (of_groups.interval.low, of_groups.interval.high) == pytest.approx(
        (found.interval.low, found.interval.high), abs=1e-9
    )

    one_group = replace(copied, groups=["a"] * 600)
    found = ranking_score(np.repeat(scores, 5, 0), one_group, Selection(), seed=0, extra_metrics={}, seconds={})
    assert found.interval.limits is None

    nothing = Features(test.x, np.full_like(labels, -1), test.ids, test.classes, data="d")
    with pytest.raises(DataError, match="d: no row of test has a class"):
        ranking_score(scores, nothing, Selection(), seed=0, extra_metrics={}, seconds={})
