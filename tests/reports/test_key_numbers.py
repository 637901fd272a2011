"""Sentences that are computed, whichever way the numbers fall."""

from dataclasses import replace

import pytest

from tests.reports.records import record
from tests.reports.studied import study
from transferkit.reports.key_numbers import _verdict, headline
from transferkit.reports.result_table import result_table


def sets(values: dict[str, float], count: int):
    """Each model at its value on every set, a little apart so that the order is everywhere the same."""
    return [record(m, f"d{i}", v + i / 1000) for m, v in values.items() for i in range(count)]


def test_nothing_is_said_of_one_model():
    assert headline(result_table([record("a", "d", 0.5)])) == []


def test_the_highest_mean_is_told_with_its_gap_and_its_rank():
    (sentence,) = headline(result_table(sets({"a": 0.9, "b": 0.5, "c": 0.1}, 12)))
    assert sentence == (
        "Under linear, a has the highest mean over 12 data sets: 0.906, +0.400 against b (Wilcoxon, "
        "corrected by Holm, p = 0.001). By mean rank it is significantly ahead of all others (Friedman, "
        "p < 0.001; Nemenyi at 5 %)."
    )


def test_those_that_are_behind_are_named_and_many_are_counted():
    (sentence,) = headline(result_table(sets({"a": 0.9, "b": 0.5, "c": 0.1}, 6)))
    assert "it is significantly ahead of 1 of the 2 others: c (Friedman" in sentence
    many = {name: 1 - place / 20 for place, name in enumerate("abcdefghij")}
    (sentence,) = headline(result_table(sets(many, 6)))
    assert "it is significantly ahead of 4 of the 9 others (Friedman" in sentence


def by_set(**values):
    """Model → its values, one a data set."""
    return [record(m, f"d{i}", v) for m, own in values.items() for i, v in enumerate(own)]


def test_a_gap_that_may_be_chance_is_called_so_and_a_sure_one_is_not():
    (sentence,) = headline(result_table(by_set(a=(0.9, 0.4, 0.8, 0.7, 0.7), b=(0.5, 0.6, 0.7, 0.7, 0.5))))
    assert "+0.100 against b (perhaps chance: Wilcoxon, p = 0.500). Two models" in sentence
    (sentence,) = headline(result_table(by_set(a=(0.9, 0.8, 0.8, 0.9, 0.8, 0.9), b=(0.5,) * 6)))
    assert "+0.350 against b (Wilcoxon, p = 0.031). Two models" in sentence


def test_the_lead_is_corrected_for_all_pairs_that_could_have_been_the_first_two():
    """Of equal models the best two differ by chance, and the more of them there are."""
    values = {"a": 0.9, "b": 0.5, "c": 0.4, "d": 0.3}
    (sentence,) = headline(result_table(sets(values, 6)))
    assert "+0.400 against b (perhaps chance: Wilcoxon, corrected by Holm, p = 0.188)" in sentence  # 6 · 2/2⁶


def test_the_first_by_rank_is_named_where_another_has_the_highest_mean():
    records = by_set(a=[0.9, *[0.4] * 11], b=[0.41] * 12, c=[0.1] * 12)
    (sentence,) = headline(result_table(records))
    assert sentence.startswith("Under linear, a has the highest mean")
    assert "By mean rank b is first, significantly ahead of 1 of the 2 others: c (" in sentence


def test_of_two_that_share_the_first_rank_the_higher_mean_is_told():
    records = by_set(b=(0.8, 0.5) * 3, a=(0.9, 0.45) * 3, c=(0.1, 0.1) * 3)
    (sentence,) = headline(result_table(records))
    assert sentence.startswith("Under linear, a has the highest mean")
    assert "By mean rank it is significantly ahead of 1 of the 2 others: c (" in sentence


def test_no_difference_is_said_to_be_none():
    mixed = [record(m, f"d{i}", 0.5 + 0.1 * ((i + k) % 3)) for k, m in enumerate("abc") for i in range(6)]
    (sentence,) = headline(result_table(mixed))
    assert sentence.endswith("The ranks of the 3 models do not differ significantly (Friedman, p = 1.000).")
    assert "ahead" not in sentence


def test_ranks_that_differ_without_one_that_is_ahead():
    """Friedman's test sees more than Nemenyi's can place."""
    found = result_table(by_set(a=(0.5, 0.5, 0.5), b=(0.4, 0.4, 0.4), c=(0.3, 0.3, 0.3)))
    assert found.ranked["linear"].ranks.friedman_p < 0.05
    (one,) = found.ranked.values()
    unsure = replace(one, ranks=replace(one.ranks, critical_difference=2.5))
    assert "it is significantly ahead of none (" in _verdict(unsure)


def test_on_one_set_its_rows_decide():
    (sentence,) = headline(result_table(sets({"a": 0.9, "b": 0.5}, 1)))
    assert sentence == (
        "Under linear, a scores highest on d0: 0.900, +0.400 against b. On its rows it is significantly "
        "better than every other model."
    )
    (sentence,) = headline(result_table(sets({"a": 0.505, "b": 0.5}, 1)))
    assert sentence.endswith("On its rows it is not significantly better than every other model.")


def test_every_protocol_is_told_once_with_the_setting_of_most_numbers():
    """Fine-tuning too, however many settings the others have."""
    records = [record(m, d, v, protocol=p) for p in ("linear", "knn", "finetune")
               for m, v in (("a", 0.5), ("b", 0.4)) for d in "xy"]  # fmt: skip
    for shots, data in ((1, "xy"), (5, "xyz"), (20, "xy")):
        settings = {"shots": shots, "method": "lr"}
        records += [
            record(m, d, v, protocol="fewshot", settings=settings) for m, v in (("a", 0.5), ("b", 0.4)) for d in data
        ]
    starts = [sentence.partition(",")[0] for sentence in headline(result_table(records))]
    assert starts == ["Under linear", "Under knn", "Under fewshot 5-shot lr", "Under finetune"]


@pytest.mark.parametrize(
    ("low", "words"),
    [
        (0.6, "a keeps most semantic content of level low: 0.600, +0.100 against b "
              "(perhaps chance: Wilcoxon, p = 0.062)."),
        (0.4, "b keeps most semantic content of level low: 0.500, +0.100 against a "
              "(perhaps chance: Wilcoxon, p = 0.062)."),
    ],
)  # fmt: skip
def test_semantics_have_their_gap(low, words):
    records = [
        record(m, d, value, protocol="semantic", settings={"level": "low"})
        for m, value in (("a", low), ("b", 0.5))
        for d in "vwxyz"
    ]
    assert headline(result_table(records)) == [f"At the last layer {words}"]


def test_a_study_is_told_with_semantics_prediction_and_finetuning():
    said = headline(result_table(study()))
    assert said[0].startswith("Under linear, good has the highest mean")
    assert any(s.startswith("At the last layer poor keeps most semantic content of level low") for s in said)
    assert any(s.startswith("logme, a transferability score, orders models and layers much as") for s in said)
    assert any(s.startswith("Linear probing orders models much as fine-tuning does: Kendall") for s in said)


ORDERS = [
    ((1, 2, 3, 4), "orders {} much as {} does", "+1.00"),
    ((4, 3, 2, 1), "orders {} the other way round from {}", "-1.00"),
    ((2, 3, 1, 4), "says little about the order that {1} gives {0}", "+0.33"),
    ((3, 4, 1, 2), "says little about the order that {1} gives {0}", "-0.33"),
]


@pytest.mark.parametrize(("order", "words", "tau"), ORDERS)
def test_finetuning_is_said_to_agree_only_where_it_does(order, words, tau):
    records = [record(m, "d", v / 10) for m, v in zip("abcd", range(1, 5), strict=True)]
    records += [record(m, "d", v / 10, protocol="finetune", layer="all") for m, v in zip("abcd", order, strict=True)]
    expected = f"Linear probing {words.format('models', 'fine-tuning')}: Kendall's τ {tau} over 1 data set."
    assert headline(result_table(records))[-1] == expected


@pytest.mark.parametrize(("order", "words", "tau"), ORDERS)
def test_transferability_is_said_to_agree_only_where_it_does(order, words, tau):
    records = [record(m, "d", v / 10) for m, v in zip("abcd", range(1, 5), strict=True)]
    records += [
        record(m, "d", float(v), protocol="transferability", settings={"score": "s"}, metric="s")
        for m, v in zip("abcd", order, strict=True)
    ]
    expected = words.format("models and layers", "linear probing")
    assert headline(result_table(records))[-1] == (
        f"s, a transferability score, {expected}: Kendall's τ {tau} over 1 data set."
    )


def test_of_several_scores_the_best_is_told():
    records = [record(m, "d", v / 10) for m, v in zip("abc", range(1, 4), strict=True)]
    for score, sign in (("worse", -1), ("better", 1)):
        records += [
            record(m, "d", sign * v, protocol="transferability", settings={"score": score}, metric=score)
            for m, v in zip("abc", (1.0, 2.0, 3.0), strict=True)
        ]
    assert headline(result_table(records))[-1].startswith("better, the best of 2 transferability scores, orders")
