"""The one-screen end of a study."""

from rich.console import Console

from tests.reports.records import record
from transferkit.reports.overview import overview


def shown(results):
    console = Console(width=160, color_system=None)
    with console.capture() as captured:
        for one in overview(results):
            console.print(one)
    return captured.get()


SETS = ("x", "y", "z")


def test_protocols_of_the_same_models_share_a_table_and_others_have_their_own():
    results = [record(m, d, 0.5, protocol=p) for p in ("linear", "knn") for m in ("a", "b") for d in SETS]
    results += [record("a", d, 0.7, protocol="finetune") for d in SETS]
    text = shown(results)
    assert text.count("Ranking") == 2
    head = next(line for line in text.splitlines() if "linear" in line)
    assert "knn" in head
    assert "finetune" not in head


def test_the_deepest_layer_is_ranked():
    results = [
        record("a", d, value, layer=layer) for d in SETS for layer, value in (("one", 0.9), ("two", 0.4))
    ]
    assert "a scores 0.400 on average over 3 data sets." in shown(results)


def test_seeds_are_averaged():
    results = [record("a", d, value, seed=seed) for d in SETS for seed, value in enumerate((0.2, 0.4))]
    assert "0.300 ±0.006" in shown(results), "half of 0.01 each, over the root of three sets"


def test_shots_are_protocols_of_their_own_and_scores_are_not_ranked():
    results = [record("a", "x", 0.5, protocol="fewshot", settings={"shots": k}) for k in (1, 5)]
    results += [record("a", "x", 3.5, protocol="transferability")]
    text = shown(results)
    assert "fewshot 1-shot" in text
    assert "fewshot 5-shot" in text
    assert "3.5" not in text


def test_nothing_is_said_of_nothing():
    assert shown([]) == ""


def test_models_without_a_common_set_are_not_ranked():
    assert shown([record("a", "x", 0.5), record("b", "y", 0.5)]) == ""
