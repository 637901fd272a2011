import math
import statistics

import numpy as np
import pytest
from scipy import stats

from transferkit.core.errors import ShapeError
from transferkit.core.seeding import generator
from transferkit.core.statistics import (
    FEWEST,
    FEWEST_GROUPS,
    Z95,
    Interval,
    deviation_interval,
    mean_interval,
    percentile_interval,
    percentile_levels,
    t_interval,
    t_quantile,
    welch_satterthwaite,
    wilson_interval,
)


def test_z95_is_the_normal_quantile():
    assert pytest.approx(statistics.NormalDist().inv_cdf(0.975), rel=1e-15) == Z95


def test_mean_interval_by_the_formula():
    values = [0.2, 0.4, 0.4, 0.8, 0.9]
    mean = sum(values) / 5
    sigma = math.sqrt(sum((v - mean) ** 2 for v in values) / 4)
    found = mean_interval(values)
    assert (found.low, found.high) == pytest.approx(
        (mean - Z95 * sigma / math.sqrt(5), mean + Z95 * sigma / math.sqrt(5))
    )
    assert found.method == "normal"


def test_mean_interval_moves_and_stretches_with_its_values():
    values = generator(0, "values").normal(size=30)
    plain, moved = mean_interval(values), mean_interval(3 * values + 7)
    assert (moved.low, moved.high) == pytest.approx((3 * plain.low + 7, 3 * plain.high + 7))


def test_the_interval_of_one_value_is_the_value():
    assert mean_interval([0.25]) == Interval(0.25, 0.25, "normal")


def test_mean_interval_covers_the_mean_95_times_in_100():
    draws = generator(0, "coverage").normal(2.0, 3.0, size=(4000, 100))
    intervals = [mean_interval(row) for row in draws]
    coverage = np.mean([one.low <= 2.0 <= one.high for one in intervals])
    assert coverage == pytest.approx(0.947, abs=0.012)  # a t quantile would give 0.95


@pytest.mark.parametrize(
    ("correct", "n"), [(0, 1), (1, 1), (0, 50), (50, 50), (3, 50), (25, 50), (999, 1000), (1, 10**7)]
)
def test_wilson_agrees_with_scipy(correct, n):
    theirs = stats.binomtest(correct, n).proportion_ci(confidence_level=0.95, method="wilson")
    found = wilson_interval(correct, n)
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    assert found.method == "wilson"


def test_wilson_stays_inside_0_and_1_at_the_ends():
    for n in range(1, 300):
        assert wilson_interval(0, n).low >= 0
        assert wilson_interval(n, n).high <= 1


def test_wilson_bounds_are_where_the_score_test_is_on_the_edge():
    found, p = wilson_interval(13, 40), 13 / 40
    for edge in (found.low, found.high):
        assert abs(p - edge) == pytest.approx(Z95 * math.sqrt(edge * (1 - edge) / 40))


@pytest.mark.parametrize("n", [10, 50, 400])
def test_wilson_covers_the_proportion_95_times_in_100(n):
    intervals = [wilson_interval(k, n) for k in range(n + 1)]
    proportions = np.linspace(0.02, 0.98, 97)
    coverage = [
        sum(stats.binom.pmf(k, n, p) for k, one in enumerate(intervals) if one.low <= p <= one.high)
        for p in proportions
    ]
    assert np.mean(coverage) == pytest.approx(0.95, abs=0.01)


def test_swapping_right_and_wrong_mirrors_wilson():
    one, other = wilson_interval(7, 30), wilson_interval(23, 30)
    assert (one.low, one.high) == pytest.approx((1 - other.high, 1 - other.low))


@pytest.mark.parametrize(("correct", "n"), [(-1, 5), (6, 5), (0, 0)])
def test_wilson_needs_a_proportion(correct, n):
    with pytest.raises(ShapeError, match=rf"^{correct} of {n} is not a proportion: give 0 … n of at least 1\.$"):
        wilson_interval(correct, n)


@pytest.mark.parametrize("values", [[], [[1.0, 2.0]], 3.0])
def test_means_need_a_row_of_values(values):
    with pytest.raises(ShapeError, match=r"^An interval needs values \[n\] with n at least 1, not \["):
        mean_interval(values)


def test_students_t_agrees_with_its_table():
    """Three draws have two degrees of freedom, for which every table lists 4.303."""
    found = t_interval([0.5, 0.6, 0.7])
    assert (found.high + found.low) / 2 == pytest.approx(0.6)
    assert (found.high - found.low) / 2 == pytest.approx(4.302653 * 0.1 / 3**0.5)
    assert found.method == "student t"


def test_students_t_approaches_the_normal_quantile():
    values = generator(0, "t").normal(size=20_000)
    found, normal = t_interval(values), mean_interval(values)
    assert (found.low, found.high) == pytest.approx((normal.low, normal.high), rel=1e-3)


@pytest.mark.parametrize("values", [[], [0.5], [[0.5, 0.6]]])
def test_students_t_needs_two_values(values):
    with pytest.raises(ShapeError, match="n at least 2"):
        t_interval(values)


@pytest.mark.parametrize(("n", "narrow"), [(FEWEST - 1, False), (FEWEST, True)])
def test_fewest_is_where_students_interval_is_at_most_1_4_times_too_wide(n, narrow):
    samples = generator(0, "fewest", n).normal(size=(20_000, n))
    width = t_quantile(n - 1) * samples.std(1, ddof=1).mean() / Z95
    assert (width <= 1.4) == narrow


def test_joined_freedom_lies_between_the_parts_and_their_sum():
    assert welch_satterthwaite((1.0, 4), (0.0, 9)) == pytest.approx(4)
    assert welch_satterthwaite((1.0, 4), (1.0, 4)) == pytest.approx(8)  # two equal parts have all of both
    assert welch_satterthwaite((1.0, math.inf), (1.0, 3)) == pytest.approx(12)
    assert welch_satterthwaite((0.0, 3), (0.0, 5)) == math.inf


def test_bootstraps_are_read_at_levels_that_make_up_for_few_rows():
    low, high = percentile_levels(12)
    assert stats.norm.ppf(high) == pytest.approx(stats.t.ppf(0.975, 11) * math.sqrt(12 / 11))
    assert low == pytest.approx(1 - high)
    assert percentile_levels(100_000) == pytest.approx((0.025, 0.975), abs=1e-5)


def resampled_means(values, rng, draws=400):
    return rng.choice(values, size=(draws, len(values))).mean(axis=1)


def test_limits_are_percentiles():
    drawn = generator(0, "drawn").normal(size=500)
    found = percentile_interval(drawn, 12, "bootstrap")
    assert (found.low, found.high) == tuple(np.quantile(drawn, percentile_levels(12)))


@pytest.mark.parametrize("n", [FEWEST_GROUPS, 12])
def test_percentiles_over_few_rows_have_their_coverage(n):
    rng, held = generator(0, "few rows", n), 0
    for _ in range(500):
        found = percentile_interval(resampled_means(rng.normal(size=n), rng), n, "bootstrap")
        held += found.low <= 0 <= found.high
    assert 0.92 <= held / 500 <= 0.98


def test_limits_by_deviation_are_students_for_a_mean():
    rng = generator(0, "student")
    values = rng.normal(size=9)
    found = deviation_interval(resampled_means(values, rng, 20_000), values.mean(), 9, "bootstrap")
    expected = t_interval(values)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.02)


@pytest.mark.parametrize("n", [1, FEWEST_GROUPS - 1])
def test_fewer_rows_have_no_interval(n):
    drawn = generator(0, "fewer").normal(size=50)
    for found in (percentile_interval(drawn, n, "bootstrap"), deviation_interval(drawn, 0.4, n, "bootstrap")):
        assert found.limits is None
        assert found.method == "none: fewer than 7 rows, groups or images"


def test_an_interval_reads_as_text():
    known, unknown = Interval(0.25, 0.75, "wilson"), Interval.unknown("one image")
    assert (str(known), known.margin, known.limits) == ("0.250–0.750", "±0.250", [0.25, 0.75])
    assert (str(unknown), unknown.margin, unknown.limits) == ("–", "", None)
    assert unknown.clipped(0, 1).limits is None
    assert Interval(-0.5, 1.5, "t").clipped(0, 1) == Interval(0, 1, "t")
