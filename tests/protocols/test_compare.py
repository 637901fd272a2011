from dataclasses import replace

import numpy as np
import pytest

from tests.reports.records import record
from transferkit.core.comparison import compare_outcomes, over_sets
from transferkit.core.errors import DataError, UsageError
from transferkit.core.outcomes import Outcomes, episode_outcomes, row_outcomes
from transferkit.core.seeding import generator
from transferkit.protocols.compare import compare_models, require_two_models

SETS = ("mini/digits", "mini/leaves", "mini/stains")


def rows(model: str, data: str, n: int = 60) -> Outcomes:
    """Return for each test row of ``data`` whether the answer is right."""
    correct = generator(0, model, data).random(n) < {"good": 0.9, "fair": 0.6}.get(model, 0.3)
    return row_outcomes([f"{data}/{i}" for i in range(n)], correct)


def scored(model, data, *, layer="last", **changes):
    outcomes = changes.pop("outcomes", rows(model, f"{data}"))
    return record(model, data, float(outcomes.accuracies.mean()), layer=layer, outcomes=outcomes, **changes)


ALL = [scored(model, data) for model in ("good", "fair", "poor") for data in SETS]


def test_every_two_models_are_compared_on_every_data_set():
    found = compare_models(ALL)
    assert [(one.data, one.a, one.b) for one in found.each] == [
        ((data,), a, b) for data in SETS for a, b in (("good", "fair"), ("good", "poor"), ("fair", "poor"))
    ]
    assert found.refused == ()
    first = found.each[0]
    good, fair = (rows(model, SETS[0]) for model in ("good", "fair"))
    assert first.found == compare_outcomes(good, fair)
    assert (first.value_a, first.value_b) == (good.accuracies.mean(), fair.accuracies.mean())


def test_the_pairs_are_summed_up_over_data_sets():
    found = compare_models(ALL)
    assert [(one.a, one.b, one.data) for one in found.overall] == [
        ("good", "fair", SETS),
        ("good", "poor", SETS),
        ("fair", "poor", SETS),
    ]
    differences = [one.found.difference for one in found.each if (one.a, one.b) == ("good", "poor")]
    summed = over_sets(differences)
    assert found.overall[1].found.difference == pytest.approx(summed.difference)
    assert found.overall[1].found.p == summed.p
    assert compare_models([scored("good", "x"), scored("fair", "x")]).overall == ()


def test_swapping_the_models_turns_the_signs():
    one = compare_models([scored("good", "x"), scored("fair", "x")]).each[0]
    other = compare_models([scored("fair", "x"), scored("good", "x")]).each[0]
    assert (other.a, other.b, other.value_a) == (one.b, one.a, one.value_b)
    assert other.found.difference == -one.found.difference
    assert other.found.p == one.found.p
    assert (other.found.interval.low, other.found.interval.high) == pytest.approx(
        (-one.found.interval.high, -one.found.interval.low), abs=1e-15
    )


def layers_of(*models):
    results = [scored(model, "x", layer=layer) for model, layers in models for layer in layers]
    return [(one.layer_a, one.layer_b) for one in compare_models(results).each]


def test_layers_that_both_have_are_compared_one_by_one():
    assert layers_of(("good", ["a", "b", "c"]), ("fair", ["c", "a", "z"])) == [("a", "a"), ("c", "c")]


def test_without_a_layer_in_common_the_last_ones_are_compared():
    assert layers_of(("good", ["a", "b"]), ("fair", ["x", "y", "z"])) == [("b", "z")]


def test_only_the_same_recipe_is_compared():
    results = [
        *(scored(model, "x", settings={"shots": shots}) for model in ("good", "fair") for shots in (1, 5)),
        scored("good", "x", protocol="knn"),
        scored("fair", "y"),
        scored("good", "x", seed=1),
    ]
    assert [(one.protocol, one.settings, one.seed) for one in compare_models(results).each] == [
        ("linear", {"shots": 1}, 0),
        ("linear", {"shots": 5}, 0),
    ]


def test_one_model_has_no_pair():
    found = compare_models([scored("good", data) for data in SETS])
    assert found.to_json() == {"comparisons": [], "over_datasets": [], "refused": []}
    found.require_all()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"outcomes": rows("fair", "y")}, "The two models were scored on 60 different rows"),
        ({"outcomes": rows("fair", "x", 59)}, "60 rows of 1 predictions, the other on 59"),
        ({"outcomes": episode_outcomes("e", [3], predictions=5)}, "on rows and the other on episodes"),
        ({"fingerprint": "g"}, "The images changed between the two"),
    ],
)
def test_pairs_that_were_not_scored_on_the_same_are_refused_by_name(changes, words):
    found = compare_models([scored("good", "x"), scored("fair", "x", **changes), scored("poor", "x")])
    assert [(one.a, one.b) for one in found.each] == [("good", "poor")]
    with pytest.raises(DataError, match=f"x, linear: good and fair cannot be compared. .*{words}"):
        found.require_all()


def test_records_without_outcomes_are_refused_by_name():
    bare = replace(scored("fair", "x"), outcomes=None)
    for results in ([scored("good", "x"), bare], [bare, scored("good", "x")]):
        with pytest.raises(DataError, match="The record of fair has no outcomes per row"):
            compare_models(results).require_all()


@pytest.mark.parametrize("models", [(), ("one",)])
def test_a_comparison_needs_two_models(models):
    with pytest.raises(UsageError, match=f"needs two models or more, not {len(models)}"):
        require_two_models(models)
    require_two_models(("one", "other"))


def test_comparisons_are_plain_values():
    one = compare_models(ALL).to_json()["comparisons"][0]
    found = compare_models(ALL).each[0].found
    assert one == {
        **{"a": "good", "b": "fair", "layer_a": "last", "layer_b": "last", "data": ["mini/digits"]},
        **{"protocol": "linear", "settings": {}, "seed": 0},
        **{"value_a": compare_models(ALL).each[0].value_a, "value_b": compare_models(ALL).each[0].value_b},
        **{"difference": found.difference, "ci_low": found.interval.low, "ci_high": found.interval.high},
        **{"ci_method": "adjusted t", "p": found.p, "test": "McNemar, mid-p"},
        **{"wins": found.wins, "losses": found.losses, "n": 60},
    }
    assert np.isfinite(one["p"])
    overall = compare_models(ALL).to_json()["over_datasets"][0]
    assert (overall["ci_low"], overall["ci_high"], overall["ci_method"]) == (None, None, "none: fewer than 5 data sets")
