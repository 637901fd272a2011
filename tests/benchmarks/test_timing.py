from itertools import pairwise

import pytest

from tests.benchmarks.timing import median_ratio


def test_runs_alternate_after_one_untimed_run_of_each():
    calls = []
    median_ratio(lambda: calls.append("a"), lambda: calls.append("b"), repeats=3)
    assert calls == ["a", "b"] * 4
    assert all(one != other for one, other in pairwise(calls))


def test_medians_by_hand():
    now = [0.0]
    fast, slow = iter([9, 1, 2, 1]), iter([9, 4, 4, 5])  # the first pair is the untimed one

    def spend(costs):
        now[0] += next(costs)

    found = median_ratio(lambda: spend(fast), lambda: spend(slow), repeats=3, clock=lambda: now[0])
    assert (found.subject_seconds, found.against_seconds) == (1, 4)
    assert (found.low, found.ratio, found.high) == pytest.approx((3, 4, 4.5))  # of 2, 4 and 5
    assert str(found) == "  1000.00 ms   4000.00 ms   4.00x [3.00, 4.50]"
