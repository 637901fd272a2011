"""Sentences that are computed, whichever way the numbers fall."""

import pytest

from tests.reports.records import record
from tests.reports.studied import study
from transferkit.reports.evidence import evidence
from transferkit.reports.headline import headline


def sets(values: dict[str, float], count: int):
    """Each model at its value on every set, a little apart so that the order is everywhere the same."""
    return [record(m, f"d{i}", v + i / 1000) for m, v in values.items() for i in range(count)]


def test_nothing_is_said_of_one_model():
    assert headline(evidence([record("a", "d", 0.5)])) == []


def test_a_clear_leader():
    (sentence,) = headline(evidence(sets({"a": 0.9, "b": 0.5, "c": 0.1}, 12)))
    assert sentence == (
        "Under linear, a leads with 0.906 on average over 12 data sets, +0.400 against b (95 % interval "
        "+0.400 to +0.400). By rank a is significantly ahead of b and c (Friedman p < 0.001, Nemenyi 5 %)."
    )


def test_those_that_cannot_be_told_apart_are_named():
    (sentence,) = headline(evidence(sets({"a": 0.9, "b": 0.5, "c": 0.1}, 6)))
    assert "significantly ahead of c (" in sentence
    assert sentence.endswith("; b cannot be told apart from it.")


def test_no_difference_is_said_to_be_none():
    mixed = [record(m, f"d{i}", 0.5 + 0.1 * ((i + k) % 3)) for k, m in enumerate("abc") for i in range(6)]
    (sentence,) = headline(evidence(mixed))
    assert sentence.endswith("Over all models the ranks do not differ significantly (Friedman, p = 1.000).")


def test_two_models_and_one_set():
    (sentence,) = headline(evidence(sets({"a": 0.9, "b": 0.5}, 3)))
    assert sentence.endswith("Two models are too few to rank.")
    (sentence,) = headline(evidence(sets({"a": 0.9, "b": 0.5}, 1)))
    assert sentence.endswith("+0.400 against b; significant on its rows.")
    (sentence,) = headline(evidence(sets({"a": 0.505, "b": 0.5}, 1)))
    assert sentence.endswith("; not significant on its rows.")


def test_a_study_is_told_with_semantics_prediction_and_finetuning():
    said = headline(evidence(study()))
    assert said[0].startswith("Under linear, good leads")
    assert any(
        s.startswith("At the last layer the most semantic content is kept by poor of level low") for s in said
    )
    assert any("Of 1 transferability scores logme" in s and "τ +1.00" in s for s in said)
    assert any(
        s.startswith("Linear probes order models as fine-tuning does with Kendall's τ +") for s in said
    )


@pytest.mark.parametrize("sign", [1, -1])
def test_the_sign_of_the_prediction_is_that_of_the_numbers(sign):
    records = [record(m, "d", v) for m, v in (("a", 0.2), ("b", 0.4), ("c", 0.6))]
    records += [
        record(m, "d", sign * v, protocol="transferability", settings={"score": "s"}, metric="s")
        for m, v in (("a", 2.0), ("b", 4.0), ("c", 6.0))
    ]
    assert f"τ {sign:+.2f}" in headline(evidence(records))[-1]
