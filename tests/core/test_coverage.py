"""A small part of the table of tests/benchmarks/intervals.py, with fixed seeds."""

from dataclasses import replace

import numpy as np
import pytest

from tests.benchmarks import intervals
from tests.benchmarks.coverage import simulated
from transferkit.core.proportions import accuracy_interval

SETTINGS = {
    f"{setting.name}: {setting.words}": setting
    for world in (
        intervals.top1,
        intervals.per_class,
        intervals.differences,
        intervals.over_data_sets,
        intervals.clear_leaders,
    )
    for setting in world()
}
CHOSEN = (
    "top-1, rows: 50 rows, accuracy 0.95",
    "top-1, rows in groups: 20 groups of 5, accuracy 0.6, correlation 0.3",
    "top-1, rows in groups: 60 groups of 20, accuracy 0.85, correlation 0.5",
    "mean per class, rows: 10 classes of 5, mean 0.85",
    "mean per class, rows: 50 classes of 5, mean 0.6",
    "mean per class, rows in groups: 10 classes of 40, mean 0.85",
    "difference of two models, rows: 60 groups of 1, accuracy 0.9, 0.0 apart, correlation 0.0",
    "difference of two models, rows in groups: 20 groups of 5, accuracy 0.9, 0.0 apart, correlation 0.3",
    "mean difference over data sets: 6 sets, normal",
    "mean difference over data sets: 12 sets, long tails",
    "bold: better than every other model: 2 models, 200 rows in groups of 1",
    "bold: better than every other model: 5 models, 100 rows in groups of 5",
)


@pytest.mark.parametrize("name", CHOSEN)
def test_intervals_have_their_coverage_and_width_and_tests_their_false_positive_rate(name):
    found = simulated(SETTINGS[name], 400)
    assert found.coverage is None or found.coverage >= 0.92
    assert found.width is None or found.width <= 1.4
    assert found.false is None or found.false <= 0.07
    assert (found.coverage, found.false) != (None, None)


def test_intervals_that_ignore_groups_fail_the_coverage_test():
    """Intervals that count rows of a group as independent have far too low a coverage in this simulation."""
    setting = SETTINGS["top-1, rows in groups: 60 groups of 20, accuracy 0.85, correlation 0.5"]

    def blind(rng):
        value, _, _ = setting.draw(rng)
        return value, accuracy_interval(np.arange(1200) < 1200 * value), None

    assert simulated(replace(setting, draw=blind), 200).coverage < 0.7
