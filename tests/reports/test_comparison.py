from tests.reports.records import record
from tests.terminal import printed
from transferkit.core.half_samples import OVER_IMAGES
from transferkit.core.outcomes import episode_outcomes, row_outcomes
from transferkit.protocols.compare import compare_models
from transferkit.reports.comparison import comparison_tables

IDS = [f"{i}" for i in range(40)]
GOOD, FAIR = row_outcomes(IDS, [1] * 40), row_outcomes(IDS, [1] * 20 + [0] * 20)


def shown(results) -> str:
    return printed(*comparison_tables(compare_models(results)), width=160)


def lines_of(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


def test_differences_are_a_table():
    text = shown([record("[good]", "x", 1.0, outcomes=GOOD), record("fair", "x", 0.5, outcomes=FAIR)])
    lines = lines_of(text)
    assert lines[:4] == [
        "",
        "Differences on the same test rows or images",
        "better",
        "A B A − B 95 % interval p A : B n",
    ]
    row = next(line for line in lines if line.startswith("1.000 "))
    assert row.startswith("1.000 0.500 +0.500 +0.3")
    assert row.endswith("<0.001 20 : 0 40")
    assert "x · layer last · linear · A: [good] · B: fair" in lines
    assert "p: McNemar, mid-p. Interval: adjusted t." in lines
    assert "over data sets" not in text


def test_the_second_table_summarises_data_sets_and_names_layers():
    halves = [[[4, 5], [3, 3]], [[4, 3], [5, 5]]], [[[2, 3], [3, 4]], [[4, 4], [2, 3]]]
    episodes = [
        episode_outcomes("e", correct, predictions=5, halves=both, half_predictions=5)
        for correct, both in zip(([3, 4, 5, 2], [3, 3, 5, 4]), halves, strict=True)
    ]
    results = [
        record(model, data, one.accuracies.mean(), layer=model, settings={"shots": 5}, outcomes=one)
        for model, one in zip("ab", episodes, strict=True)
        for data in ("x", "y")
    ]
    lines = lines_of(shown(results))
    assert any(line.startswith("x 0.700 0.750 -0.050") for line in lines)
    assert "layer a / b · linear 5-shot · A: a · B: b" in lines
    assert "0.700 0.750 -0.050 – 0.500 0 : 2 2" in lines
    assert "2 data sets · layer a / b · linear 5-shot · A: a · B: b" in lines
    assert f"p: {OVER_IMAGES}. Interval: {OVER_IMAGES}." in lines
    assert "p: Wilcoxon signed-rank, exact. Interval: none: fewer than 5 data sets." in lines


def test_five_sets_have_an_interval():
    results = [record(model, data, value, outcomes=one) for data in "vwxyz"
               for model, value, one in (("a", 1.0, GOOD), ("b", 0.5, FAIR))]  # fmt: skip
    lines = lines_of(shown(results))
    assert "1.000 0.500 +0.500 +0.500 to +0.500 0.062 5 : 0 5" in lines
    assert "5 data sets · layer last · linear · A: a · B: b" in lines
    assert "p: Wilcoxon signed-rank, exact. Interval: Student's t over data sets." in lines
