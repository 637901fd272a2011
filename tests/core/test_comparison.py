from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from tests.reference import comparison as reference
from transferkit.core.comparison import mcnemar_p, over_sets, paired, signed_rank_p, student_p
from transferkit.core.errors import DataError, ShapeError
from transferkit.core.outcomes import episode_outcomes, row_outcomes
from transferkit.core.seeding import generator
from transferkit.core.statistics import Interval, mean_interval

RNG = generator(0, "comparison")
IDS = [f"test/{i}" for i in range(400)]
GOOD = row_outcomes(IDS, RNG.random(400) < 0.8)
FAIR = row_outcomes(IDS, np.where(RNG.random(400) < 0.7, GOOD.right, RNG.random(400) < 0.6))
SHARP = episode_outcomes("e", RNG.binomial(75, 0.7, size=100), answers=75)
BLUNT = episode_outcomes("e", RNG.binomial(75, 0.68, size=100), answers=75)
PAIRS = [(GOOD, FAIR), (SHARP, BLUNT)]


def compared(a, b, *, draws=500, seed=0):
    return paired(a, b, draws=draws, rng=generator(seed, "draws"))


@pytest.mark.parametrize(
    ("b", "c"), [(0, 1), (5, 5), (3, 9), (9, 3), (0, 30), (40, 21), (700, 650), (0, 0), (1, 1)]
)
def test_mcnemar_agrees_with_the_binomial_test(b, c):
    n = b + c
    exact = stats.binomtest(min(b, c), n, 0.5, alternative="less").pvalue if n else 0.5
    by_hand = 2 * exact - stats.binom.pmf(min(b, c), n, 0.5) if n else 1.0
    assert mcnemar_p(b, c) == pytest.approx(by_hand, rel=1e-9)
    if b != c:
        two_sided = stats.binomtest(b, n, 0.5).pvalue
        assert mcnemar_p(b, c) == pytest.approx(two_sided - stats.binom.pmf(b, n, 0.5), rel=1e-9)


def test_mcnemar_of_many_is_the_chi_square_test():
    chi_square = (5200 - 5000) ** 2 / 10200
    assert mcnemar_p(5200, 5000) == pytest.approx(stats.chi2.sf(chi_square, 1), rel=0.01)


def test_mcnemar_rejects_about_as_often_as_it_says():
    found = [mcnemar_p(int(b), 60 - int(b)) for b in generator(0, "null").binomial(60, 0.5, size=4000)]
    assert np.mean(np.array(found) < 0.05) == pytest.approx(0.05, abs=0.02)


def test_rows_that_are_negative_are_refused():
    with pytest.raises(ShapeError, match="-1 and 3 rows cannot be counted"):
        mcnemar_p(-1, 3)


def test_rows_are_paired():
    found = compared(GOOD, FAIR)
    one, other = np.array(GOOD.right), np.array(FAIR.right)
    assert found.difference == pytest.approx(one.mean() - other.mean())
    assert (found.ahead, found.behind) == (int((one & ~other & 1).sum()), int((other & ~one & 1).sum()))
    assert (found.p, found.test) == (mcnemar_p(found.ahead, found.behind), "McNemar, mid-p")
    assert (found.n, found.interval.method) == (400, "bootstrap of 500")


def test_episodes_are_paired():
    found = compared(SHARP, BLUNT)
    theirs = stats.ttest_rel(SHARP.accuracies, BLUNT.accuracies)
    assert (found.p, found.test) == (pytest.approx(theirs.pvalue, rel=1e-9), "paired t")
    assert found.difference == pytest.approx(SHARP.accuracies.mean() - BLUNT.accuracies.mean())
    assert found.ahead == sum(a > b for a, b in zip(SHARP.right, BLUNT.right, strict=True))
    assert found.behind == sum(a < b for a, b in zip(SHARP.right, BLUNT.right, strict=True))


@pytest.mark.parametrize(("a", "b"), PAIRS)
def test_the_interval_agrees_with_a_bootstrap_in_loops(a, b):
    rng = generator(0, "loops")
    low, high = reference.paired_bootstrap(
        a.accuracies.tolist(), b.accuracies.tolist(), 1000, lambda n: int(rng.integers(n))
    )
    found = compared(a, b, draws=4000).interval
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.12 * (high - low))


@pytest.mark.parametrize(("a", "b"), PAIRS)
def test_the_interval_is_the_normal_one_of_the_differences(a, b):
    normal = mean_interval(a.accuracies - b.accuracies)
    found = compared(a, b, draws=4000).interval
    width = normal.high - normal.low
    assert (found.low, found.high) == pytest.approx((normal.low, normal.high), abs=0.08 * width)


@pytest.mark.parametrize(("a", "b"), PAIRS)
def test_swapping_the_models_turns_the_signs(a, b):
    one, other = compared(a, b), compared(b, a)
    assert other.difference == -one.difference
    assert (other.interval.low, other.interval.high) == pytest.approx(
        (-one.interval.high, -one.interval.low), abs=1e-15
    )
    assert (other.p, other.ahead, other.behind) == (pytest.approx(one.p), one.behind, one.ahead)


@pytest.mark.parametrize("outcomes", [GOOD, SHARP])
def test_a_model_does_not_differ_from_itself(outcomes):
    found = compared(outcomes, outcomes)
    assert (found.difference, found.p, found.ahead, found.behind) == (0, 1, 0, 0)
    assert (found.interval.low, found.interval.high) == (0, 0)


def test_pairing_sees_what_two_intervals_do_not():
    better = row_outcomes(IDS, [right or i % 40 == 0 for i, right in enumerate(GOOD.right)])
    found = compared(better, GOOD, draws=2000)
    assert found.behind == 0 < found.ahead
    assert found.interval.high - found.interval.low < 0.03  # Wilson's of either is 0.08 wide
    assert found.interval.low >= 0


def test_the_draws_are_those_of_the_generator():
    assert compared(GOOD, FAIR) == compared(GOOD, FAIR)
    assert compared(GOOD, FAIR).interval != compared(GOOD, FAIR, seed=1).interval


def test_rows_answered_several_times_are_tested_by_their_means():
    three, two = (row_outcomes(IDS, RNG.integers(4, size=400), answers=3) for _ in range(2))
    assert compared(three, two).test == "paired t"


def test_other_rows_are_refused():
    with pytest.raises(DataError, match="are not the same ones"):
        compared(GOOD, replace(FAIR, of="another"))


def test_student_at_its_edges():
    assert student_p(np.array([0.25])) == 1
    assert student_p(np.zeros(5)) == 1
    assert student_p(np.full(5, 0.25)) == 0


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


def test_signed_rank_at_its_edges():
    assert signed_rank_p(np.zeros(4)) == 1
    assert signed_rank_p(np.array([])) == 1
    assert signed_rank_p(np.array([0.0, 0.5, 0, 0.25])) == 0.5  # as without the zeros
    assert signed_rank_p(np.array([0.1 + 0.2, 0.3, 0.3, -0.3])) == 0.625  # equal but for rounding


def test_sets_are_summed_up():
    differences = [0.1, 0.02, -0.01, 0.05]
    found = over_sets(differences)
    theirs = stats.ttest_1samp(differences, 0).confidence_interval(0.95)
    assert (found.interval.low, found.interval.high) == pytest.approx((theirs.low, theirs.high))
    assert (found.difference, found.ahead, found.behind, found.n) == (pytest.approx(0.04), 3, 1, 4)
    assert found.p == pytest.approx(reference.signed_rank_p(differences))
    swapped = over_sets([-d for d in differences])
    assert (swapped.difference, swapped.p) == (-found.difference, found.p)


def test_one_set_has_no_spread():
    assert over_sets([0.25]).interval == Interval(0.25, 0.25, "Student's t over data sets")
    with pytest.raises(ShapeError, match=r"\[n\], n at least 1, not \[0\]"):
        over_sets([])
