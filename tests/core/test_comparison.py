import itertools
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from tests.reference import comparison as reference
from transferkit.core.comparison import (
    compare_outcomes,
    flip_p,
    group_sums,
    mcnemar_p,
    over_sets,
    signed_rank_p,
)
from transferkit.core.errors import DataError, ShapeError
from transferkit.core.half_samples import OVER_IMAGES, difference_interval, difference_p
from transferkit.core.outcomes import episode_outcomes, row_outcomes
from transferkit.core.seeding import generator
from transferkit.core.statistics import mean_interval

RNG = generator(0, "comparison")
IDS = [f"test/{i}" for i in range(400)]
GOOD = row_outcomes(IDS, RNG.random(400) < 0.8)
FAIR = row_outcomes(IDS, np.where(RNG.random(400) < 0.7, GOOD.correct, RNG.random(400) < 0.6))
PATIENTS = [f"patient {i // 5 * 7 % 80}" for i in range(400)]
GROUPED = [row_outcomes(IDS, one.correct, groups=PATIENTS) for one in (GOOD, FAIR)]
DRAWN = [
    row_outcomes(IDS, hits.sum(0), predictions=4, draws=hits.sum(1).tolist())
    for hits in (RNG.random((4, 400)) < chance for chance in (0.8, 0.75))
]


def episodes(chance: float, lean: float):
    """Outcomes of 100 episodes, and of 25 halvings whose halves deviate by about ``lean`` to either side."""
    away = RNG.normal(0, lean, size=(25, 1, 1)) * [[1], [-1]]
    halves = RNG.binomial(1000, np.clip(chance + away, 0, 1), size=(25, 2, 2))
    correct = RNG.binomial(75, chance, size=100)
    return episode_outcomes("e", correct, predictions=75, halves=halves, half_predictions=1000)


SHARP, BLUNT = episodes(0.7, 0.03), episodes(0.68, 0.02)
PAIRS = [(GOOD, FAIR), (SHARP, BLUNT)]
ALL_PAIRS = [*PAIRS, tuple(GROUPED), tuple(DRAWN)]


@pytest.mark.parametrize(("b", "c"), [(0, 1), (5, 5), (3, 9), (9, 3), (0, 30), (40, 21), (700, 650), (0, 0), (1, 1)])
def test_mcnemar_agrees_with_the_binomial_test(b, c):
    n = b + c
    exact = stats.binomtest(min(b, c), n, 0.5, alternative="less").pvalue if n else 0.5
    by_hand = 2 * exact - stats.binom.pmf(min(b, c), n, 0.5) if n else 1.0
    assert mcnemar_p(b, c) == pytest.approx(by_hand, rel=1e-9)
    if b != c:
        two_sided = stats.binomtest(b, n, 0.5).pvalue
        assert mcnemar_p(b, c) == pytest.approx(two_sided - stats.binom.pmf(b, n, 0.5), rel=1e-9)


def test_mcnemar_approaches_the_chi_square_test():
    chi_square = (5200 - 5000) ** 2 / 10200
    assert mcnemar_p(5200, 5000) == pytest.approx(stats.chi2.sf(chi_square, 1), rel=0.01)


def test_mcnemar_has_the_nominal_false_positive_rate():
    found = [mcnemar_p(int(b), 60 - int(b)) for b in generator(0, "null").binomial(60, 0.5, size=4000)]
    assert np.mean(np.array(found) < 0.05) == pytest.approx(0.05, abs=0.02)


def test_negative_numbers_of_rows_are_rejected():
    with pytest.raises(ShapeError, match="-1 and 3 are not numbers of rows"):
        mcnemar_p(-1, 3)


def test_rows_are_paired():
    found = compare_outcomes(GOOD, FAIR)
    one, other = np.array(GOOD.correct), np.array(FAIR.correct)
    assert found.difference == pytest.approx(one.mean() - other.mean())
    assert (found.wins, found.losses) == (int((one & ~other & 1).sum()), int((other & ~one & 1).sum()))
    assert (found.p, found.test) == (mcnemar_p(found.wins, found.losses), "McNemar, mid-p")
    assert (found.n, found.interval.method) == (400, "adjusted t")


def test_episodes_are_paired_over_images():
    found = compare_outcomes(SHARP, BLUNT)
    gaps = SHARP.accuracies - BLUNT.accuracies
    halves = SHARP.half_accuracies - BLUNT.half_accuracies
    assert (found.p, found.test) == (difference_p(gaps, halves), OVER_IMAGES)
    assert found.interval == difference_interval(gaps, halves)
    assert found.difference == pytest.approx(gaps.mean())
    assert found.wins == sum(a > b for a, b in zip(SHARP.correct, BLUNT.correct, strict=True))
    assert found.losses == sum(a < b for a, b in zip(SHARP.correct, BLUNT.correct, strict=True))


def test_more_episodes_of_the_same_images_do_not_make_a_difference_significant():
    many = [replace(one, correct=one.correct * 100) for one in (SHARP, BLUNT)]
    found = compare_outcomes(*many)
    assert found.interval.high - found.interval.low > 0.1  # the halves differ by 0.036, about
    assert stats.ttest_rel(*(one.accuracies for one in many)).pvalue < 0.001 < found.p


def test_episodes_without_halves_are_rejected():
    bare = [replace(one, halves=(), half_predictions=0) for one in (SHARP, BLUNT)]
    with pytest.raises(DataError, match=r"A class is too small to be halved.* at least 4 images, or 4 groups"):
        compare_outcomes(*bare)


def test_the_interval_agrees_with_a_bootstrap_in_loops():
    rng, (a, b) = generator(0, "loops"), (GOOD, FAIR)
    low, high = reference.paired_bootstrap(
        a.accuracies.tolist(), b.accuracies.tolist(), 1000, lambda n: int(rng.integers(n))
    )
    found = compare_outcomes(a, b).interval
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.12 * (high - low))


def test_the_interval_is_the_normal_one_of_the_differences():
    normal = mean_interval(GOOD.accuracies - FAIR.accuracies)
    found = compare_outcomes(GOOD, FAIR).interval
    width = normal.high - normal.low
    assert (found.low, found.high) == pytest.approx((normal.low, normal.high), abs=0.08 * width)


@pytest.mark.parametrize(("a", "b"), ALL_PAIRS)
def test_swapping_the_models_changes_the_signs(a, b):
    one, other = compare_outcomes(a, b), compare_outcomes(b, a)
    assert other.difference == -one.difference
    assert (other.interval.low, other.interval.high) == pytest.approx(
        (-one.interval.high, -one.interval.low), abs=1e-15
    )
    assert (other.p, other.wins, other.losses) == (pytest.approx(one.p), one.losses, one.wins)


@pytest.mark.parametrize("outcomes", [GOOD, SHARP, GROUPED[0], DRAWN[0]])
def test_a_model_does_not_differ_from_itself(outcomes):
    found = compare_outcomes(outcomes, outcomes)
    assert (found.difference, found.p, found.wins, found.losses) == (0, 1, 0, 0)
    assert found.interval.low == -found.interval.high
    assert found.interval.high <= 0.01  # on 400 rows nothing is seen of one in 400


def test_the_interval_of_rows_is_bonett_and_prices():
    found = compare_outcomes(GOOD, FAIR)
    b, c = found.wins + 1, found.losses + 1
    d = (b - c) / 402
    half = stats.t.ppf(0.975, 401) * np.sqrt(((b + c) / 402 - d**2) / 401)
    assert (found.interval.low, found.interval.high) == pytest.approx((d - half, d + half), rel=1e-9)


def test_the_interval_of_few_rows_in_favour_of_one_model_contains_0():
    """A bootstrap would leave out all of these four rows in only one of fifty-five draws."""
    better = row_outcomes(IDS, [1] * 204 + [0] * 196)
    worse = row_outcomes(IDS, [1] * 200 + [0] * 200)
    found = compare_outcomes(better, worse)
    assert found.p == pytest.approx(1 / 16)
    assert found.interval.low < 0 < found.interval.high


def test_groups_are_tested_by_all_signs_of_their_differences():
    one, other = GROUPED
    sums = group_sums(np.subtract(one.correct, other.correct), np.array(one.sizes))
    few = sums[:12]
    seen = abs(few.sum())
    signed = np.array([np.dot(signs, few) for signs in itertools.product((-1, 1), repeat=12)])
    assert flip_p(few) == pytest.approx(min(1, (signed >= seen).mean() + (signed > seen).mean()), abs=1e-9)
    found = compare_outcomes(one, other)
    assert (found.p, found.test) == (flip_p(sums), "sign flips of groups, mid-p")
    assert (found.wins, found.losses) == (compare_outcomes(GOOD, FAIR).wins, compare_outcomes(GOOD, FAIR).losses)


@pytest.mark.parametrize(("g", "known"), [(1, False), (6, False), (7, True)])
def test_few_groups_have_no_interval(g, known):
    groups = [str(row % g) for row in range(len(IDS))]
    found = compare_outcomes(*(row_outcomes(IDS, one.correct, groups=groups) for one in (GOOD, FAIR)))
    assert (found.interval.limits is not None) == known
    assert known or found.interval.method == "none: fewer than 7 groups of similar size"


def test_groups_of_unequal_size_count_as_fewer():
    groups = ["large"] * 300 + [str(row) for row in range(100)]
    found = compare_outcomes(*(row_outcomes(IDS, one.correct, groups=groups) for one in (GOOD, FAIR)))
    assert found.interval.limits is None


@pytest.mark.parametrize(("draws", "known"), [(2, False), (3, False), (4, True)])
def test_few_draws_have_no_interval(draws, known):
    rng = np.random.default_rng(draws)
    hits = [rng.random((draws, len(IDS))) < accuracy for accuracy in (0.8, 0.7)]
    a, b = (row_outcomes(IDS, one.sum(0), predictions=draws, draws=one.sum(1).tolist()) for one in hits)
    assert (compare_outcomes(a, b).interval.limits is not None) == known


@pytest.mark.parametrize(("b", "c"), [(0, 0), (3, 9), (40, 21)])
def test_groups_of_one_row_are_mcnemar(b, c):
    assert flip_p(np.repeat([1, -1, 0], [b, c, 5])) == mcnemar_p(b, c)
    twice = flip_p(np.repeat([2, -2], [b, c]))  # every group two rows that agree
    assert twice == pytest.approx(mcnemar_p(b, c), abs=1e-9)


def test_copies_of_a_row_in_one_group_do_not_lower_p():
    names = [f"{row}/{copy}" for row in range(400) for copy in range(6)]
    groups = [str(row) for row in range(400) for _ in range(6)]
    one, other = (row_outcomes(names, np.repeat(m.correct, 6), groups=groups) for m in (GOOD, FAIR))
    found, once = compare_outcomes(one, other), compare_outcomes(GOOD, FAIR)
    assert found.p == pytest.approx(once.p, rel=1e-6)
    assert (found.interval.low, found.interval.high) == pytest.approx(
        (once.interval.low, once.interval.high), abs=0.003
    )


def test_draws_widen_the_interval_and_the_test():
    found = compare_outcomes(*DRAWN)
    blind = compare_outcomes(*(replace(one, draws=()) for one in DRAWN))
    assert found.test == "t over rows and draws"
    assert found.interval.high - found.interval.low > blind.interval.high - blind.interval.low
    gaps = np.subtract(DRAWN[0].correct, DRAWN[1].correct) / 4
    rounds = np.subtract(DRAWN[0].draws, DRAWN[1].draws) / 400
    of_rows, of_draws = gaps.var(ddof=1) / 400, rounds.var(ddof=1) / 4
    freedom = (of_rows + of_draws) ** 2 / (of_rows**2 / 399 + of_draws**2 / 3)
    t = gaps.mean() / np.sqrt(of_rows + of_draws)
    assert found.p == pytest.approx(2 * stats.t.sf(abs(t), freedom), rel=1e-9)


def test_the_paired_test_is_more_powerful_than_two_intervals():
    better = row_outcomes(IDS, [correct or i % 20 == 0 for i, correct in enumerate(GOOD.correct)])
    found = compare_outcomes(better, GOOD)
    assert found.losses == 0 < found.wins
    assert found.interval.high - found.interval.low < 0.03  # Wilson's of either is 0.08 wide
    assert found.p == mcnemar_p(found.wins, 0) < 0.05


def test_different_rows_are_rejected():
    with pytest.raises(DataError, match="or in a different order"):
        compare_outcomes(GOOD, replace(FAIR, of="another"))


@pytest.mark.parametrize("n", [1, 2, 5, 12, 40])
def test_signed_rank_agrees_with_scipy_where_nothing_is_tied(n):
    differences = generator(0, "wilcoxon", n).normal(0.3, size=n)
    theirs = stats.wilcoxon(differences, method="exact").pvalue
    assert signed_rank_p(differences) == pytest.approx(theirs, rel=1e-9)


@pytest.mark.parametrize("n", [1, 4, 9])
def test_signed_rank_agrees_with_the_reference_also_with_ties(n):
    for draw in range(20):
        differences = generator(0, "ties", n, draw).integers(-3, 4, size=n) / 100
        assert signed_rank_p(differences) == pytest.approx(reference.signed_rank_p(differences.tolist()))


def test_signed_rank_of_extreme_cases():
    assert signed_rank_p(np.zeros(4)) == 1
    assert signed_rank_p(np.array([])) == 1
    assert signed_rank_p(np.array([0.0, 0.5, 0, 0.25])) == 0.5  # as without the zeros
    assert signed_rank_p(np.array([0.1 + 0.2, 0.3, 0.3, -0.3])) == 0.625  # equal but for rounding


def test_data_sets_are_summarised():
    differences = [0.1, 0.02, -0.01, 0.05, 0.04]
    found = over_sets(differences)
    theirs = stats.ttest_1samp(differences, 0).confidence_interval(0.95)
    assert (found.interval.low, found.interval.high) == pytest.approx((theirs.low, theirs.high))
    assert (found.difference, found.wins, found.losses, found.n) == (pytest.approx(0.04), 4, 1, 5)
    assert found.p == pytest.approx(reference.signed_rank_p(differences))
    swapped = over_sets([-d for d in differences])
    assert (swapped.difference, swapped.p) == (-found.difference, found.p)


@pytest.mark.parametrize("few", [[0.25], [0.25, 0.5], [0.1, 0.2, 0.3, 0.4]])
def test_fewer_than_five_sets_have_no_interval(few):
    assert over_sets(few).interval.limits is None
    assert over_sets(few).difference == pytest.approx(np.mean(few))


def test_an_empty_list_of_differences_is_rejected():
    with pytest.raises(ShapeError, match=r"\[n\], n at least 1, not \[0\]"):
        over_sets([])
