"""Ranks, critical differences, means over seeds, and significance tests."""

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from tests.reference import ranks as reference
from transferkit.core.comparison import compare_outcomes
from transferkit.core.errors import ShapeError
from transferkit.core.half_samples import variance_of_mean
from transferkit.core.outcomes import Outcomes, episode_outcomes
from transferkit.reports.statistics import (
    Units,
    critical_difference,
    difference_p,
    group_means,
    holm,
    min_p,
    pairs,
    ranks,
    seed_mean,
)

RNG = np.random.default_rng(5)
FIVE = RNG.normal(size=(5, 9)) + np.arange(5)[:, None] * 0.7  # [m, n], no ties
NAMES = ["a", "b", "c", "d", "e"]


def units(correct, of="rows", predictions=1, **parts):
    return Units.of_outcomes(Outcomes("rows", of, predictions, tuple(map(int, correct)), **parts))


def test_mean_ranks_are_those_of_counting():
    values = RNG.integers(4, size=(4, 7)).astype(float)  # many ties
    found = ranks(NAMES[:4], values)
    expected = dict(zip(NAMES, reference.mean_ranks(values.tolist()), strict=False))
    assert dict(zip(found.models, found.mean_ranks, strict=True)) == pytest.approx(expected)
    assert list(found.mean_ranks) == sorted(found.mean_ranks)


def test_friedman_is_the_chi_square_of_its_formula():
    expected = reference.chi_square_tail(reference.friedman_statistic(FIVE.tolist()), 4)
    assert_allclose(ranks(NAMES, FIVE).friedman_p, expected, rtol=1e-9)


def test_ranks_do_not_depend_on_the_scale_or_the_order_of_sets():
    one, other = ranks(NAMES, FIVE), ranks(NAMES, np.exp(3 * FIVE[:, ::-1]))
    assert one.models == other.models
    assert_allclose(one.friedman_p, other.friedman_p)


@pytest.mark.parametrize(("m", "q"), [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (6, 2.850), (10, 3.164)])
def test_the_critical_difference_has_the_quantiles_of_the_table(m, q):
    """The reference is Demšar 2006, table 5(a)."""
    assert_allclose(critical_difference(m, 14), q * math.sqrt(m * (m + 1) / (6 * 14)), atol=6e-4)


def test_a_critical_difference_needs_models_and_data_sets():
    with pytest.raises(ShapeError, match="1 models on 3 data sets have no critical difference"):
        critical_difference(1, 3)
    with pytest.raises(ShapeError, match="give 2 and 1 or more"):
        critical_difference(3, 0)


def test_equal_models_do_not_differ_significantly():
    found = ranks(NAMES[:3], np.ones((3, 6)))
    assert found.friedman_p == 1
    assert set(found.mean_ranks) == {2.0}
    assert found.groups == (("a", "b", "c"),)
    assert found.beaten_by("a") == ()


def test_all_models_are_one_group_if_friedman_is_not_significant():
    """Nemenyi's critical difference alone would separate the first from the last."""
    values = np.array([[4, 4, 4, 4, 1, 1], [3, 3, 1, 1, 4, 4], [2, 1, 3, 2, 3, 3], [1, 2, 2, 3, 2, 2]], float)
    found = ranks(NAMES[:4], values)
    apart = replace(found, mean_ranks=(1.0, 2.0, 3.0, 3.9), critical_difference=1.9)
    assert found.friedman_p > 0.05
    assert found.groups == apart.groups == (tuple(found.models),)
    assert apart.beaten_by(apart.models[0]) == ()
    assert len(replace(apart, friedman_p=0.04).groups) == 2


def test_ranks_one_apart_need_enough_data_sets():
    few, many = (ranks(NAMES[:4], np.arange(4)[:, None] + np.zeros((4, n))) for n in (12, 30))
    assert few.models == many.models == ("d", "c", "b", "a")
    assert few.critical_difference == pytest.approx(1.354, abs=1e-3)
    assert few.beaten_by("d") == ("b", "a")
    assert few.groups == (("d", "c"), ("c", "b"), ("b", "a"))
    assert many.critical_difference == pytest.approx(0.856, abs=1e-3)
    assert many.beaten_by("d") == ("c", "b", "a")
    assert many.groups == ()


def test_groups_are_the_largest_runs_within_the_critical_difference():
    found = ranks(NAMES, FIVE)
    by_name = dict(zip(found.models, found.mean_ranks, strict=True))
    for group in found.groups:
        own = [by_name[name] for name in group]
        assert max(own) - min(own) <= found.critical_difference
        wider = [r for r in by_name.values() if r > max(own)]
        assert not wider or min(wider) - min(own) > found.critical_difference


def test_two_models_or_one_set_are_ranked_without_a_test():
    for values in (FIVE[:2], FIVE[:3, :1]):
        found = ranks(NAMES[: len(values)], values)
        assert found.critical_difference is None
        assert (found.friedman_p, found.groups, found.beaten_by(found.models[0])) == (1.0, (), ())


def test_ranks_refuse_shapes_that_do_not_match():
    with pytest.raises(ShapeError, match=r"2 models need values \[2, n\], not \[5, 9\]"):
        ranks(["a", "b"], FIVE)


def test_one_seed_keeps_its_interval():
    value, interval = seed_mean([0.5], [0.41], [0.62])
    assert (value, interval.low, interval.high) == (0.5, 0.41, 0.62)


def test_seeds_that_agree_keep_the_width_of_their_rows():
    value, interval = seed_mean([0.5] * 4, [0.4] * 4, [0.65] * 4)
    assert_allclose([value, interval.low, interval.high], [0.5, 0.4, 0.65])


def test_seeds_without_row_error_have_students_interval():
    values = [0.4, 0.5, 0.9]
    value, interval = seed_mean(values, values, values)
    half = 4.302652729911275 * np.std(values, ddof=1) / math.sqrt(3)  # t of 2 degrees of freedom
    assert_allclose([interval.low, interval.high], [value - half, value + half])


def test_no_seed_has_no_mean():
    with pytest.raises(ShapeError, match="needs at least 1 value, not 0"):
        seed_mean([], [], [])


def test_one_seed_of_rows_is_mcnemar():
    a, b = [1] * 9 + [0] * 1 + [1] * 5, [0] * 9 + [1] * 1 + [1] * 5
    below = sum(math.comb(10, i) for i in range(1)) / 2**10
    exact = 2 * below + math.comb(10, 1) / 2**10  # mid-p: twice the smaller tail, the observed counted once
    assert_allclose(difference_p({0: units(a)}, {0: units(b)}), exact)


HALVED = Outcomes("episodes", "e", 5, (5, 3, 4, 2), halves=((4, 5, 3, 3), (4, 3, 5, 5)), half_predictions=5)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (Outcomes("rows", "r", 1, (1, 1, 0, 1, 1, 0), sizes=(3, 2, 1)), (0, 1, 0, 0, 0, 1)),
        (Outcomes("rows", "r", 2, (2, 1, 0, 1), draws=(2, 2)), (1, 1, 0, 0)),
        (HALVED, (4, 3, 3, 2)),
    ],
)
def test_one_seed_is_tested_as_a_comparison_tests_it(a, b):
    other = replace(a, correct=b, draws=(1, 1) if a.draws else ())
    if a.halves:
        other = replace(other, halves=((2, 3, 3, 4), (4, 4, 2, 3)))
    found = compare_outcomes(a, other)
    assert found.p < 1
    assert difference_p({0: Units.of_outcomes(a)}, {0: Units.of_outcomes(other)}) == found.p


def test_groups_of_rows_count_once_over_several_seeds():
    rng = np.random.default_rng(1)
    correct = rng.random((2, 3, 40)) < 0.6
    a, b = ({seed: units(correct[m, seed]) for seed in range(3)} for m in (0, 1))
    copied = [{seed: units(np.repeat(correct[m, seed], 4), sizes=(4,) * 40) for seed in range(3)} for m in (0, 1)]
    assert_allclose(difference_p(*copied), difference_p(a, b))


def student_tail(t: float, degrees: float) -> float:
    """Return the two-sided probability by numerical integration of the density."""
    x = np.linspace(-1, 1, 400_001) * abs(t)
    scale = math.gamma((degrees + 1) / 2) / (math.sqrt(degrees * math.pi) * math.gamma(degrees / 2))
    return 1 - float(np.trapezoid(scale * (1 + x**2 / degrees) ** (-(degrees + 1) / 2), x))


def test_seeds_that_agree_leave_the_test_over_rows():
    a = {seed: units([1, 1, 0, 1, 1, 0]) for seed in range(3)}
    b = {seed: units([0, 1, 0, 0, 1, 1]) for seed in range(3)}
    gaps = np.array([1, 0, 0, 1, 0, -1])
    t = gaps.mean() / (gaps.std(ddof=1) / math.sqrt(6))
    assert_allclose(difference_p(a, b), student_tail(t, 5), atol=1e-8)


def test_the_spread_of_rows_and_that_of_seeds_are_added():
    a = {0: units([1, 1, 0, 1]), 1: units([1, 0, 1, 1]), 2: units([1, 1, 1, 1])}
    b = {0: units([0, 1, 0, 0]), 1: units([0, 0, 1, 1]), 2: units([1, 1, 1, 1])}
    rows = np.array([2, 0, 0, 1]) / 3  # mean over the seeds, row by row
    seeds = np.array([0.5, 0.25, 0])  # mean over the rows, seed by seed
    of_rows, of_seeds = rows.var(ddof=1) / 4, seeds.var(ddof=1) / 3
    freedom = (of_rows + of_seeds) ** 2 / (of_rows**2 / 3 + of_seeds**2 / 2)
    expected = student_tail(rows.mean() / math.sqrt(of_rows + of_seeds), freedom)
    assert_allclose(difference_p(a, b), expected, atol=1e-8)


def test_two_seeds_have_one_degree_of_freedom():
    a = {0: units([1, 1, 0, 1]), 1: units([1, 0, 1, 1])}
    b = {0: units([0, 1, 0, 0]), 1: units([0, 0, 1, 1])}
    of_rows, of_seeds = np.var([1, 0, 0, 0.5], ddof=1) / 4, np.var([0.5, 0.25], ddof=1) / 2
    expected = student_tail(0.375 / math.sqrt(of_rows + of_seeds), 1)
    assert_allclose(difference_p(a, b), expected, atol=1e-8)


def episode_units(correct, halves, of="e"):
    """Episodes of 5 answers; halves of 100 answers in each batch."""
    both = None if halves is None else np.reshape(halves, (-1, 2, 2))
    return Units.of_outcomes(episode_outcomes(of, correct, predictions=5, halves=both, half_predictions=100))


HALVES_A = [[70, 72, 60, 61], [66, 65, 64, 66], [58, 60, 71, 70]]
HALVES_B = [[60, 58, 61, 60], [62, 60, 59, 60], [61, 60, 60, 62]]


def variance_over_images(a, b):
    gaps = (np.array(a) - np.array(b)) / 100
    apart = [((w + x) / 2 - (y + z) / 2) ** 2 / 4 for w, x, y, z in gaps]
    draws = [(w - x) ** 2 / 4 for w, x, _, _ in gaps] + [(y - z) ** 2 / 4 for _, _, y, z in gaps]
    return np.mean(apart) - np.mean(draws) / 2


def test_episodes_of_one_seed_are_tested_over_images():
    a, b = episode_units([3, 5, 4, 4], HALVES_A), episode_units([2, 5, 4, 3], HALVES_B)
    gaps = np.array([1, 0, 0, 1]) / 5
    squared = variance_over_images(HALVES_A, HALVES_B) + gaps.var(ddof=1) / 4
    expected = student_tail(gaps.mean() / math.sqrt(squared), 2)
    assert_allclose(difference_p({0: a}, {0: b}), expected, atol=1e-8)


def test_episodes_of_several_seeds_share_their_images():
    """The variance over images is that of one seed, however many there are; that over episodes shrinks."""
    a = {seed: episode_units([3, 5, 3 + seed], HALVES_A, of=f"e{seed}") for seed in range(3)}
    b = {seed: episode_units([2, 5, 3], HALVES_B, of=f"e{seed}") for seed in range(3)}
    episodes = np.array([1, 0, 0, 1, 0, 1, 1, 0, 2]) / 5
    seeds = np.array([1 / 3, 2 / 3, 1]) / 5
    of_images = variance_over_images(HALVES_A, HALVES_B) + episodes.var(ddof=1) / 9
    of_seeds = seeds.var(ddof=1) / 3
    halves = (np.array(HALVES_A * 3) - np.array(HALVES_B * 3)).reshape(-1, 2, 2) / 100
    squared, own = variance_of_mean(episodes, halves)
    assert_allclose(squared, of_images)
    freedom = (of_images + of_seeds) ** 2 / (of_images**2 / own + of_seeds**2 / 2)
    expected = student_tail(seeds.mean() / math.sqrt(of_images + of_seeds), freedom)
    assert_allclose(difference_p(a, b), expected, atol=1e-8)


@pytest.mark.parametrize("seeds", [1, 3])
def test_episodes_of_classes_too_small_to_be_halved_never_differ(seeds):
    a, b = ({s: episode_units(correct, None, of=f"e{s}") for s in range(seeds)} for correct in ([5] * 9, [0] * 9))
    assert difference_p(a, b) == 1


@pytest.mark.parametrize(("a", "b", "p"), [([1, 1], [0, 0], 0.0), ([1, 0], [1, 0], 1.0), ([1], [0], 1.0)])
def test_without_spread_a_difference_is_sure_or_there_is_none(a, b, p):
    assert difference_p({0: units(a), 1: units(a)}, {0: units(b), 1: units(b)}) == p


@pytest.mark.parametrize(("seeds", "deviation"), [(3, 0.03), (5, 0.02)])
def test_models_whose_seeds_deviate_are_seldom_called_different(seeds, deviation):
    """Two models have the same expected accuracy, and the accuracy of each training deviates randomly."""
    rng = np.random.default_rng(seeds)
    rows, repeats, wrong = 1000, 200, 0
    for _ in range(repeats):
        hard = 0.2 * np.tanh(rng.normal(size=rows))  # the same rows are hard for everyone
        reached = np.clip(0.7 + rng.normal(0, deviation, (2, seeds, 1)) + hard, 0, 1)
        correct = (rng.random(reached.shape) < reached).astype(np.uint16)
        a, b = ({seed: units(correct[model, seed]) for seed in range(seeds)} for model in (0, 1))
        wrong += difference_p(a, b) < 0.05
    assert wrong / repeats <= 0.08


def test_a_difference_beyond_the_spread_of_seeds_is_found():
    rng = np.random.default_rng(2)
    a, b = (
        {seed: units(rng.random(1000) < chance + rng.normal(0, 0.02)) for seed in range(5)} for chance in (0.8, 0.7)
    )
    assert difference_p(a, b) < 0.01


def test_swapping_the_models_changes_nothing():
    a, b = {0: units([3, 1, 2], predictions=5)}, {0: units([2, 2, 0], predictions=5)}
    assert difference_p(a, b) == difference_p(b, a)


def test_other_rows_cannot_be_compared():
    assert difference_p({0: units([1, 0], of="x")}, {0: units([1, 0], of="y")}) is None
    assert difference_p({0: units([1, 0])}, {1: units([1, 0])}) is None
    assert difference_p({0: units([1, 0])}, {0: units([1, 0, 0])}) is None
    assert difference_p({}, {}) is None


@pytest.mark.parametrize("count", [1, 2, 5, 9])
def test_holm_is_its_definition(count):
    p = RNG.uniform(0, 0.3, count).tolist()
    assert_allclose(holm(p), reference.holm(p))


def test_holm_of_nothing():
    assert holm([]) == []


def test_pairs_are_signed_by_the_better_and_corrected():
    found = pairs(NAMES, FIVE)
    assert len(found) == 10
    assert [pair.found.difference >= 0 for pair in found] == [True] * 10
    assert_allclose([pair.p_holm for pair in found], reference.holm([pair.found.p for pair in found]))
    assert (found[0].a, found[0].found.n) == ("e", 9)


def test_group_means_weigh_members_alike():
    found = group_means({"x": 0.2, "y": 0.4, "z": 1.0}, {"x": "g", "y": "g", "z": "h"})
    assert found == pytest.approx({"g": 0.3, "h": 1.0})


@pytest.mark.parametrize(("sets", "models"), [(4, 3), (6, 2), (8, 5)])
def test_the_smallest_p_is_that_of_models_with_the_same_order_on_every_set(sets, models):
    values = np.arange(models)[:, None] + np.zeros((models, sets))
    found = min(pair.p_holm for pair in pairs(NAMES[:models], values))
    assert_allclose(found, min_p(sets, models * (models - 1) // 2))
