import numpy as np
import pytest
from scipy import stats

from tests.reference import proportions as reference
from transferkit.core.errors import ShapeError
from transferkit.core.proportions import (
    PRIOR_CORRELATION,
    PRIOR_WEIGHT,
    accuracy_interval,
    class_mean_interval,
)
from transferkit.core.seeding import generator
from transferkit.core.statistics import wilson_interval, wilson_limits


def ends(interval):
    return interval.low, interval.high


def test_rows_on_their_own_have_wilsons_interval():
    assert accuracy_interval([True] * 7 + [False] * 3) == wilson_interval(7, 10)


def test_the_interval_over_groups_is_that_of_all_pairs_of_rows():
    rng = generator(0, "pairs")
    group = rng.integers(9, size=60)
    correct = rng.random(60) < 0.4 + 0.06 * group
    p, same = correct.mean(), [0] * 60
    variance = [p * (1 - p)] * 60
    rho = reference.correlation(correct - p, variance, same, group, PRIOR_CORRELATION, PRIOR_WEIGHT)
    assert 0 < rho < 1
    total = reference.variance_of_mean([1 / 60] * 60, variance, group, rho)
    sizes = np.bincount(group)
    t = stats.t.ppf(0.975, 60**2 / (sizes**2).sum() - 1)
    found = accuracy_interval(correct, list(map(str, group)))
    assert ends(found) == pytest.approx(wilson_limits(p, p * (1 - p) / total, t), rel=1e-9)
    assert found.method == "wilson over 9 groups"


@pytest.mark.parametrize("nested", [True, False])
def test_the_interval_over_classes_and_groups_is_that_of_all_pairs_of_rows(nested):
    rng = generator(0, "classes", nested)
    labels = rng.integers(4, size=80)
    group = rng.integers(5, size=80) + 5 * labels if nested else rng.integers(12, size=80)
    correct = rng.random(80) < 0.3 + 0.1 * labels + 0.2 * (group % 3)
    count = np.bincount(labels)
    each = np.bincount(labels, correct) / count
    spread = count * each * (1 - each)
    pooled = (spread.sum() + each.mean() * (1 - each.mean())) / (80 - 4 + 1)
    variance = (spread + pooled) / count  # of one row
    rho = reference.correlation(
        correct - each[labels], variance[labels], labels, group, PRIOR_CORRELATION, PRIOR_WEIGHT
    )
    total = reference.variance_of_mean(1 / (4 * count[labels]), variance[labels], group, rho)
    of_class = variance / count / 16
    load = np.bincount(group, 1 / (4 * count[labels]))
    freedom = min(of_class.sum() ** 2 / (of_class**2 / count).sum(), 1 / (load**2).sum() - 1)
    p = each.mean()
    expected = wilson_limits(p, p * (1 - p) / total, stats.t.ppf(0.975, freedom))
    found = class_mean_interval(correct, labels, list(map(str, group)))
    assert ends(found) == pytest.approx(expected, rel=1e-9)


def test_copies_of_a_row_in_one_group_count_once():
    correct = generator(0, "copies").random(400) < 0.7
    once = accuracy_interval(correct)
    copied = accuracy_interval(np.repeat(correct, 8), [str(row // 8) for row in range(3200)])
    assert ends(copied) == pytest.approx(ends(once), abs=1e-3)
    labels = np.arange(400) % 5
    copies = class_mean_interval(np.repeat(correct, 8), np.repeat(labels, 8), [str(r // 8) for r in range(3200)])
    assert ends(copies) == pytest.approx(ends(class_mean_interval(correct, labels)), abs=3e-3)


def test_the_order_of_rows_and_the_names_of_groups_and_classes_do_not_matter():
    rng = generator(0, "order")
    correct, labels, group = rng.random(90) < 0.8, rng.integers(3, size=90), rng.integers(20, size=90)
    order = rng.permutation(90)
    one = class_mean_interval(correct, labels, [f"g{name}" for name in group])
    other = class_mean_interval(correct[order], 7 - 2 * labels[order], [f"{-name}" for name in group[order]])
    assert ends(one) == pytest.approx(ends(other), rel=1e-12)


def test_many_rows_of_each_class_have_the_normal_interval_of_their_mean():
    rng = generator(0, "strata")
    labels = np.repeat([0, 1], [4000, 2000])
    correct = rng.random(6000) < np.where(labels == 0, 0.9, 0.5)
    each = [correct[labels == c] for c in (0, 1)]
    mean = np.mean([one.mean() for one in each])
    half = 1.96 * np.sqrt(sum(one.var() / len(one) for one in each)) / 2
    assert ends(class_mean_interval(correct, labels)) == pytest.approx((mean - half, mean + half), abs=half / 50)


def test_the_interval_has_a_width_if_all_rows_are_right_or_wrong():
    labels = np.repeat([0, 1, 2], 15)
    alike = wilson_interval(45, 45)
    found = class_mean_interval(np.ones(45), labels)
    assert found.high == 1
    assert found.low == pytest.approx(alike.low, abs=0.01)
    none = class_mean_interval(np.zeros(45), labels)
    assert (none.low, none.high) == (0, pytest.approx(1 - found.low))
    grouped = accuracy_interval(np.ones(45), [str(row // 5) for row in range(45)])
    assert grouped.low < alike.low - 0.08  # nine groups of five rows say less than 45 independent rows


@pytest.mark.parametrize(("g", "known"), [(1, False), (6, False), (7, True)])
def test_few_groups_have_no_interval(g, known):
    correct, groups = np.array([True] * 32 + [False] * 10), [str(row % g) for row in range(42)]
    labels = np.arange(42) // 7 % 2
    for found in (accuracy_interval(correct, groups), class_mean_interval(correct, labels, groups)):
        assert (found.limits is not None) == known
        assert known or found.method == "none: fewer than 7 groups of similar size"


@pytest.mark.parametrize(("draws", "known"), [(1, True), (2, False), (3, False), (4, True)])
def test_few_draws_have_no_interval(draws, known):
    hits = generator(0, "few draws").random((draws, 50)) < 0.7
    assert (accuracy_interval(hits.mean(0), draws=hits.mean(1).tolist()).limits is not None) == known


def test_draws_widen_the_interval_by_their_spread():
    rng = generator(0, "draws")
    hits = rng.random((5, 300)) < np.array([0.5, 0.6, 0.7, 0.55, 0.65])[:, None]
    of_draws = hits.mean(1)
    found = accuracy_interval(hits.mean(0), draws=of_draws.tolist())
    p, rows, spread = hits.mean(), hits.mean(0).var() / 300, of_draws.var(ddof=1) / 5
    freedom = (rows + spread) ** 2 / (spread**2 / 4)
    expected = wilson_limits(p, p * (1 - p) / (rows + spread), stats.t.ppf(0.975, freedom))
    assert ends(found) == pytest.approx(expected, rel=1e-12)
    assert found.method == "wilson and 5 draws"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: accuracy_interval([]), r"n at least 1, not \[0\]"),
        (lambda: accuracy_interval([[1]]), r"not \[1, 1\]"),
        (lambda: accuracy_interval([1, 0], ["a"]), "2 answers need as many groups, not 1"),
        (lambda: class_mean_interval([1, 0], np.array([0])), r"2 rows need as many labels, not \[1\]"),
    ],
)
def test_inconsistent_arguments_are_rejected(make, words):
    with pytest.raises(ShapeError, match=words):
        make()
