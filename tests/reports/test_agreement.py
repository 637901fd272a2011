from tests.reports.records import record
from transferkit.reports.agreement import agreement_figures


def test_scores_meet_the_accuracies_of_the_same_model_data_and_layer():
    scores = [
        record(m, "d", v, layer="l", protocol="transferability", metric="logme")
        for m, v in (("a", 1.0), ("b", 2.0), ("unmeasured", 3.0))
    ]
    accuracies = [record(m, "d", v, layer="l") for m, v in (("a", 0.4), ("b", 0.7))]
    figures = agreement_figures(scores, accuracies)
    assert list(figures) == ["d-linear"]
    (axes,) = figures["d-linear"].axes
    assert axes.get_title() == "logme"
    points = {line.get_label(): line.get_xydata().tolist() for line in axes.get_lines()}
    assert points == {"a l": [[1.0, 0.4]], "b l": [[2.0, 0.7]]}


def test_without_accuracies_there_is_nothing_to_draw():
    assert agreement_figures([record("m", "d", 0.5)], []) == {}
