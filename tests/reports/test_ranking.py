"""Means, ranks and the sentence, against numbers worked out by hand."""

import math

import pytest

from tests.reports.records import record
from transferkit.core.errors import DataError
from transferkit.reports.ranking import depth_table, finding, paired_difference, ranking_table, standings


def test_means_intervals_and_ranks_by_hand():
    results = [
        record("a", "x", 0.9, half=0.03),
        record("a", "y", 0.5, half=0.04),
        record("b", "x", 0.7, half=0.0),
        record("b", "y", 0.6, half=0.0),
    ]
    best, other = standings(results)
    assert (best.model, other.model) == ("a", "b")
    assert best.mean == pytest.approx(0.7)
    assert best.interval.high - best.mean == pytest.approx(math.hypot(0.03, 0.04) / 2)
    assert best.mean_rank == other.mean_rank == 1.5
    assert best.datasets == 2


def test_ties_share_a_rank():
    results = [record(model, "x", value) for model, value in (("a", 0.5), ("b", 0.5), ("c", 0.4))]
    assert {s.model: s.mean_rank for s in standings(results)} == {"a": 1.5, "b": 1.5, "c": 3.0}


def test_only_data_sets_that_every_model_has_are_averaged():
    results = [record("a", "x", 0.9), record("b", "x", 0.8), record("a", "y", 0.1)]
    assert [s.datasets for s in standings(results)] == [1, 1]
    assert standings(results)[0].mean == pytest.approx(0.9)


def test_nothing_in_common_cannot_be_ranked():
    with pytest.raises(DataError, match="No data set has a result of all of a, b"):
        standings([record("a", "x", 0.9), record("b", "y", 0.8)])


def test_paired_difference_by_hand():
    results = [record("a", d, v) for d, v in (("x", 0.9), ("y", 0.6), ("z", 0.5))]
    results += [record("b", d, v) for d, v in (("x", 0.7), ("y", 0.5), ("z", 0.6), ("w", 0.1))]
    gap, interval, leads, count = paired_difference(results, "a", "b")
    deviation = math.sqrt(((0.2 - gap) ** 2 + (0.1 - gap) ** 2 + (-0.1 - gap) ** 2) / 2)
    assert gap == pytest.approx(0.2 / 3)
    assert interval.high - gap == pytest.approx(4.302653 * deviation / math.sqrt(3), rel=1e-5)  # t, 2 degrees
    assert (leads, count) == (2, 3)


def test_one_data_set_says_nothing_of_others():
    with pytest.raises(DataError, match="1 data sets have them, 2 are needed"):
        paired_difference([record("a", "x", 0.9), record("b", "x", 0.8)], "a", "b")
    assert finding([record("a", "x", 0.80), record("b", "x", 0.79)]) == (
        "a scores 0.800 on average over 1 data set."
    )


def test_the_sentence_claims_a_lead_only_where_the_interval_says_so():
    clear = [record("a", d, 0.9) for d in "xyz"] + [
        record("b", d, v) for d, v in zip("xyz", (0.5, 0.6, 0.55), strict=True)
    ]
    assert finding(clear).startswith("a leads: 0.900 mean linear accuracy over 3 data sets, +0.350 against b")
    even = [record("a", d, v) for d, v in zip("xy", (0.9, 0.5), strict=True)] + [
        record("b", d, v) for d, v in zip("xy", (0.5, 0.8), strict=True)
    ]
    assert "cannot be told apart" in finding(even)
    assert finding([record("a", "x", 0.5)]) == "a scores 0.500 on average over 1 data set."


def test_tables_hold_a_row_a_model_and_a_row_a_layer():
    results = [record("a", "x", 0.9, layer="one"), record("b", "x", 0.7, layer="two")]
    assert ranking_table({"linear": standings(results)}, title="").row_count == 2
    assert depth_table(results, title="").row_count == 2


def test_layers_of_networks_that_share_only_the_last_stand_by_depth():
    layers = {
        "deep": ("blocks.0", "blocks.1", "blocks.2", "pool"),
        "short": ("conv", "pool"),
        "flat": ("pixels",),
    }
    results = [record(model, "x", 0.5, layer=layer) for model, names in layers.items() for layer in names]
    table = depth_table(results, title="")
    assert [str(cell) for cell in table.columns[0].cells] == [
        "blocks.0",
        "blocks.1",
        "conv",
        "blocks.2",
        "pool",
        "pixels",
    ]
