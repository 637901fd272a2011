"""The variance of a mean over episodes by halves of the images, and what is made of it."""

import math
from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from transferkit.core.errors import ShapeError
from transferkit.core.half_samples import (
    NO_HALVES,
    ONE_EPISODE,
    OVER_IMAGES,
    _variance_terms,
    difference_interval,
    difference_p,
    interval_over_images,
    variance_of_mean,
)
from transferkit.core.seeding import generator
from transferkit.core.statistics import t_quantile, wilson_limits

RNG = generator(0, "half samples")
VALUES = RNG.normal(0.7, 0.06, size=600)
HALVES = 0.7 + RNG.normal(0, 0.02, (25, 1, 1)) * [[1], [-1]] + RNG.normal(0, 0.005, (25, 2, 2))


def image_variance(halves):
    """The unbiased estimate of the variance that is due to the images; it can be negative."""
    half_term, batch_term = _variance_terms(halves)
    return half_term - batch_term


def all_halvings(values):
    """Means of both halves, for every way of dividing the values into two; both batches are alike."""
    n = len(values)
    found = []
    for first in combinations(range(n), n // 2):
        second = [i for i in range(n) if i not in first]
        found.append([[np.mean([values[i] for i in part])] * 2 for part in (first, second)])
    return np.array(found)


@pytest.mark.parametrize("n", [4, 6, 10])
def test_over_all_halvings_of_a_mean_it_is_the_squared_standard_error(n):
    values = RNG.normal(size=n)
    assert image_variance(all_halvings(values)) == pytest.approx(values.var(ddof=1) / n)


def test_the_estimate_is_between_the_covariance_of_halves_and_their_corrected_variance():
    """If accuracy depends on images jointly, the halves also share a part that is not opposite."""
    rng, n = generator(0, "parts"), 100_000
    opposite, own, draws = (rng.normal(0, 0.02, size) for size in ((n, 1, 1), (n, 2, 1), (n, 2, 2)))
    halves = 0.6 + opposite * [[1], [-1]] + own / 2 + draws * 2
    means = halves.mean(axis=2)
    covariance = np.cov(means.T)[0, 1]
    noise = 4 * 4e-4 / 2
    assert -covariance == pytest.approx(4e-4, rel=0.05)
    expected = (means.var() - noise - covariance) / 2
    assert image_variance(halves) == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("noise", [0.0, 0.02, 0.05])
def test_independent_noise_of_the_batches_adds_nothing_on_average(noise):
    rng = generator(0, "noise")
    signal = rng.normal(0, 0.02, size=(4000, 10, 1, 1)) * [[1], [-1]]
    found = [image_variance(one) for one in signal + rng.normal(0, noise, size=(4000, 10, 2, 2))]
    assert np.mean(found) == pytest.approx(4e-4, rel=0.05)


def test_order_of_halvings_halves_and_batches_does_not_matter():
    moved = HALVES[::-1].copy()
    moved[::2] = moved[::2, ::-1]
    moved[::3] = moved[::3, :, ::-1]
    assert image_variance(moved) == pytest.approx(image_variance(HALVES))


@pytest.mark.parametrize("shape", [(25,), (0, 2, 2), (25, 2), (25, 2, 3)])
def test_other_shapes_are_rejected(shape):
    with pytest.raises(ShapeError, match=r"must be \[b, 2, 2\] with b at least 1, not \["):
        image_variance(np.zeros(shape))


def test_the_variance_of_the_drawn_episodes_is_added():
    of_draws = VALUES.var(ddof=1) / 600
    assert variance_of_mean(VALUES, HALVES)[0] == pytest.approx(image_variance(HALVES) + of_draws)
    noise = RNG.normal(size=(25, 1, 2)).repeat(2, axis=1)  # both halves alike: the estimate is below 0
    assert image_variance(noise) < 0
    assert variance_of_mean(VALUES, noise)[0] == pytest.approx(1.5 * of_draws)


def test_degrees_of_freedom_are_those_of_satterthwaite():
    """Satterthwaite combines halves (``b - 1`` degrees of freedom), batches (``2 b``) and episodes."""
    halves = generator(0, "freedom").normal([[[0.02], [-0.02]]], 0.01, size=(25, 2, 2))
    of_draws = VALUES.var(ddof=1) / 600
    of_halves = image_variance(halves.mean(axis=2, keepdims=True).repeat(2, axis=2))
    of_batches = of_halves - image_variance(halves)
    squared, freedom = variance_of_mean(VALUES, halves)
    assert squared == pytest.approx(of_halves - of_batches + of_draws)
    noise = of_halves**2 / 24 + of_batches**2 / 50 + of_draws**2 / 599
    assert 6 < freedom < 24
    assert freedom == pytest.approx(squared**2 / noise)


def test_degrees_of_freedom_stay_within_their_limits():
    assert variance_of_mean(VALUES, np.zeros((25, 2, 2)))[1] == 24
    noise = RNG.normal(size=(25, 2, 2))
    assert variance_of_mean(VALUES, noise)[1] == 6
    assert variance_of_mean(VALUES[:4], noise)[1] == 3
    assert variance_of_mean(np.ones(600), np.zeros((25, 2, 2))) == (0, 24)


# variances over images and of a half's batches, in those of 600 episodes: what the simulation of the
# documentation has with 500 images of 10 classes, with 500 of 5, with 52 of 50, and with 20 of 50
@pytest.mark.parametrize(("images", "batches"), [(1.8, 3.1), (1.7, 3.9), (7.0, 11.0), (18.0, 11.5)])
def test_equally_good_models_seldom_differ_where_the_estimate_is_uncertain(images, batches):
    rng, n, of_draws, false = generator(0, "alike", images), 6000, 1e-4, 0
    noise = rng.normal(size=600)
    noise = (noise - noise.mean()) / noise.std(ddof=1) * (600 * of_draws) ** 0.5
    for _ in range(n):
        own = rng.normal(0, (images * of_draws) ** 0.5, (25, 1, 1)) * [[1], [-1]]
        halves = own + rng.normal(0, (4 * batches * of_draws) ** 0.5, (25, 2, 2))
        mean = rng.normal(0, ((1 + images) * of_draws) ** 0.5)
        false += difference_p(mean + noise, halves) < 0.05
    assert false <= 0.07 * n


def test_fewer_episodes_than_halvings_leave_fewer_degrees_of_freedom():
    found = difference_interval(VALUES[:4], HALVES)
    half = stats.t.ppf(0.975, 3) * math.sqrt(variance_of_mean(VALUES[:4], HALVES)[0])
    assert found.high - found.low == pytest.approx(2 * half)


@pytest.mark.parametrize("e", [2, 4])
def test_intervals_of_few_episodes_still_cover(e):
    """Images deviate by 0.02, episodes by 0.1: 24 degrees of freedom would cover far too seldom."""
    rng, covered, false = generator(0, "few episodes", e), 0, 0
    for _ in range(500):
        mean = rng.normal(0, 0.02)
        own = mean + rng.normal(0, 0.02, (25, 1, 1)) * [[1], [-1]]
        halves = own + rng.normal(0, 0.1 / 30**0.5, (25, 2, 2))
        values = rng.normal(mean, 0.1, size=e)
        found = interval_over_images(values + 0.5, halves + 0.5, images=200)
        covered += found.low <= 0.5 <= found.high
        false += difference_p(values, halves) < 0.05
    assert covered >= 0.92 * 500
    assert false <= 0.07 * 500


def test_one_episode_has_no_interval():
    found = interval_over_images(VALUES[:1], HALVES, images=520)
    assert (found.limits, found.method) == (None, f"none: {ONE_EPISODE}")
    found = difference_interval(VALUES[:1] - 0.2, HALVES - 0.7)
    assert (found.limits, found.method) == (None, f"none: {ONE_EPISODE}")
    assert difference_p(VALUES[:1] - 0.2, HALVES - 0.7) == 1


def test_the_interval_of_a_difference_is_students():
    found = difference_interval(VALUES, HALVES)
    squared, freedom = variance_of_mean(VALUES, HALVES)
    half = stats.t.ppf(0.975, freedom) * math.sqrt(squared)
    assert (found.low, found.high) == pytest.approx((VALUES.mean() - half, VALUES.mean() + half))
    assert found.method == OVER_IMAGES


@pytest.mark.parametrize("shift", [0.0, 0.01, 0.05])
def test_p_is_the_level_at_which_the_interval_ends_at_zero(shift):
    gaps, halves = VALUES - VALUES.mean() + shift, HALVES - 0.7
    squared, freedom = variance_of_mean(gaps, halves)
    assert difference_p(gaps, halves) == pytest.approx(2 * stats.t.sf(shift / math.sqrt(squared), freedom))
    assert difference_p(-gaps, -halves) == pytest.approx(difference_p(gaps, halves))
    assert (difference_p(gaps, halves) < 0.05) == (difference_interval(gaps, halves).low > 0)


def test_p_of_extreme_cases():
    assert difference_p(np.zeros(5), np.zeros((25, 2, 2))) == 1
    assert difference_p(np.full(5, 0.25), np.zeros((25, 2, 2))) == 0


def test_the_interval_of_an_accuracy_is_students_in_the_middle():
    found = interval_over_images(VALUES, HALVES, images=520)
    plain = difference_interval(VALUES, HALVES)
    width = plain.high - plain.low
    assert (found.low, found.high) == pytest.approx((plain.low, plain.high), abs=0.03 * width)
    assert found.method == OVER_IMAGES


def test_the_ends_of_the_interval_are_where_the_score_test_has_five_percent():
    """Wilson's interval holds each π with |p − π| ≤ t √(π (1 − π) / n)."""
    found, p = interval_over_images(VALUES, HALVES, images=520), VALUES.mean()
    squared, freedom = variance_of_mean(VALUES, HALVES)
    n = p * (1 - p) / squared
    for end in (found.low, found.high):
        assert abs(p - end) == pytest.approx(stats.t.ppf(0.975, freedom) * math.sqrt(end * (1 - end) / n))


def test_the_interval_of_an_accuracy_stays_inside_0_and_1():
    near = np.where(np.arange(600) % 20 == 0, 0.9, 1.0)
    halves = near.mean() + RNG.normal(0, 0.01, size=(25, 1, 1)) * [[1, 1], [-1, -1]]
    found = interval_over_images(near, halves, images=520)
    assert near.mean() < found.high < 1
    assert found.low < near.mean() - 0.01


@pytest.mark.parametrize("correct", [0.0, 1.0])
def test_without_any_error_the_number_of_images_limits_the_interval(correct):
    small, large = (
        interval_over_images(np.full(600, correct), np.full((25, 2, 2), correct), images=n) for n in (50, 5000)
    )
    t2 = stats.t.ppf(0.975, 24) ** 2
    assert small.high - small.low == pytest.approx(t2 / (50 + t2))
    assert large.high - large.low == pytest.approx(t2 / (5000 + t2))
    assert (small.high if correct else small.low) == pytest.approx(correct, abs=1e-12)


def test_without_halves_there_is_no_interval():
    found = interval_over_images(VALUES, None, images=30)
    assert (found.limits, found.method) == (None, f"none: {NO_HALVES}")


@pytest.mark.parametrize("correct", [0.0, 1.0])
def test_without_any_error_in_the_episodes_but_some_in_the_halves_the_number_of_images_counts(correct):
    halves = np.full((25, 2, 2), correct)
    halves[3, 0] = 0.5  # both batches: the variance over images is above 0
    assert variance_of_mean(np.full(60, correct), halves)[0] > 0
    found = interval_over_images(np.full(60, correct), halves, images=100)
    low, high = wilson_limits(correct, 100, t_quantile(variance_of_mean(np.full(60, correct), halves)[1]))
    assert (found.low, found.high) == (max(0, low), min(1, high))
