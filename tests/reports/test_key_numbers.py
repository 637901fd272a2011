"""Sentences that are computed from results."""

from dataclasses import replace

import pytest

from tests.reports.records import record
from tests.reports.studied import study
from transferkit.reports.key_numbers import _rank_test, key_numbers
from transferkit.reports.result_table import result_table


def sets(values: dict[str, float], count: int):
    """Give each model nearly the same value on every set, so that the order of models is the same everywhere."""
    return [record(m, f"d{i}", v + i / 1000) for m, v in values.items() for i in range(count)]


def test_one_model_has_no_key_numbers():
    assert key_numbers(result_table([record("a", "d", 0.5)])) == []


def test_the_highest_mean_is_reported_with_its_lead_and_its_rank():
    (sentence,) = key_numbers(result_table(sets({"a": 0.9, "b": 0.5, "c": 0.1}, 12)))
    assert sentence == (
        "Under linear, a has the highest mean over 12 data sets: 0.906, +0.400 against b (Wilcoxon, "
        "corrected by Holm, p = 0.001). By mean rank it is significantly better than all other models (Friedman, "
        "p < 0.001; Nemenyi at 5 %)."
    )


def test_few_outperformed_models_are_named_and_many_are_counted():
    (sentence,) = key_numbers(result_table(sets({"a": 0.9, "b": 0.5, "c": 0.1}, 6)))
    assert "it is significantly better than 1 of the 2 other models: c (Friedman" in sentence
    many = {name: 1 - place / 20 for place, name in enumerate("abcdefghij")}
    (sentence,) = key_numbers(result_table(sets(many, 6)))
    assert "it is significantly better than 4 of the 9 other models (Friedman" in sentence


def by_set(**values):
    """Return records of each model, one value per data set."""
    return [record(m, f"d{i}", v) for m, own in values.items() for i, v in enumerate(own)]


def test_a_lead_is_called_not_significant_only_if_it_is_not():
    (sentence,) = key_numbers(result_table(by_set(a=(0.9, 0.4, 0.8, 0.7, 0.7), b=(0.5, 0.6, 0.7, 0.7, 0.5))))
    assert "+0.100 against b (not significant: Wilcoxon, p = 0.500). Two models" in sentence
    (sentence,) = key_numbers(result_table(by_set(a=(0.9, 0.8, 0.8, 0.9, 0.8, 0.9), b=(0.5,) * 6)))
    assert "+0.350 against b (Wilcoxon, p = 0.031). Two models" in sentence


def test_the_lead_is_corrected_for_all_pairs_that_could_have_been_the_first_two():
    """The best two of equal models differ by chance, and the more so the more models there are."""
    values = {"a": 0.9, "b": 0.5, "c": 0.4, "d": 0.3}
    (sentence,) = key_numbers(result_table(sets(values, 6)))
    assert "+0.400 against b (not significant: Wilcoxon, corrected by Holm, p = 0.188)" in sentence  # 6 · 2/2⁶


def test_the_first_by_rank_is_named_where_another_has_the_highest_mean():
    records = by_set(a=[0.9, *[0.4] * 11], b=[0.41] * 12, c=[0.1] * 12)
    (sentence,) = key_numbers(result_table(records))
    assert sentence.startswith("Under linear, a has the highest mean")
    assert "By mean rank b is first and significantly better than 1 of the 2 other models: c (" in sentence


def test_of_two_models_that_share_the_first_rank_the_one_with_the_higher_mean_is_reported():
    records = by_set(b=(0.8, 0.5) * 3, a=(0.9, 0.45) * 3, c=(0.1, 0.1) * 3)
    (sentence,) = key_numbers(result_table(records))
    assert sentence.startswith("Under linear, a has the highest mean")
    assert "By mean rank it is significantly better than 1 of the 2 other models: c (" in sentence


def test_ranks_that_do_not_differ_are_reported_as_such():
    mixed = [record(m, f"d{i}", 0.5 + 0.1 * ((i + k) % 3)) for k, m in enumerate("abc") for i in range(6)]
    (sentence,) = key_numbers(result_table(mixed))
    assert sentence.endswith("The ranks of the 3 models do not differ significantly (Friedman, p = 1.000).")
    assert "better" not in sentence


def test_ranks_may_differ_although_the_first_outperforms_no_model():
    """Friedman's test is more powerful than Nemenyi's."""
    found = result_table(by_set(a=(0.5, 0.5, 0.5), b=(0.4, 0.4, 0.4), c=(0.3, 0.3, 0.3)))
    assert found.ranked["linear"].ranks.friedman_p < 0.05
    (one,) = found.ranked.values()
    unsure = replace(one, ranks=replace(one.ranks, critical_difference=2.5))
    assert "it is significantly better than no other model (" in _rank_test(unsure)


def test_models_on_one_data_set_are_compared_by_its_rows():
    (sentence,) = key_numbers(result_table(sets({"a": 0.9, "b": 0.5}, 1)))
    assert sentence == (
        "Under linear, a scores highest on d0: 0.900, +0.400 against b. On this data set it is significantly "
        "better than every other model."
    )
    (sentence,) = key_numbers(result_table(sets({"a": 0.505, "b": 0.5}, 1)))
    assert sentence.endswith("On this data set it is not significantly better than every other model.")


def test_every_protocol_is_reported_once_with_the_setting_that_has_the_most_values():
    """This holds for fine-tuning too, although another protocol has more settings."""
    records = [record(m, d, v, protocol=p) for p in ("linear", "knn", "finetune")
               for m, v in (("a", 0.5), ("b", 0.4)) for d in "xy"]  # fmt: skip
    for shots, data in ((1, "xy"), (5, "xyz"), (20, "xy")):
        settings = {"shots": shots, "method": "lr"}
        records += [
            record(m, d, v, protocol="fewshot", settings=settings) for m, v in (("a", 0.5), ("b", 0.4)) for d in data
        ]
    starts = [sentence.partition(",")[0] for sentence in key_numbers(result_table(records))]
    assert starts == ["Under linear", "Under knn", "Under fewshot 5-shot lr", "Under finetune"]


@pytest.mark.parametrize(
    ("low", "words"),
    [
        (0.6, "a has the most semantic content of level low: 0.600, +0.100 against b "
              "(not significant: Wilcoxon, p = 0.062)."),
        (0.4, "b has the most semantic content of level low: 0.500, +0.100 against a "
              "(not significant: Wilcoxon, p = 0.062)."),
    ],
)  # fmt: skip
def test_semantics_are_reported_with_their_lead(low, words):
    records = [
        record(m, d, value, protocol="semantic", settings={"level": "low"})
        for m, value in (("a", low), ("b", 0.5))
        for d in "vwxyz"
    ]
    assert key_numbers(result_table(records)) == [f"At the last layer {words}"]


def test_the_key_numbers_of_a_study_include_semantics_prediction_and_finetuning():
    said = key_numbers(result_table(study()))
    assert said[0].startswith("Under linear, good has the highest mean")
    assert any(s.startswith("At the last layer poor has the most semantic content of level low") for s in said)
    assert any(s.startswith("logme, a transferability score, ranks models and layers similarly to") for s in said)
    assert any(s.startswith("Linear probing ranks models similarly to fine-tuning: Kendall") for s in said)


ORDERS = [
    ((1, 2, 3, 4), "ranks {} similarly to {}", "+1.00"),
    ((4, 3, 2, 1), "ranks {} in nearly the opposite order to {}", "-1.00"),
    ((2, 3, 1, 4), "predicts the ranking of {} under {} poorly", "+0.33"),
    ((3, 4, 1, 2), "predicts the ranking of {} under {} poorly", "-0.33"),
]


@pytest.mark.parametrize(("order", "words", "tau"), ORDERS)
def test_finetuning_is_reported_to_agree_only_if_it_does(order, words, tau):
    records = [record(m, "d", v / 10) for m, v in zip("abcd", range(1, 5), strict=True)]
    records += [record(m, "d", v / 10, protocol="finetune", layer="all") for m, v in zip("abcd", order, strict=True)]
    expected = f"Linear probing {words.format('models', 'fine-tuning')}: Kendall's τ {tau} over 1 data set."
    assert key_numbers(result_table(records))[-1] == expected


@pytest.mark.parametrize(("order", "words", "tau"), ORDERS)
def test_transferability_is_reported_to_agree_only_if_it_does(order, words, tau):
    records = [record(m, "d", v / 10) for m, v in zip("abcd", range(1, 5), strict=True)]
    records += [
        record(m, "d", float(v), protocol="transferability", settings={"score": "s"}, metric="s")
        for m, v in zip("abcd", order, strict=True)
    ]
    expected = words.format("models and layers", "linear probing")
    assert key_numbers(result_table(records))[-1] == (
        f"s, a transferability score, {expected}: Kendall's τ {tau} over 1 data set."
    )


def test_the_best_of_several_scores_is_reported():
    records = [record(m, "d", v / 10) for m, v in zip("abc", range(1, 4), strict=True)]
    for score, sign in (("worse", -1), ("better", 1)):
        records += [
            record(m, "d", sign * v, protocol="transferability", settings={"score": score}, metric=score)
            for m, v in zip("abc", (1.0, 2.0, 3.0), strict=True)
        ]
    assert key_numbers(result_table(records))[-1].startswith("better, the best of 2 transferability scores, ranks")
